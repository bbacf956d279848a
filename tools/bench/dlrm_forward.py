"""Row of the benchmark `ops` for one whole DLRM forward, scores out of raw ids.

The model is the usual one of the DLRM paper: a bottom MLP to the width of the tables,
dots of all pairs, a top MLP to one logit, a sigmoid. Its weights are random, drawn so
that scores spread as a trained model's do; labels are drawn from the float32 model's
own scores, so that its AUC is the best there is and what rounding costs shows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn import functional

from bench.ops_interactions import compiled
from bench.ops_timing import (
    NUM_INDEX_SETS,
    Bar,
    Call,
    Contest,
    Row,
    measured,
    on_two_threads,
)
from stepwell.models.packed_mlp import PackedMlp
from stepwell.models.precision import Precision
from stepwell.ops.dot_interaction import dot_interaction
from stepwell.ops.packed_tables import PackedTables
from stepwell.ops.quantize_rows import RowFormat


@dataclass(frozen=True, slots=True)
class DlrmSize:
    """T tables of N rows of D, B samples, the hidden widths of both MLPs."""

    num_tables: int
    num_rows: int
    dim: int
    num_dense: int
    batch: int
    bottom: tuple[int, ...]
    top: tuple[int, ...]

    def __str__(self) -> str:
        """Sizes as the row shows them."""
        bottom = "-".join(map(str, self.bottom_widths))
        top = "-".join(map(str, self.top_widths))
        return (
            f"whole DLRM forward, {self.num_tables} x {self.num_rows:,} x {self.dim}, "
            f"{bottom} and {top}, B={self.batch}"
        )

    @property
    def bottom_widths(self) -> tuple[int, ...]:
        """From the dense inputs to the dense vector."""
        return (self.num_dense, *self.bottom, self.dim)

    @property
    def top_widths(self) -> tuple[int, ...]:
        """From the interaction to the logit."""
        pairs = self.num_tables * (self.num_tables + 1) // 2
        return (self.dim + pairs, *self.top, 1)


SIZE = DlrmSize(26, 100_000, 64, 13, 256, (512, 256), (512, 256))
BAR = Bar(1 / 0.55, as_time=True)
AUC_BATCHES = 400
QUICK_AUC_BATCHES = 20
# Mean and deviation of the logits: one click in five, and some are sure.
_LOGITS = (-1.8, 1.3)
_TABLE_DEVIATION = 0.3


class TorchDlrm(nn.Module):
    """The model in torch's own words; tables looked up as bags or as single rows."""

    i: Tensor
    j: Tensor
    starts: Tensor

    def __init__(self, size: DlrmSize) -> None:
        super().__init__()
        shape = (size.num_tables, size.num_rows, size.dim)
        tables = torch.randn(shape).mul_(_TABLE_DEVIATION)
        self.tables = nn.ParameterList(tables.unbind())
        self.bottom = _mlp(size.bottom_widths, ends_with_relu=True)
        self.top = _mlp(size.top_widths, ends_with_relu=False)
        pairs = torch.tril_indices(size.num_tables + 1, size.num_tables + 1, -1)
        self.register_buffer("i", pairs[0])
        self.register_buffer("j", pairs[1])
        self.register_buffer("starts", torch.arange(size.batch))
        self.as_bags = True
        self.dtype = torch.float32

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """Returns scores [B, 1] of dense [B, F] and ids [T, B]."""
        vectors = [self.bottom(dense.to(self.dtype))]
        for table, rows in zip(self.tables, ids.unbind(), strict=True):
            if self.as_bags:
                bags = functional.embedding_bag(rows, table, self.starts, mode="sum")
            else:
                bags = functional.embedding(rows, table)
            vectors.append(bags)
        return self.scores(torch.stack(vectors, 1))

    def scores(self, vectors: Tensor) -> Tensor:
        """Returns scores [B, 1] of all vectors [B, 1 + T, D]."""
        dots = torch.bmm(vectors, vectors.mT)[:, self.i, self.j]
        crossed = torch.cat([vectors[:, 0], dots], 1)
        return torch.sigmoid(self.top(crossed))


