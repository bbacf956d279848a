"""Pages of several processes as one that Prometheus reads."""

from prometheus_client.parser import text_string_to_metric_families

from stepwell.base.metric_names import ANSWERS, FIT_RATIO, GRPC_HANDLING
from stepwell.base.metrics import Metrics
from stepwell.serving.metrics_merge import merged_page


def _page(fit: float) -> bytes:
    metrics = Metrics()
    metrics.set(FIT_RATIO, fit)
    metrics.add(ANSWERS, "full")
    metrics.observe(GRPC_HANDLING, 0.004, "Recommend Service", 'a"} b')
    return metrics.exposition()


def test_every_series_of_every_process_is_there_once_with_its_worker() -> None:
    page = merged_page({"0": _page(0.5), "1": _page(0.25)})
    families = list(text_string_to_metric_families(page.decode()))
    assert len({family.name for family in families}) == len(families)
    samples = [sample for family in families for sample in family.samples]
    fits = {s.labels["worker"]: s.value for s in samples if s.name == FIT_RATIO.name}
    assert fits == {"0": 0.5, "1": 0.25}
    tiers = [s.labels for s in samples if s.name == ANSWERS.name]
    assert tiers == [{"worker": w, "tier": "full"} for w in "01"]
    handled = [s for s in samples if s.name.startswith(GRPC_HANDLING.name)]
    assert {s.labels["grpc_method"] for s in handled} == {'a"} b'}


def test_a_family_that_only_a_later_process_has_is_described_too() -> None:
    page = merged_page({"0": Metrics().exposition(), "1": _page(0.5)})
    assert page.count(f"# TYPE {FIT_RATIO.name} gauge\n".encode()) == 1


def test_no_process_is_an_empty_page() -> None:
    assert merged_page({}) == b""
