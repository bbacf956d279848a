"""The event collector as a process: acknowledged events outlive SIGKILL, once each."""

import threading
from collections import Counter
from pathlib import Path

import grpc
import pytest

from server_process import ServerProcess, server_process
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import common_pb2, feedback_pb2, feedback_pb2_grpc


def batch(names: list[str]) -> feedback_pb2.LogEventsRequest:
    return feedback_pb2.LogEventsRequest(
        events=[
            feedback_pb2.Event(
                event_id=name,
                user_id="u",
                item_id="milk",
                event_type=common_pb2.EVENT_TYPE_PURCHASE,
                event_time_seconds=1_500_000_000,
            )
            for name in names
        ]
    )


def stored_names(path: Path) -> list[str]:
    log = LmdbEventLog(path)
    try:
        return [event.event_id for event in log.read(0, 100_000)]
    finally:
        log.close()


def test_takes_events_in_names_repeats_and_drains(tmp_path: Path) -> None:
    log = tmp_path / "events.lmdb"
    arguments = [f"--event_log={log}"]
    with server_process("event_collector_main", arguments) as collector:
        with grpc.insecure_channel(collector.address) as channel:
            stub = feedback_pb2_grpc.FeedbackServiceStub(channel)
            first = stub.LogEvents(batch(["a", "b"]))
            second = stub.LogEvents(batch(["b", "c"]))
            with pytest.raises(grpc.RpcError, match="event_id") as caught:
                stub.LogEvents(batch(["d", ""]))
        assert (first.num_stored, first.num_duplicates) == (2, 0)
        assert (second.num_stored, second.num_duplicates) == (1, 1)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert collector.terminate() == 0
    assert stored_names(log) == ["a", "b", "c"]


def produce_until_it_dies(
    collector: ServerProcess,
    lane: str,
    acknowledged: list[str],
    enough: threading.Event,
) -> None:
    with grpc.insecure_channel(collector.address) as channel:
        stub = feedback_pb2_grpc.FeedbackServiceStub(channel)
        for step in range(10_000):
            names = [f"{lane}-{step}-{n}" for n in range(5)]
            try:
                stub.LogEvents(batch(names))
            except grpc.RpcError:
                return
            acknowledged.extend(names)
            if step == 20:
                enough.set()


def test_events_acknowledged_before_a_kill_are_there_after_it_once_each(
    tmp_path: Path,
) -> None:
    log = tmp_path / "events.lmdb"
    acknowledged: list[str] = []
    for round_ in range(2):
        arguments = [f"--event_log={log}"]
        with server_process("event_collector_main", arguments) as collector:
            enough = threading.Event()
            lanes = [
                threading.Thread(
                    target=produce_until_it_dies,
                    args=(collector, f"{round_}{lane}", acknowledged, enough),
                )
                for lane in "abc"
            ]
            for lane in lanes:
                lane.start()
            assert enough.wait(timeout=60)
            collector.kill()
            for lane in lanes:
                lane.join(timeout=60)
    stored = Counter(stored_names(log))
    assert set(stored.values()) == {1}
    assert set(acknowledged) <= stored.keys()
    assert len(acknowledged) > 200
