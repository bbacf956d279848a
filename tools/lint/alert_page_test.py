"""One alert for each reason and refusal; all that it names exists; the page agrees."""

import ast
import re
from pathlib import Path

import pytest

from lint import alert_page
from lint.alert_page import PAGE, ROOT, Alert, alerts, main, written
from stepwell.base.metric_names import ALL_METRICS, DEGRADATION_REASONS, REFUSALS
from stepwell.base.metric_spec import MetricKind, MetricSpec
from stepwell.degradation.reasons import Reason
from stepwell.degradation.tier import Tier
from stepwell.degradation.trim import LOWEST_FIT_PPM

ALERTS = alerts()
SELECTOR = re.compile(r"\b((?:stepwell|grpc_server)_[a-z0-9_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|=|!=|!~)"([^"]*)"')
GIVEN_BY_PROMETHEUS = {"job", "instance", "worker"}


def _series() -> dict[str, MetricSpec]:
    """Names as /metrics shows them."""
    series: dict[str, MetricSpec] = {}
    for spec in ALL_METRICS:
        tails = (
            ("_bucket", "_sum", "_count")
            if spec.kind is MetricKind.HISTOGRAM
            else ("",)
        )
        series |= {spec.name + tail: spec for tail in tails}
    return series


def _selectors(alert: Alert) -> list[tuple[str, dict[str, str]]]:
    return [
        (name, {label: value for label, _, value in MATCHER.findall(labels)})
        for name, labels in SELECTOR.findall(alert.expression)
    ]


def _causes() -> set[str]:
    """Every cause that the sources count a refusal under."""
    causes = set()
    for path in (ROOT / "py" / "stepwell").rglob("*.py"):
        if path.stem.endswith("_test") or "REFUSALS" not in path.read_text():
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            first = node.args[0]
            if isinstance(first, ast.Name) and first.id == "REFUSALS":
                causes |= {
                    argument.value
                    for argument in node.args[1:]
                    if isinstance(argument, ast.Constant)
                    and isinstance(argument.value, str)
                }
    return causes


def _watched(spec: MetricSpec, label: str) -> list[str]:
    return [
        labels[label]
        for alert in ALERTS
        for name, labels in _selectors(alert)
        if name == spec.name and label in labels
    ]


def test_every_reason_has_its_alert() -> None:
    watched = _watched(DEGRADATION_REASONS, "reason")
    assert sorted(watched) == sorted(reason.label for reason in Reason)


def test_every_cause_of_a_refusal_has_its_alert() -> None:
    causes = _causes()
    assert {"overload", "expired", "no_release"} <= causes
    assert sorted(_watched(REFUSALS, "cause")) == sorted(causes)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_what_an_alert_names_exists(alert: Alert) -> None:
    series = _series()
    selectors = _selectors(alert)
    assert selectors
    known = set(GIVEN_BY_PROMETHEUS)
    for name, labels in selectors:
        assert name in series
        assert set(labels) <= set(series[name].labels) | GIVEN_BY_PROMETHEUS
        known |= set(series[name].labels)
        if "tier" in labels:
            assert labels["tier"] in {tier.label for tier in Tier}
    for grouping in re.findall(r"by \(([^)]*)\)", alert.expression):
        assert {label.strip() for label in grouping.split(",")} <= known


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_is_well_formed(alert: Alert) -> None:
    expression = alert.expression
    for left, right in ("()", "[]", "{}"):
        assert expression.count(left) == expression.count(right)
    # A counter is only ever looked at as a rate, a gauge never.
    for name, _ in _selectors(alert):
        counts = _series()[name].kind is not MetricKind.GAUGE
        place = expression.index(name)
        assert expression[:place].endswith("rate(") == counts
    assert re.search(r"[<>]|==", expression)
    assert re.fullmatch(r"\d+[smh]", alert.pending)
    assert alert.severity in ("page", "ticket")


def test_names_are_unique_and_each_runbook_is_a_heading_of_the_page() -> None:
    names = [alert.name for alert in ALERTS]
    assert len(set(names)) == len(names)
    page = PAGE.read_text()
    for alert in ALERTS:
        path, anchor = alert.runbook.split("#")
        assert ROOT / path == PAGE
        assert anchor == alert.name.lower()
        assert page.count(f"#### {alert.name}\n") == 1


def test_the_floor_of_f_is_the_one_that_is_watched() -> None:
    (floor,) = [a for a in ALERTS if a.name == "StepwellFitAtFloor"]
    assert floor.expression.endswith(f"<= {LOWEST_FIT_PPM / 1e6}")


def test_the_page_says_what_the_rules_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_a_page_that_differs_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- alerts -->\nold\n<!-- /alerts -->\nz\n")
    monkeypatch.setattr(alert_page, "PAGE", page)
    monkeypatch.setattr(alert_page, "ROOT", tmp_path)
    assert main(["--check"]) == 1
    assert "page.md differs" in capsys.readouterr().out
    assert main([]) == 0
    assert page.read_text().startswith("a\n<!-- alerts -->\n#### StepwellBacklog\n")
    assert page.read_text().endswith("<!-- /alerts -->\nz\n")
    assert main(["--check"]) == 0


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no <!-- alerts -->"):
        written("nothing here", ALERTS)
