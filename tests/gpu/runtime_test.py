"""How the CUDA operators behave as CUDA programs: graphs, streams, devices, faults.

How to run it on a GPU machine: see embedding_test.py in this folder. The emulator has
neither graphs nor streams, so most of this needs a GPU.
"""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gpu.device import DEVICE, needs_cuda_ops, needs_gpu, random_floats
from stepwell.ops.cross_network import cross_network
from stepwell.ops.dot_interaction import dot_interaction
from stepwell.ops.embedding_bag_tables import embedding_bag_tables
from stepwell.ops.packed_tables import PackedTables
from stepwell.ops.quantize_rows import dequantize_rows, quantize_rows
from stepwell.ops.request_interaction import request_interaction
from stepwell.ops.row_wise_adagrad import row_wise_adagrad_
from stepwell.ops.topk_scores import topk_scores

pytestmark = needs_cuda_ops

Call = Callable[[], Tensor]


def calls_on(device: torch.device) -> dict[str, Call]:
    """One call of every operator, its arguments ready on the device."""

    def floats(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return random_floats(*shape, dtype=dtype).to(device)

    tables = [floats(30, 16), floats(40, 32)]
    indices = torch.tensor([3, -1, 7, 29, 0, 5], device=device)
    offsets = torch.tensor([0, 2, 2, 4, 6], device=device)
    packed = PackedTables.build([table.cpu() for table in tables], "int8").to(device)
    wide, dense = floats(9, 5, 32, dtype=torch.bfloat16), floats(9, 32)
    bfloats = dense.bfloat16()
    pooled_grad = floats(2, 48)
    interaction_grad = floats(9, 32 + 15, dtype=torch.bfloat16)
    scores, ids = floats(500), torch.arange(500, device=device)
    table, moments, row_ids = floats(30, 8), floats(30).square(), indices[2:]
    row_grads = floats(4, 8)
    down, up, bias = floats(2, 32, 4), floats(2, 4, 32), floats(2, 32)
    stored = quantize_rows(tables[0], "int4")
    ops = torch.ops.stepwell

    def adagrad() -> Tensor:
        row_wise_adagrad_(table, moments, row_ids, row_grads, 0.1, 1e-8)
        return table

    return {
        "embedding_bag_tables": lambda: embedding_bag_tables(tables, indices, offsets),
        "embedding_bag_tables_backward": lambda: ops.embedding_bag_tables_backward(
            pooled_grad, tables, indices, offsets, None, None, "mean"
        )[1],
        "embedding_bag_tables_weights_backward": (
            lambda: ops.embedding_bag_tables_weights_backward(
                pooled_grad, tables, indices, offsets, None, "sum"
            )
        ),
        "embedding_bag_packed": lambda: packed(indices, offsets),
        "quantize_rows": lambda: quantize_rows(tables[0], "int4"),
        "dequantize_rows": lambda: dequantize_rows(stored, 16, "int4"),
        "dot_interaction": lambda: dot_interaction(bfloats, wide),
        "dot_interaction, float32": lambda: dot_interaction(dense, wide.float()),
        "dot_interaction_backward": lambda: ops.dot_interaction_backward(
            interaction_grad, bfloats, wide
        )[1],
        "request_interaction": lambda: request_interaction(bfloats[:3], wide),
        "cross_network": lambda: cross_network(dense, down, up, bias),
        "topk_scores": lambda: topk_scores(scores, ids, 20)[0],
        "row_wise_adagrad_": adagrad,
    }


NAMES = list(calls_on(torch.device("cpu")))


@needs_gpu
@pytest.mark.parametrize("name", NAMES)
def test_does_not_wait_for_the_device(name: str) -> None:
    call = calls_on(DEVICE)[name]
    call()
    torch.cuda.set_sync_debug_mode("error")
    try:
        call()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_gpu
@pytest.mark.parametrize("name", [n for n in NAMES if n != "row_wise_adagrad_"])
def test_a_graph_captures_it(name: str) -> None:
    call = calls_on(DEVICE)[name]
    expected = call().clone()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = call()
    captured.zero_()
    graph.replay()
    assert torch.equal(captured, expected)


@needs_gpu
@pytest.mark.parametrize("name", NAMES)
def test_runs_on_the_current_stream(name: str) -> None:
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        call = calls_on(DEVICE)[name]
        call()
        stream.synchronize()
        # The device spins before the call: an event right behind the call is open
        # unless the call went to another stream.
        torch.cuda._sleep(200_000_000)  # type: ignore[no-untyped-call]
        call()
        after = torch.cuda.Event()  # type: ignore[no-untyped-call]
        after.record()
    torch.cuda.default_stream().synchronize()
    assert not after.query()  # type: ignore[no-untyped-call]
    stream.synchronize()


@needs_gpu
def test_a_result_follows_from_what_its_stream_did_before() -> None:
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    source = torch.zeros(4, 2, 8, device=DEVICE)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)  # type: ignore[no-untyped-call]
        source.fill_(1.0)
        out = dot_interaction(source[:, 0].contiguous(), source)
    stream.synchronize()
    assert torch.all(out[:, 8:] == 8.0)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("name", NAMES)
