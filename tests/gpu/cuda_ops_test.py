"""The native operators on a GPU against the same operators on the CPU.

Needs pytest, torch >= 2.11 with CUDA, this file, py/stepwell/ops and the two libraries:

    STEPWELL_OPS_LIBRARY=.../libstepwell_ops.so PYTHONPATH=py pytest tests/gpu -ra

The CUDA library is found beside the CPU library. Without a GPU everything is skipped.
"""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from stepwell.ops.dot_interaction import dot_interaction
from stepwell.ops.embedding_bag_tables import Pooling, embedding_bag_tables

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="torch sees no CUDA device"
)

Lookups = tuple[list[Tensor], Tensor, Tensor, Tensor]


def random_lookups(dims: list[int], batch: int, dtype: torch.dtype) -> Lookups:
    random = torch.Generator().manual_seed(batch)
    weights = [torch.randn(50, dim, generator=random) for dim in dims]
    lengths = torch.randint(0, 9, (len(dims) * batch,), generator=random)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    indices = torch.randint(-1, 50, (int(lengths.sum()),), generator=random)
    entry_weights = torch.randn(len(indices), generator=random)
    return weights, indices.to(dtype), offsets.to(dtype), entry_weights


def leaves_on(device: str, tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.detach().to(device).requires_grad_() for tensor in tensors]


def assert_same(on_cuda: Tensor, on_cpu: Tensor) -> None:
    torch.testing.assert_close(on_cuda.cpu(), on_cpu, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("batch", [0, 1, 7, 1000])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("pooling", ["sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
def test_embedding_bag_tables_agrees_with_the_cpu(
    batch: int, dtype: torch.dtype, pooling: Pooling, weighted: bool
) -> None:
    dims = [1, 7, 16, 33, 64, 128, 300]
    weights, indices, offsets, entry_weights = random_lookups(dims, batch, dtype)
    outputs, grads = [], []
    for device in ("cuda", "cpu"):
        leaves = leaves_on(device, [*weights, entry_weights])
        if not weighted:
            leaves.pop()
        out = embedding_bag_tables(
            leaves[:7],
            indices.to(device),
            offsets.to(device),
            leaves[7] if weighted else None,
            pooling,
        )
        outputs.append(out)
        direction = torch.linspace(-1, 1, out.numel(), device=device)
        grads.append(torch.autograd.grad(out, leaves, direction.view_as(out)))
    assert_same(*outputs)
    for on_cuda, on_cpu in zip(*grads, strict=True):
        assert_same(on_cuda, on_cpu)


def test_more_tables_than_one_launch_takes() -> None:
    weights, indices, offsets, _ = random_lookups([8] * 150, 5, torch.int64)
    on_cuda = embedding_bag_tables(
        [table.cuda() for table in weights], indices.cuda(), offsets.cuda()
    )
    assert_same(on_cuda, embedding_bag_tables(weights, indices, offsets))


@pytest.mark.parametrize("batch", [0, 1, 300])
@pytest.mark.parametrize("num_sparse", [0, 1, 8, 26, 60])
@pytest.mark.parametrize("dim", [1, 16, 63, 128])
def test_dot_interaction_agrees_with_the_cpu(
    batch: int, num_sparse: int, dim: int
) -> None:
    random = torch.Generator().manual_seed(0)
    dense = torch.randn(batch, dim, generator=random)
    sparse = torch.randn(batch, num_sparse, dim, generator=random)
    outputs, grads = [], []
    for device in ("cuda", "cpu"):
        leaves = leaves_on(device, [dense, sparse])
        out = dot_interaction(*leaves)
        outputs.append(out)
        direction = torch.linspace(-1, 1, out.numel(), device=device)
        grads.append(torch.autograd.grad(out, leaves, direction.view_as(out)))
    assert_same(*outputs)
    for on_cuda, on_cpu in zip(*grads, strict=True):
        assert_same(on_cuda, on_cpu)


def test_a_sample_too_large_for_shared_memory_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="dot_interaction: CUDA launch failed"):
        dot_interaction(
            torch.zeros(1, 4096, device="cuda"), torch.zeros(1, 99, 4096, device="cuda")
        )


def test_tensors_on_two_devices_are_an_error() -> None:
    with pytest.raises(RuntimeError, match="same device"):
        dot_interaction(
            torch.zeros(1, 4, device="cuda"), torch.zeros(1, 2, 4, device="cpu")
        )


def test_a_cuda_graph_captures_both_operators() -> None:
    weights, indices, offsets, _ = random_lookups([16, 16], 9, torch.int64)
    arguments = [table.cuda() for table in weights], indices.cuda(), offsets.cuda()

    def forward() -> Tensor:
        pooled = embedding_bag_tables(*arguments)
        return dot_interaction(pooled[:, :16].contiguous(), pooled.view(9, 2, 16))

    expected = forward()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = forward()
    captured.zero_()
    graph.replay()
    torch.testing.assert_close(captured, expected)


def test_runs_on_the_current_stream() -> None:
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    source = torch.zeros(4, 2, 8, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        # Spins on the GPU before the fill below.
        torch.cuda._sleep(20_000_000)  # type: ignore[no-untyped-call]
        source.fill_(1.0)
        out = dot_interaction(source[:, 0].contiguous(), source)
    stream.synchronize()
    assert torch.all(out[:, 8:] == 8.0)


# A trap ends the CUDA context, so it needs a process of its own.
BAD_INDEX_PROGRAM = """
import torch
from stepwell.ops.embedding_bag_tables import embedding_bag_tables
embedding_bag_tables(
    [torch.zeros(3, 4, device="cuda")],
    torch.tensor([0, 3], device="cuda"),
    torch.tensor([0, 1, 2], device="cuda"),
)
torch.cuda.synchronize()
"""


def test_a_bad_index_is_printed_and_stops_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BAD_INDEX_PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "indices[1] is 3, must be in [-1, 2] for table 0" in done.stdout
