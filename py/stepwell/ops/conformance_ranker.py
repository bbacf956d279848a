"""Conformance case of the fused ranker. Test-only."""

import torch
from torch import Tensor

from stepwell.ops import rank_candidates  # noqa: F401  registers what is tested
from stepwell.ops.conformance_cases import Arguments, OpCase, random_floats
from stepwell.ops.item_records import (
    FloatArray,
    ItemSums,
    RecordShape,
    build_item_records,
)
from stepwell.ops.ranker_plan import RankerLayer, RankerPlanWriter

_DENSE, _DIM, _HIDDEN, _TOP, _OBJECTIVES = 5, 6, 9, 7, 2
_ITEMS, _USERS, _CLIP = 11, 3, 6.0
_TABLES = [random_floats(4, _DIM, seed=11), random_floats(5, _DIM, seed=12)]
_ROWS = torch.arange(_ITEMS)[:, None] % torch.tensor([4, 5])
_SUMS = (random_floats(_TOP, 1, seed=13) * 0.4, random_floats(_TOP, seed=14))
_BOTTOM = (
    random_floats(_HIDDEN, _DENSE, seed=15) * 0.4,
    random_floats(_HIDDEN, seed=16),
)
_PROJECTION = (
    random_floats(_DIM, _HIDDEN, seed=17) * 0.3,
    random_floats(_DIM, seed=18),
)
_CROSSED = random_floats(_TOP, _HIDDEN + 2 + 2 + 1, seed=19) * 0.3
_TOP_LAYER = (_CROSSED, torch.zeros(_TOP))
_OUTPUT = (random_floats(_OBJECTIVES, _TOP, seed=20) * 0.4, random_floats(_OBJECTIVES))
_USER_TABLE = random_floats(_USERS, _DIM, seed=21)


def _packed() -> tuple[Tensor, Tensor, Tensor]:
    shape = RecordShape(len(_TABLES), _DIM, _TOP)
    writer = RankerPlanWriter()
    writer.number(_DENSE, _DIM, len(_TABLES), _USERS, _OBJECTIVES, 1, 1)
    writer.number(shape.record_bytes)
    for column in (torch.zeros(_DENSE), torch.zeros(_DENSE), torch.ones(_DENSE)):
        writer.array(column.numpy())
    writer.array(_USER_TABLE.numpy())
    writer.output(*_arrays(*_OUTPUT))
    for layer, relu in ((_BOTTOM, True), (_PROJECTION, False), (_TOP_LAYER, True)):
        weight, bias = _arrays(*layer)
        writer.layer(RankerLayer(weight, bias, relu, is_int8=False, is_signed=True))
    weights, plan = map(torch.from_numpy, writer.finish())
    sums = ItemSums(*_arrays(*_SUMS))
    items = build_item_records(_arrays(*_TABLES), _ROWS.numpy(), sums, shape)
    return weights, plan, torch.from_numpy(items)


def _arrays(*tensors: Tensor) -> list[FloatArray]:
    return [tensor.numpy() for tensor in tensors]


def _arguments(batch: int) -> Arguments:
    weights, plan, items = _packed()
    first = batch // 2
    return (
        random_floats(batch, _DENSE),
        torch.arange(batch) * 3 % _ITEMS,
        torch.tensor([2, 0]),
        torch.tensor([0, first, batch]),
        weights,
        plan,
        items,
        _OBJECTIVES,
        _CLIP,
    )


def _defined(
    dense: Tensor,
    item_rows: Tensor,
    user_rows: Tensor,
    offsets: Tensor,
    *packed: object,
) -> Tensor:
    del packed
    kind = dense.dtype
    bottom, projection, output = [
        (weight.to(kind), bias.to(kind))
        for weight, bias in (_BOTTOM, _PROJECTION, _OUTPUT)
    ]
    hidden = torch.relu(torch.nn.functional.linear(dense, *bottom))
    vector = torch.nn.functional.linear(hidden, *projection)
    rows = _ROWS[item_rows]
    items = [table.to(kind)[rows[:, t]] for t, table in enumerate(_TABLES)]
    request = torch.searchsorted(offsets, torch.arange(len(dense)), right=True) - 1
    user = _USER_TABLE.to(kind)[user_rows[request]]
    dots = [(vector * item).sum(1, keepdim=True) for item in items]
    dots += [(user * item).sum(1, keepdim=True) for item in items]
    dots.append((user * vector).sum(1, keepdim=True))
    own = (items[0] * items[1]).sum(1, keepdim=True)
    bias = torch.nn.functional.linear(own, *[part.to(kind) for part in _SUMS])
    crossed = torch.cat([hidden, *dots], 1)
    top = torch.relu(crossed @ _CROSSED.to(kind).T + bias)
    return torch.nn.functional.linear(top, *output)


CASES = [
    OpCase(
        "rank_candidates",
        _arguments,
        batch_dims={"dense": 0, "item_rows": 0},
        reference=_defined,
        tolerance=0.05,
    )
]