def test_runs_on_the_device_of_its_tensors(name: str) -> None:
    second = torch.device("cuda", 1)
    with torch.cuda.device(0):
        got = calls_on(second)[name]()
    assert got.device == second
    torch.testing.assert_close(
        got.cpu(), calls_on(torch.device("cuda", 0))[name]().cpu()
    )


@needs_gpu
def test_tensors_on_two_devices_are_an_error() -> None:
    with pytest.raises(RuntimeError, match="dot_interaction: sparse must be on cuda:0"):
        torch.ops.stepwell.dot_interaction(
            torch.zeros(1, 4, device="cuda"), torch.zeros(1, 2, 4, device="cpu")
        )


# A trap ends the CUDA context, so each needs a process of its own.
FAULTS = {
    "an index past the table": (
        """embedding_bag_tables([zeros(3, 4)], tensor([0, 3]), tensor([0, 1, 2]))""",
        "indices[1] is 3, must be in [-1, 2] for table 0",
    ),
    "an index below minus one": (
        """embedding_bag_tables([zeros(3, 4)], tensor([-2]), tensor([0, 1]))""",
        "indices[0] is -2, must be in [-1, 2] for table 0",
    ),
    "offsets that fall": (
        """embedding_bag_tables([zeros(3, 4)], tensor([0]), tensor([0, 2, 1]))""",
        "offsets[1] is 2",
    ),
    "offsets that leave entries over": (
        """embedding_bag_tables([zeros(3, 4)], tensor([0, 1]), tensor([0, 1]))""",
        "offsets[1] is 1",
    ),
    "a number that is not finite": (
        """torch.ops.stepwell.quantize_rows(zeros(2, 3) / 0, "int8")""",
        "rows[0, 0] is",
    ),
    "a row that spans too far": (
        """torch.ops.stepwell.quantize_rows(tensor([[-3e38, 0.0, 3e38]]), "int8")""",
        "rows[0, 2] is 3e+38",
    ),
    "a row past the table": (
        """torch.ops.stepwell.row_wise_adagrad_(
            zeros(3, 4), zeros(3), tensor([1, 3]), zeros(2, 4), 0.1, 1e-8
        )""",
        "row_ids[1] is 3, must be in [0, 2]",
    ),
}
PROGRAM = """
import torch
from stepwell.ops.embedding_bag_tables import embedding_bag_tables

def zeros(*shape):
    return torch.zeros(shape, device="{device}")

def tensor(values):
    return torch.tensor(values, device="{device}")

{call}
if torch.cuda.is_available():
    torch.cuda.synchronize()
"""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_device_memory_is_printed_and_stops_the_process(fault: str) -> None:
    call, message = FAULTS[fault]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(device=DEVICE.type, call=call)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode != 0
    assert message in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_the_same_call_gives_the_same_bits(name: str) -> None:
    if name in ("embedding_bag_tables_backward", "row_wise_adagrad_"):
        pytest.skip("adds with atomics, or steps further each time")
    call = calls_on(DEVICE)[name]
    assert torch.equal(call(), call())