class PackedDlrmForward(nn.Module):
    """The same model of this project's parts, as serving would hold it."""

    def __init__(self, model: TorchDlrm, precision: Precision, rows: RowFormat) -> None:
        super().__init__()
        self._dtype = torch.float32 if precision == "float32" else torch.bfloat16
        self.bottom = PackedMlp.pack(model.bottom, precision, self._dtype)
        self.top = PackedMlp.pack(model.top, precision)
        self.tables = PackedTables.build(list(model.tables), rows)
        self._shape = (-1, self.tables.num_tables, self.tables.dims[0])

    def forward(self, dense: Tensor, indices: Tensor, offsets: Tensor) -> Tensor:
        """Returns float32 scores [B, 1]."""
        # The tables first: some percent faster when no cache holds anything of it.
        bags = self.tables(indices, offsets, output_dtype=self._dtype)
        vector = self.bottom(dense)
        crossed = dot_interaction(vector, bags.view(self._shape))
        return torch.sigmoid_(self.top(crossed))


class Samples:
    """Random samples of every index set, in the forms that the contenders take."""

    def __init__(self, size: DlrmSize) -> None:
        shape = (NUM_INDEX_SETS, size.num_tables, size.batch)
        self.dense = torch.randn(NUM_INDEX_SETS, size.batch, size.num_dense)
        self.ids = torch.randint(0, size.num_rows, shape)
        self.flat = [ids.flatten() for ids in self.ids]
        self.offsets = torch.arange(size.num_tables * size.batch + 1)


def rows(seconds: float, quick: bool, peers: Sequence[str]) -> Iterator[Row]:
    """Measures the forward; `quick` compiles nothing and draws fewer labels.

    Cost: some 40 s, of which compiling takes half; 2 GiB.
    """
    torch.manual_seed(11)
    with torch.inference_mode():
        model = _spread(TorchDlrm(SIZE).eval(), SIZE)
        samples = Samples(SIZE)
        ours = PackedDlrmForward(model, "int8", "int8")
        also = {
            "ours in bf16": PackedDlrmForward(model, "bfloat16", "int8"),
            "ours in fp32": PackedDlrmForward(model, "float32", "float32"),
        }
        num_batches = QUICK_AUC_BATCHES if quick else AUC_BATCHES
        quality = _quality(model, ours, num_batches)
        contest = Contest(
            f"{SIZE}, int8, {quality}",
            _call(ours, samples),
            _against(model, samples, peers, quick),
            {
                **_rewritten(model, samples, peers, quick),
                **{name: _call(other, samples) for name, other in also.items()},
            },
            bar=BAR,
        )
        expected = _exact(model, samples)
        yield measured(contest, expected, seconds)
        if not quick:
            yield on_two_threads(contest, expected, seconds)


def area_under_curve(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Returns the chance that a positive scores above a negative, ties half.

    Both kinds must be there.
    """
    positive = np.asarray(labels, np.bool_)
    ranks: npt.NDArray[np.float64] = rankdata(np.asarray(scores, np.float64))
    num_positive = int(positive.sum())
    above = ranks[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(above / (num_positive * (len(positive) - num_positive)))


def _mlp(widths: Sequence[int], ends_with_relu: bool) -> nn.Sequential:
    """Layers that keep the size of what goes through, as trained ones do."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        linear = nn.Linear(fan_in, fan_out)
        nn.init.normal_(linear.weight, std=(2 / fan_in) ** 0.5)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*(layers if ends_with_relu else layers[:-1]))


def _spread(model: TorchDlrm, size: DlrmSize) -> TorchDlrm:
    """Scales the last layer so that the logits have the mean and deviation wanted."""
    samples = Samples(size)
    batches = zip(samples.dense, samples.ids, strict=True)
    logits = torch.cat([torch.logit(model(*batch).double()) for batch in batches])
    last = model.top[-1]
    assert isinstance(last, nn.Linear)
    mean, deviation = _LOGITS
    factor = deviation / float(logits.std())
    last.weight.mul_(factor)
    last.bias.add_(-float(logits.mean())).mul_(factor).add_(mean)
    return model


