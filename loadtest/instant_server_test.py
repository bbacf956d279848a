"""The instant server speaks well enough for gRPC's own client and for ours."""

import grpc

from generator import generate
from instant_server import instant_server
from lanes import RECOMMEND, recommend_lane
from open_loop import poisson
from stepwell_pb.v1 import recommend_pb2


def test_grpcs_own_client_reads_every_answer() -> None:
    with instant_server() as address, grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            RECOMMEND, None, recommend_pb2.RecommendResponse.FromString
        )
        answers = [call(b"x" * 10, timeout=10.0) for _ in range(20)]
    assert [len(answer.items) for answer in answers] == [10] * 20


def test_many_calls_in_flight_are_all_answered() -> None:
    with instant_server() as address:
        lane = recommend_lane("all", ["u1", "u2"], deadline_ms=9_000)
        run = generate(address, poisson(5_000, 0.4, seed=1), [lane], connections=4)
    assert run.status_counts() == {"OK": len(run)}
    assert set(run.num_items.tolist()) == {10}
