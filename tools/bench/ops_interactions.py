"""Rows of the benchmark `ops` for feature interaction, crossing and ranking."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from bench import gather_ceiling
from bench.ops_timing import Bar, Call, Contest, Row, measured, on_two_threads
from stepwell.ops.cross_network import cross_network
from stepwell.ops.dot_interaction import dot_interaction
from stepwell.ops.request_interaction import request_interaction
from stepwell.ops.topk_scores import topk_scores

# (sparse features, dim, batch)
INTERACTIONS = (
    (8, 16, 1),
    (8, 16, 500),
    (26, 64, 1),
    (26, 64, 256),
    (26, 64, 500),
    (26, 64, 2048),
)
# The size that has bars of its own, two threads, bfloat16 and torch.compile.
MAIN = (26, 64, 256)
_MAIN_BARS = {torch.float32: Bar(3.0), torch.bfloat16: Bar(5.0)}
# (user's vectors, an item's vectors, candidates, dim)
REQUESTS = ((13, 14, 256, 64),)
# (batch, width, layers, rank)
CROSSINGS = ((256, 415, 3, 64),)
# (scores, kept)
RANKINGS = ((1_000, 100), (100_000, 500))

_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}
_ANY = Bar(1.0)
_PEER = "bmm + gather"


def rows(seconds: float, quick: bool, peers: Sequence[str]) -> Iterator[Row]:
    """Measures every size in turn; `quick` compiles nothing."""
    if quick:
        peers = [peer for peer in peers if peer != "compile"]
    for size in INTERACTIONS:
        for dtype in _NAMES if size == MAIN else (torch.float32,):
            yield from _interaction(size, dtype, seconds, peers)
            yield _backward(size, dtype, seconds, peers)
    for request in REQUESTS:
        for dtype in _NAMES:
            yield _request(request, dtype, seconds)
    for crossing in CROSSINGS:
        for dtype in _NAMES:
            yield _crossing(crossing, dtype, seconds, peers)
    for ranking in RANKINGS:
        yield _ranking(ranking, seconds, peers)


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns torch.compile of a function, constants frozen."""
    options: dict[str, str | int | bool | Callable[..., object]] = {"freezing": True}
    return torch.compile(function, fullgraph=True, dynamic=False, options=options)


def _gathered(dense: Tensor, sparse: Tensor, i: Tensor, j: Tensor) -> Tensor:
    vectors = torch.cat([dense[:, None], sparse], 1)
    return torch.cat([dense, torch.bmm(vectors, vectors.mT)[:, i, j]], 1)


def _inputs(
    size: tuple[int, int, int], dtype: torch.dtype, trained: bool = False
) -> tuple[Tensor, ...]:
    num_sparse, dim, batch = size
    dense = torch.randn(batch, dim).to(dtype).requires_grad_(trained)
    sparse = torch.randn(batch, num_sparse, dim).to(dtype).requires_grad_(trained)
    i, j = torch.tril_indices(num_sparse + 1, num_sparse + 1, -1)
    return dense, sparse, i, j


def _text(size: tuple[int, int, int], dtype: torch.dtype) -> str:
    num_sparse, dim, batch = size
    return f"interaction B={batch} F={num_sparse + 1} D={dim}, {_NAMES[dtype]}"


def _interaction(
    size: tuple[int, int, int],
    dtype: torch.dtype,
    seconds: float,
    peers: Sequence[str],
) -> Iterator[Row]:
    num_sparse, dim, batch = size
    dense, sparse, i, j = _inputs(size, dtype)
    same: dict[str, Call] = {}
    if "torch" in peers:
        same[_PEER] = lambda _: _gathered(dense, sparse, i, j)
    if size == MAIN and "compile" in peers:
        fast = compiled(_gathered)
        same["torch.compile"] = lambda _: fast(dense, sparse, i, j)
    wide: dict[str, Call] = {}
    if dtype != torch.float32 and "torch" in peers:
        floats = dense.float(), sparse.float()
        wide[f"{_PEER} in fp32"] = lambda _: _gathered(*floats, i, j)
    operations = 2 * batch * dim * num_sparse * (num_sparse + 1) / 2
    contest = Contest(
        _text(size, dtype),
        lambda _: dot_interaction(dense, sparse),
        # Fewer bits are compared with what a caller has without them; torch in as few
        # bits informs.
        wide or same,
        same if wide else {},
        # A smaller one is the cost of a call, which no multiply-add bounds.
        ceiling_us=_ceiling_us(operations, dtype) if batch >= MAIN[2] else None,
        bar=_MAIN_BARS[dtype] if size == MAIN else _ANY,
    )
    expected = _gathered(dense.double(), sparse.double(), i, j)
    with torch.inference_mode():
        yield measured(contest, expected, seconds)
        if size == MAIN:
            yield on_two_threads(contest, expected, seconds)