def _call(ours: PackedDlrmForward, samples: Samples) -> Call:
    def call(index_set: int) -> Tensor:
        scores: Tensor = ours(
            samples.dense[index_set], samples.flat[index_set], samples.offsets
        )
        return scores

    return call


def _against(
    model: TorchDlrm, samples: Samples, peers: Sequence[str], quick: bool
) -> dict[str, Call]:
    """The peers: the model as it is, and as its users compile it."""
    against: dict[str, Callable[..., Tensor]] = {}
    if "torch" in peers:
        against["eager fp32"] = model
    if "compile" in peers and not quick:
        against["compile + freezing"] = compiled(model)
        against["compile + freezing, bf16"] = compiled(_in_bfloat16(model))
    return {name: _peer_call(peer, samples) for name, peer in against.items()}


def _rewritten(
    model: TorchDlrm, samples: Samples, peers: Sequence[str], quick: bool
) -> dict[str, Call]:
    """The strictest form of torch, outside the bar but always in the table.

    Not a compiled EmbeddingBag model but one rewritten for bags of one row, which no
    longer takes any other bag: the compiler then fuses the lookups with the stacking.
    Of this one ours takes more than the share of the time that the bar asks for.
    """
    if "compile" not in peers or quick:
        return {}
    single = _in_bfloat16(model)
    single.as_bags = False
    name = "compile + freezing, bf16, rows in place of bags"
    return {name: _peer_call(compiled(single), samples)}


def _peer_call(peer: Callable[..., Tensor], samples: Samples) -> Call:
    return lambda index_set: peer(samples.dense[index_set], samples.ids[index_set])


def _in_bfloat16(model: TorchDlrm) -> TorchDlrm:
    state = {
        name: value.bfloat16() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    with torch.device("meta"):
        half = TorchDlrm(SIZE)
    half.load_state_dict(state, assign=True)
    half.dtype = torch.bfloat16
    return half.eval()


def _exact(model: TorchDlrm, samples: Samples) -> Tensor:
    """Returns the float64 scores of index set 0."""
    gathered = [
        table[ids] for table, ids in zip(model.tables, samples.ids[0], strict=True)
    ]
    bottom, top = _double(model.bottom), _double(model.top)
    vectors = [bottom(samples.dense[0].double()), *(rows.double() for rows in gathered)]
    stacked = torch.stack(vectors, 1)
    dots = torch.bmm(stacked, stacked.mT)[:, model.i, model.j]
    scores: Tensor = torch.sigmoid(top(torch.cat([vectors[0], dots], 1)))
    return scores


def _double(layers: nn.Sequential) -> nn.Sequential:
    copies: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.Linear):
            copy = nn.Linear(layer.in_features, layer.out_features).double()
            copy.weight.copy_(layer.weight)
            copy.bias.copy_(layer.bias)
            copies.append(copy)
        else:
            copies.append(layer)
    return nn.Sequential(*copies)


def _quality(model: TorchDlrm, ours: PackedDlrmForward, num_batches: int) -> str:
    """Returns both AUCs on fresh samples, labels drawn from the model's scores."""
    wanted: list[Tensor] = []
    found: list[Tensor] = []
    for _ in range(-(-num_batches // NUM_INDEX_SETS)):
        samples = Samples(SIZE)
        call = _call(ours, samples)
        for index_set in range(NUM_INDEX_SETS):
            batch = samples.dense[index_set], samples.ids[index_set]
            wanted.append(model(*batch).flatten())
            found.append(call(index_set).flatten())
    scores = torch.cat(wanted)
    labels = (torch.rand(len(scores)) < scores).tolist()
    before = area_under_curve(scores.tolist(), labels)
    after = area_under_curve(torch.cat(found).tolist(), labels)
    return f"AUC {before:.4f} to {after:.4f} on {len(scores):,} samples"
