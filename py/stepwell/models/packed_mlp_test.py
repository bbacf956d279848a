"""Packed chains of layers against the same chains of torch's own layers."""

import pytest
import torch
from torch import Tensor, nn

from stepwell.base.errors import InvalidArgumentError
from stepwell.models.packed_mlp import PackedMlp, usable_precision
from stepwell.models.precision import PRECISIONS, Precision

# Largest difference of outputs whose standard deviation is 1.
TOLERANCES: dict[Precision, float] = {"float32": 1e-4, "bfloat16": 0.05, "int8": 0.1}
WIDTHS = (37, 512, 256, 9, 3)

every_precision = pytest.mark.parametrize("precision", PRECISIONS)


@pytest.fixture(autouse=True)
def without_gradients() -> object:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def chain() -> nn.Sequential:
    """Layers large and small, with and without ReLU; outputs of about unit size."""
    torch.manual_seed(3)
    layers = nn.Sequential(
        nn.Sequential(nn.Linear(37, 512), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(512, 256),
        nn.Linear(256, 320),
        nn.ReLU(),
        nn.Linear(320, 9),
        nn.Linear(9, 3),
    ).eval()
    for layer in layers.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=(1.5 / layer.in_features) ** 0.5)
            nn.init.normal_(layer.bias)
    return layers


def _rows(num_rows: int) -> Tensor:
    return torch.randn(num_rows, 37, generator=torch.Generator().manual_seed(num_rows))


@every_precision
@pytest.mark.parametrize("num_rows", [0, 1, 7, 256, 801])
def test_equals_the_chain(
    chain: nn.Sequential, precision: Precision, num_rows: int
) -> None:
    packed = PackedMlp.pack(chain, precision)
    x = _rows(num_rows)
    found = packed(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, chain(x), rtol=0.0, atol=TOLERANCES[precision] * 3.0
    )


def test_int8_is_for_matrices_that_are_worth_it(chain: nn.Sequential) -> None:
    packed = PackedMlp.pack(chain, "int8")
    assert packed.precisions == ("bfloat16", "int8", "int8", "bfloat16", "float32")


@every_precision
def test_takes_bfloat16_and_gives_it(
    chain: nn.Sequential, precision: Precision
) -> None:
    packed = PackedMlp.pack(chain, precision, torch.bfloat16)
    found = packed(_rows(5).bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), chain(_rows(5)), rtol=0.1, atol=0.3)


@every_precision
def test_takes_columns_of_a_wider_tensor(
    chain: nn.Sequential, precision: Precision
) -> None:
    wide = torch.randn(6, 40)
    packed = PackedMlp.pack(chain, precision)
    assert torch.equal(packed(wide[:, 3:]), packed(wide[:, 3:].contiguous()))
    assert torch.equal(packed(wide[:, 3:].t().contiguous().t()), packed(wide[:, 3:]))


@every_precision
def test_a_row_that_is_no_number_does_not_touch_the_others(
    chain: nn.Sequential, precision: Precision
) -> None:
    packed = PackedMlp.pack(chain, precision)
    x = _rows(7)
    expected = packed(x)
    x[3, 5] = torch.nan
    found = packed(x)
    found[3] = expected[3]
    assert torch.equal(found, expected)


@every_precision
def test_does_not_see_later_changes_of_the_chain(precision: Precision) -> None:
    chain = nn.Sequential(nn.Linear(300, 300), nn.Linear(300, 2))
    x = torch.randn(4, 300)
    packed = PackedMlp.pack(chain, precision)
    before = packed(x)
    for parameter in chain.parameters():
        parameter.zero_()
    assert torch.equal(packed(x), before)


def test_zero_weights_are_no_error() -> None:
    chain = nn.Sequential(nn.Linear(300, 300), nn.ReLU(), nn.Linear(300, 300))
    for parameter in chain.parameters():
        parameter.zero_()
    assert torch.equal(PackedMlp.pack(chain, "int8")(torch.ones(2, 300)).sum(), _ZERO)


_ZERO = torch.zeros(())


@every_precision
def test_refuses_another_width(chain: nn.Sequential, precision: Precision) -> None:
    with pytest.raises(RuntimeError):
        PackedMlp.pack(chain, precision)(torch.zeros(4, 36))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "no nn.Linear"),
        ([nn.ReLU()], "layers has ReLU"),
        ([nn.Linear(2, 3), nn.Tanh()], "layers has Tanh"),
        ([nn.Linear(2, 3, bias=False)], "must be nn.Linear with bias"),
        ([nn.Linear(2, 3), nn.Linear(4, 1)], "is followed by"),
    ],
)
def test_refuses_what_is_no_chain(layers: list[nn.Module], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        PackedMlp.pack(layers, "float32")


def test_refuses_precisions_and_outputs_it_does_not_know() -> None:
    with pytest.raises(InvalidArgumentError, match="precision is 'fp8', must be"):
        PackedMlp.pack([nn.Linear(2, 2)], "fp8")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"output_dtype is torch\.float16"):
        PackedMlp.pack([nn.Linear(2, 2)], "float32", torch.float16)
    with pytest.raises(InvalidArgumentError, match="precision is 'fp8', must be"):
        usable_precision("fp8")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "wanted", "usable", "missing"),
    [
        (set(), "float32", "float32", ""),
        (set(), "bfloat16", "float32", "AVX512-BF16"),
        ({"avx512_bf16"}, "bfloat16", "bfloat16", ""),
        ({"amx_bf16"}, "bfloat16", "bfloat16", ""),
        ({"avx512_bf16"}, "int8", "float32", "AVX512-VNNI"),
        ({"avx512_bf16", "avx512_vnni"}, "int8", "int8", ""),
        ({"avx512_vnni"}, "int8", "float32", "AVX512-BF16"),
    ],
)
def test_falls_back_to_float32_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
    flags: set[str],
    wanted: Precision,
    usable: Precision,
    missing: str,
) -> None:
    monkeypatch.setattr("stepwell.models.precision.processor_flags", lambda: flags)
    precision, why = usable_precision(wanted)
    assert precision == usable
    assert missing in why
    assert bool(why) == bool(missing)
