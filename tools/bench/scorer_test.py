"""The benchmark `scorer` on small tables: who is compared, and that they agree."""

import numpy as np
import pytest
import torch

from bench import scorer
from stepwell.models.packed_mlp import usable_precision

pytestmark = pytest.mark.skipif(
    bool(usable_precision("int8")[1]), reason="no processor of the fused form"
)


@pytest.fixture(autouse=True)
def without_gradients() -> object:
    with torch.inference_mode():
        yield


def test_every_row_names_its_contenders_and_its_quality() -> None:
    large, in_one_call, by_threads = scorer._large_rows(50, turns=1)
    small = scorer._small_row(turns=1)
    assert set(large.peers) == {"eager fp32"}
    assert set(large.also) == {"fused, bf16", "tables, int8", "the same model eager"}
    assert "AUC" in large.work
    assert set(in_one_call.also) == {"batches of 2", "batches of 4"}
    assert len(by_threads.also) == 3
    assert small.bar == "<= 300 us"
    for row in (large, small, in_one_call, by_threads):
        assert min([row.ours, *row.peers.values(), *row.also.values()]) > 0


def test_the_models_logits_spread_as_a_trained_models() -> None:
    site = scorer.large_site(50)
    requests = scorer.Requests(site)
    model = scorer._model(site.config, requests)
    logits = model(*scorer._tensors(requests.batches[0]))
    assert float(logits.mean()) == pytest.approx(-1.8, abs=1e-3)
    assert float(logits.std()) == pytest.approx(1.3, abs=1e-3)


def test_fused_and_exact_scores_agree() -> None:
    site = scorer.small_site()
    requests = scorer.Requests(site)
    model = scorer._model(site.config, requests)
    fused = scorer._fused(model, "bfloat16", requests)
    exact = scorer._scorer(model, site.config)
    for batch in requests.batches[:3]:
        np.testing.assert_allclose(
            fused.score(batch).total, exact.score(batch).total, atol=0.03
        )
