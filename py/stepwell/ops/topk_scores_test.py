"""topk_scores against a full sort: order, ties, broken scores, errors, contracts."""

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from stepwell.ops.topk_scores import topk_scores


def reference(scores: Tensor, ids: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The definition: sink what is broken, sort everything, cut."""
    sunk = torch.where(scores.isfinite(), scores, -torch.inf)
    order = torch.from_numpy(np.lexsort((ids.numpy(), -sunk.numpy())))[:k]
    return sunk[order], ids[order]


def random_scores(size: int, seed: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    scores = torch.randn(size, generator=random)
    return scores, torch.randperm(size, generator=random)


class Top(nn.Module):
    """What torch.export takes."""

    def forward(self, scores: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        return topk_scores(scores, ids, 20)


@hypothesis.settings(max_examples=200)
@hypothesis.given(
    scores=st.lists(
        st.sampled_from([-2.0, -0.0, 0.0, 0.5, 1.0])
        | st.floats(width=32, allow_nan=True, allow_infinity=True),
        max_size=200,
    ),
    k=st.integers(0, 220),
    seed=st.integers(0, 9),
)
def test_equals_a_sort(scores: list[float], k: int, seed: int) -> None:
    ids = torch.randperm(len(scores), generator=torch.Generator().manual_seed(seed))
    given = torch.tensor(scores, dtype=torch.float32)
    for got, expected in zip(
        topk_scores(given, ids, k), reference(given, ids, k), strict=True
    ):
        assert torch.equal(got, expected)


@pytest.mark.parametrize(("size", "k"), [(800, 100), (100_000, 500), (5_000, 5_000)])
def test_equals_a_sort_beyond_one_buffer(size: int, k: int) -> None:
    scores, ids = random_scores(size, size)
    for given in (scores, scores.sort().values, scores.round(decimals=1)):
        got, expected = topk_scores(given, ids, k), reference(given, ids, k)
        assert torch.equal(got[0], expected[0])
        assert torch.equal(got[1], expected[1])


def test_keeps_the_contracts_of_a_torch_operator() -> None:
    scores, ids = random_scores(40, 1)
    operator = torch.ops.stepwell.topk_scores.default
    torch.library.opcheck(operator, (scores, ids, 7))
    torch.library.opcheck(operator, (scores, ids, 90))


def test_compiles_without_a_graph_break() -> None:
    scores, ids = random_scores(40, 2)
    graph = torch.compile(topk_scores, backend="eager", fullgraph=True)
    for got, expected in zip(
        graph(scores, ids, 7), topk_scores(scores, ids, 7), strict=True
    ):
        assert torch.equal(got, expected)


def test_exports_for_any_number_of_scores() -> None:
    size = {0: torch.export.Dim("N", min=30, max=10_000)}
    scores, ids = random_scores(40, 3)
    exported = torch.export.export(Top(), (scores, ids), dynamic_shapes=(size, size))
    more = random_scores(300, 4)
    assert torch.equal(exported.module()(*more)[1], topk_scores(*more, 20)[1])


def test_autocast_leaves_the_scores_alone() -> None:
    scores, ids = random_scores(40, 5)
    with torch.autocast("cpu", torch.bfloat16):
        best, _ = topk_scores(scores, ids, 7)
    assert torch.equal(best, topk_scores(scores, ids, 7)[0])


@pytest.mark.parametrize(
    ("scores", "ids", "k", "message"),
    [
        ((3, 4), (3,), 1, "scores must have 1 dimensions, got 2"),
        ((3,), (), 1, "ids must have 1 dimensions, got 0"),
        ((3,), (4,), 1, "ids must have size 3 in dimension 0, got 4"),
        ((3,), (3,), -1, "k must be >= 0, got -1"),
    ],
)
def test_wrong_shapes_and_k_are_named(
    scores: tuple[int, ...], ids: tuple[int, ...], k: int, message: str
) -> None:
    with pytest.raises(RuntimeError, match=f"topk_scores: {message}"):
        topk_scores(torch.zeros(scores), torch.zeros(ids, dtype=torch.int64), k)


def test_wrong_dtype_layout_and_device_are_named() -> None:
    scores, ids = random_scores(8, 6)
    with pytest.raises(RuntimeError, match="scores must be float32, got float64"):
        topk_scores(scores.double(), ids, 1)
    with pytest.raises(RuntimeError, match="ids must be int64, got int32"):
        topk_scores(scores, ids.int(), 1)
    with pytest.raises(RuntimeError, match="scores must be contiguous"):
        topk_scores(scores[::2], ids[:4], 1)
    with pytest.raises(RuntimeError, match="ids must be contiguous"):
        topk_scores(scores[:4], ids[::2], 1)


def test_more_scores_than_a_key_can_number_are_refused() -> None:
    # Never touched: 2^31 views of one number.
    scores = torch.zeros(1).expand(2**31)
    ids = torch.zeros(1, dtype=torch.int64).expand(2**31)
    with pytest.raises(RuntimeError, match="scores must have at most 2147483647"):
        topk_scores(scores, ids, 1)
