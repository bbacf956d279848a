"""The fused ranker against the model it was frozen from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.dlrm import Dlrm
from stepwell.models.fused_dlrm import FusedDlrm
from stepwell.models.packed_mlp import usable_precision
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import ModelConfig, SparseColumn
from stepwell.models.ranker_config_fixture import MODEL
from stepwell.models.ranker_packing import record_bytes, why_not_fused

NUM_ITEMS = 37
COLUMNS = (
    *(SparseColumn(f"category_{t}", 20 + t) for t in range(18)),
    SparseColumn("user_segment", 9),
)
# Wide enough for int8 layers, more item vectors than a group, and an odd D.
WIDE = replace(
    MODEL,
    bottom_widths=(320, 256),
    top_widths=(288, 256),
    embedding_dim=17,
    sparse=COLUMNS,
)
SMALL = replace(MODEL, sparse=(*COLUMNS[:2], COLUMNS[-1]))
# The user's table in front of the items', and no table of users.
USER_FIRST = replace(WIDE, sparse=(COLUMNS[-1], *COLUMNS[:5]))
NO_USER = replace(MODEL, sparse=COLUMNS[:3])
USER_ONLY = replace(MODEL, sparse=(COLUMNS[-1],))

pytestmark = pytest.mark.skipif(
    bool(usable_precision("int8")[1]), reason="no processor of the fused form"
)
every_precision = pytest.mark.parametrize("precision", ["bfloat16", "int8"])
every_config = pytest.mark.parametrize(
    "config", [WIDE, SMALL, USER_FIRST, NO_USER, USER_ONLY]
)


@pytest.fixture(autouse=True)
def without_gradients() -> object:
    with torch.inference_mode():
        yield


def _model(config: ModelConfig) -> Dlrm:
    torch.manual_seed(7)
    with torch.inference_mode(False):
        model = Dlrm(config).eval()
        for table in model.tables:
            torch.nn.init.normal_(table, 0.0, 0.3)
        return model


def _items(config: ModelConfig) -> dict[str, Tensor]:
    rng = np.random.default_rng(3)
    return {
        column.name: torch.from_numpy(rng.integers(0, column.num_rows, NUM_ITEMS))
        for column in config.sparse
        if column.name != "user_segment"
    }


def _frozen(model: Dlrm, precision: Precision) -> FusedDlrm:
    items = _items(model.config) or {"any": torch.zeros(NUM_ITEMS, dtype=torch.int64)}
    return FusedDlrm.freeze(model, precision, items)


def _inputs(config: ModelConfig, sizes: list[int]) -> tuple[Tensor, ...]:
    """Dense columns, item rows, user rows and offsets of requests of these sizes."""
    generator = torch.Generator().manual_seed(sum(sizes))
    count = sum(sizes)
    dense = torch.randn(count, len(config.dense), generator=generator)
    rows = torch.randint(0, NUM_ITEMS, (count,), generator=generator)
    users = torch.arange(len(sizes)) % 9
    offsets = torch.tensor(np.cumsum([0, *sizes]))
    return dense, rows, users, offsets


def _as_sparse(
    config: ModelConfig, rows: Tensor, users: Tensor, offsets: Tensor
) -> Tensor:
    items = _items(config)
    each = users.repeat_interleave(offsets.diff())
    columns = [
        each if name == "user_segment" else items[name][rows]
        for name in config.sparse_names
    ]
    return torch.stack(columns, 1)


@every_precision
@every_config
@pytest.mark.parametrize("sizes", [[0], [1], [101], [7, 0, 50]])
def test_answers_as_its_model(
    precision: Precision, config: ModelConfig, sizes: list[int]
) -> None:
    model = _model(config)
    dense, rows, users, offsets = _inputs(config, sizes)
    logits = _frozen(model, precision)(dense, rows, users, offsets)
    wanted = model(dense, _as_sparse(config, rows, users, offsets))
    torch.testing.assert_close(logits, wanted, rtol=0.0, atol=0.05)


@every_precision
def test_a_candidate_does_not_depend_on_the_other_requests(
    precision: Precision,
) -> None:
    fused = _frozen(_model(WIDE), precision)
    dense, rows, users, offsets = _inputs(WIDE, [60, 45])
    together = fused(dense, rows, users, offsets)
    alone = fused(dense[60:], rows[60:], users[1:], torch.tensor([0, 45]))
    assert torch.equal(together[60:], alone)


def test_says_what_cannot_be_fused() -> None:
    assert why_not_fused(SMALL, 2, "bfloat16") == ""
    assert "float32" in why_not_fused(SMALL, 2, "float32")
    assert "more than one" in why_not_fused(SMALL, 1, "int8")
    crossed = replace(SMALL, interaction="cross")
    assert "cross" in why_not_fused(crossed, 2, "int8")
    with pytest.raises(InvalidArgumentError, match="the interaction is cross"):
        FusedDlrm.freeze(_model(crossed), "bfloat16", _items(SMALL))
    model = _model(SMALL)
    model.output.weight[0, 0] = torch.nan
    with pytest.raises(InvalidArgumentError, match="a weight is not finite"):
        FusedDlrm.freeze(model, "bfloat16", _items(SMALL))


def test_says_when_the_processor_has_not_what_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = "stepwell.models.ranker_packing.processor_flags"
    monkeypatch.setattr(flags, frozenset)
    assert "AVX512" in why_not_fused(SMALL, 2, "bfloat16")


def test_refuses_items_beyond_a_table() -> None:
    items = _items(SMALL)
    items["category_1"] = items["category_1"].clone()
    items["category_1"][5] = 21
    with pytest.raises(InvalidArgumentError, match=r"table 1 go from .* to 21"):
        FusedDlrm.freeze(_model(SMALL), "bfloat16", items)


def test_refuses_rows_out_of_range() -> None:
    fused = _frozen(_model(SMALL), "bfloat16")
    dense, rows, users, offsets = _inputs(SMALL, [4])
    rows[2] = NUM_ITEMS
    with pytest.raises(RuntimeError, match=r"item_rows\[2\] is 37"):
        fused(dense, rows, users, offsets)
    rows[2] = 0
    with pytest.raises(RuntimeError, match=r"user_rows\[0\] is 9"):
        fused(dense, rows, torch.tensor([9]), offsets)
    with pytest.raises(RuntimeError, match=r"offsets go from 0 to 3"):
        fused(dense, rows, users, torch.tensor([0, 3]))


def test_a_record_is_its_vectors_and_sums_in_bfloat16() -> None:
    # 2 groups of 16 vectors, 9 pairs of 4 bytes; 288 sums in panels of 64.
    assert record_bytes(WIDE, 18) == 2 * 16 * 9 * 4 + 320 * 2
