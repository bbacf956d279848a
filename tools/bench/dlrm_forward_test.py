"""The row of the whole forward measures what it says."""

import re

import numpy as np
import pytest
import torch

from bench import dlrm_forward
from bench.dlrm_forward import (
    DlrmSize,
    PackedDlrmForward,
    Samples,
    TorchDlrm,
    area_under_curve,
)
from bench.report import BenchRow
from stepwell.models.precision import PRECISIONS, Precision

SMALL = DlrmSize(3, 50, 8, 5, 16, (300, 256), (24,))


@pytest.mark.parametrize("as_bags", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_both_forwards_are_one_model(precision: Precision, as_bags: bool) -> None:
    torch.manual_seed(2)
    with torch.inference_mode():
        model = TorchDlrm(SMALL).eval()
        model.as_bags = as_bags
        ours = PackedDlrmForward(model, precision, "float32")
        samples = Samples(SMALL)
        found = ours(samples.dense[0], samples.flat[0], samples.offsets)
        tolerance = 1e-5 if precision == "float32" else 0.05
        torch.testing.assert_close(
            found, model(samples.dense[0], samples.ids[0]), rtol=0.0, atol=tolerance
        )


def test_the_row_has_its_peers_and_its_quality(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dlrm_forward, "SIZE", SMALL)
    (row,) = dlrm_forward.rows(0.01, True, ("torch", "compile"))
    assert BenchRow(**row).ours > 0
    assert list(row["peers"]) == ["eager fp32"]
    assert row["bar"].startswith("<= 0.55x")
    quality = re.search(r"AUC (0\.\d+) to (0\.\d+) on 384 samples", row["work"])
    assert quality is not None
    before, after = map(float, quality.groups())
    assert before > 0.6
    assert after == pytest.approx(before, abs=0.02)
    assert float(row["work"].rsplit("error ", 1)[1].rstrip(")")) < 0.05


def test_the_strictest_form_is_shown_outside_the_bar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dlrm_forward, "SIZE", SMALL)
    monkeypatch.setattr(dlrm_forward, "AUC_BATCHES", 8)
    # As the compiler would leave it; compiling takes half a minute.
    monkeypatch.setattr(dlrm_forward, "compiled", lambda model: model)
    for row in dlrm_forward.rows(0.01, False, ("torch", "compile")):
        strictest = "compile + freezing, bf16, rows in place of bags"
        assert row["also"][strictest] > 0
        assert strictest not in row["peers"]
        assert len(row["peers"]) == 3


def test_area_under_curve_counts_pairs_and_halves_ties() -> None:
    random = np.random.default_rng(4)
    scores = random.integers(0, 6, 60) / 6
    labels = random.random(60) < scores
    wins = [
        1.0 if positive > negative else 0.5 * (positive == negative)
        for positive in scores[labels]
        for negative in scores[~labels]
    ]
    found = area_under_curve(scores.tolist(), labels.tolist())
    assert found == pytest.approx(np.mean(wins))
