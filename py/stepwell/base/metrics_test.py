"""Metrics: only listed ones, counted right, readable by Prometheus."""

import re

import pytest

from stepwell.base.metric_names import (
    ALL_METRICS,
    ANSWERS,
    GRPC_HANDLING,
    QUEUE_AGE,
    ROW_AGE,
)
from stepwell.base.metric_spec import MetricKind, MetricSpec
from stepwell.base.metrics import Metrics


def test_counts_by_label() -> None:
    metrics = Metrics()
    metrics.add(ANSWERS, "full")
    metrics.add(ANSWERS, "full", amount=2)
    metrics.add(ANSWERS, "popular")
    assert metrics.value(ANSWERS, "full") == 3
    assert metrics.value(ANSWERS, "popular") == 1
    assert metrics.value(ANSWERS, "reduced") == 0


def test_exposition_carries_meaning_and_values() -> None:
    metrics = Metrics()
    metrics.set(QUEUE_AGE, 0.25)
    metrics.observe(GRPC_HANDLING, 0.004, "RecommendService", "Recommend")
    text = metrics.exposition().decode()
    assert f"# HELP {QUEUE_AGE.name} {QUEUE_AGE.meaning}" in text
    assert f"{QUEUE_AGE.name} 0.25" in text
    assert metrics.value(GRPC_HANDLING, "RecommendService", "Recommend") == 1


def test_the_page_has_only_what_was_touched_and_no_times_of_birth() -> None:
    metrics = Metrics()
    assert metrics.exposition() == b""
    metrics.add(ANSWERS, "full")
    text = metrics.exposition().decode()
    assert f'{ANSWERS.name}{{tier="full"}} 1.0' in text
    assert QUEUE_AGE.name not in text
    assert "_created" not in text


def test_ages_are_told_apart_from_seconds_to_a_year() -> None:
    metrics = Metrics()
    for age in (5.0, 3e6, 4e7):
        metrics.observe(ROW_AGE, age, "history")
    text = metrics.exposition().decode()
    counted = dict(re.findall(r'_bucket\{le="([^"]+)",view="history"\} (\S+)', text))
    wanted = {"1.0": "0.0", "10.0": "1.0", "7.776e+06": "2.0", "+Inf": "3.0"}
    assert wanted.items() <= counted.items()


def test_a_wrong_number_of_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="has labels"):
        Metrics().add(ANSWERS, "full", "more")


def test_two_instances_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.add(ANSWERS, "full")
    assert other.value(ANSWERS, "full") == 0


def test_refuses_a_metric_that_is_not_listed() -> None:
    unlisted = MetricSpec("stepwell_x_y_total", MetricKind.COUNTER, "Nothing.")
    with pytest.raises(ValueError, match="not listed"):
        Metrics().add(unlisted)


def test_every_name_follows_the_convention_and_is_explained() -> None:
    names = [spec.name for spec in ALL_METRICS]
    assert len(names) == len(set(names))
    for spec in ALL_METRICS:
        assert re.fullmatch(r"(stepwell_[a-z]+|grpc_server)_[a-z0-9_]+", spec.name)
        assert spec.name.endswith("_total") == (spec.kind is MetricKind.COUNTER)
        assert spec.meaning.endswith(".")