def _backward(
    size: tuple[int, int, int],
    dtype: torch.dtype,
    seconds: float,
    peers: Sequence[str],
) -> Row:
    dense, sparse, i, j = _inputs(size, dtype, trained=True)

    def gradient(out: Tensor, to: Tensor = sparse) -> Tensor:
        return torch.autograd.grad(out.sum(), to)[0]

    against: dict[str, Call] = {}
    if "torch" in peers:
        against[_PEER] = lambda _: gradient(_gathered(dense, sparse, i, j))
    contest = Contest(
        f"{_text(size, dtype)}, forward and backward",
        lambda _: gradient(dot_interaction(dense, sparse)),
        against,
        bar=_ANY,
    )
    wide = sparse.detach().double().requires_grad_()
    exact = gradient(_gathered(dense.detach().double(), wide, i, j), wide)
    return measured(contest, exact, seconds)


def _request(
    size: tuple[int, int, int, int], dtype: torch.dtype, seconds: float
) -> Row:
    num_user, num_item, candidates, dim = size
    user = torch.randn(num_user, dim).to(dtype)
    items = torch.randn(candidates, num_item, dim).to(dtype)

    def tiled(user: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        rest = user[1:].expand(candidates, -1, -1)
        dense = user[0].expand(candidates, -1).contiguous()
        return dense, torch.cat([rest, items], 1)

    before = tiled(user, items)
    contest = Contest(
        f"request_interaction, {num_user} user + {num_item} item features, "
        f"{candidates} candidates, D={dim}, {_NAMES[dtype]}",
        lambda _: request_interaction(user, items),
        # What a request holds is one user and its candidates: without the op they
        # have to be tiled first.
        {"tiled + dot_interaction": lambda _: dot_interaction(*tiled(user, items))},
        {"dot_interaction, tiled before": lambda _: dot_interaction(*before)},
        bar=Bar(1.8),
    )
    pairs = torch.tril_indices(num_user + num_item, num_user + num_item, -1)
    exact = tiled(user.double(), items.double())
    with torch.inference_mode():
        return measured(contest, _gathered(*exact, *pairs), seconds)


def _crossed(x: Tensor, down: Tensor, up: Tensor, bias: Tensor) -> Tensor:
    first = x
    for layer in range(down.shape[0]):
        x = first * torch.addmm(bias[layer], x @ down[layer], up[layer]) + x
    return x


def _crossing(
    size: tuple[int, int, int, int],
    dtype: torch.dtype,
    seconds: float,
    peers: Sequence[str],
) -> Row:
    batch, width, layers, rank = size
    x = torch.randn(batch, width).to(dtype)
    down = (torch.randn(layers, width, rank) / width**0.5).to(dtype)
    up = (torch.randn(layers, rank, width) / rank**0.5).to(dtype)
    bias = torch.randn(layers, width).to(dtype)
    against: dict[str, Call] = {}
    if "torch" in peers:
        against["matmuls"] = lambda _: _crossed(x, down, up, bias)
    if "compile" in peers:
        fast = compiled(_crossed)
        against["torch.compile"] = lambda _: fast(x, down, up, bias)
    operations = 4.0 * batch * width * rank * layers
    contest = Contest(
        f"cross_network B={batch} W={width}, {layers} layers of rank {rank}, "
        f"{_NAMES[dtype]}",
        lambda _: cross_network(x, down, up, bias),
        against,
        ceiling_us=_ceiling_us(operations, dtype),
        # bfloat16 is converted and multiplied in float32: a choice of memory.
        bar=_ANY if dtype == torch.float32 else None,
    )
    exact = _crossed(x.double(), down.double(), up.double(), bias.double())
    with torch.inference_mode():
        return measured(contest, exact, seconds)


def _ranking(size: tuple[int, int], seconds: float, peers: Sequence[str]) -> Row:
    num_scores, kept = size
    scores = [torch.randn(num_scores) for _ in range(8)]
    ids = torch.randperm(num_scores)

    def by_torch(index_set: int) -> Tensor:
        best, places = torch.topk(scores[index_set], kept)
        ids[places]
        return best

    def by_sort(index_set: int) -> Tensor:
        best, places = torch.sort(scores[index_set], descending=True, stable=True)
        ids[places[:kept]]
        return best[:kept]

    against: dict[str, Call] = {}
    if "torch" in peers:
        against = {"torch.topk, ties as they come": by_torch, "stable sort": by_sort}
    contest = Contest(
        f"topk_scores N={num_scores:,} K={kept}",
        lambda s: topk_scores(scores[s], ids, kept)[0],
        against,
        bar=_ANY,
    )
    exact = scores[0].double().sort(descending=True).values[:kept]
    return measured(contest, exact, seconds)


def _ceiling_us(operations: float, dtype: torch.dtype) -> float | None:
    speed = gather_ceiling.multiply_adds_per_us(dtype)
    return operations / speed if speed else None
