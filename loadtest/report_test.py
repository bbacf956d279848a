"""The page and the document say what the run was."""

import json

import numpy as np
import pytest

from by_second import by_second
from capacity import Capacity
from journal import Journal
from load_run_fixture import run_of
from report import Report
from slo import Finding, Situation
from stepwell.base.errors import ResourceExhaustedError
from stepwell.client.types import Answer, Reason, ServedBy, Tier

RUN = run_of(
    [5.0] * 150 + [50.0] * 50,
    tier=[1] * 100 + [3] * 100,
    status=[0] * 190 + [8] * 10,
    reasons=[0] * 100 + [1 << Reason.BACKLOG] * 100,
    lane_names=("interactive <&>",),
)


def _report(void: str = "") -> Report:
    findings = (
        Finding("p99, ms", 50.0, 20.0, at_most=True),
        Finding("share of FULL", 0.99, 0.98, at_most=False),
    )
    run = RUN if not void else run_of([5.0], void=void)
    situation = Situation(20.0, Capacity(100, 200, 300), trouble=(0.5, 1.0))
    return Report("spike & more", run, situation, "burst", findings, {"seed": "7"})


def test_series_have_one_value_a_second() -> None:
    series = by_second(RUN, 20.0)
    assert series.offered.tolist() == [100, 100]
    assert series.goodput.tolist() == [100, 50]
    assert series.latency_ms["p50"].tolist() == pytest.approx([5.0, 50.0])
    assert series.tiers["FULL"].tolist() == [1.0, 0.0]
    assert series.tiers["error"].tolist() == pytest.approx([0.0, 0.1])
    assert series.reasons["BACKLOG"].tolist() == [0, 100]


def test_the_document_is_plain_json() -> None:
    document = json.loads(json.dumps(_report().as_json()))
    assert document["slo"] == "burst"
    assert [found["holds"] for found in document["findings"]] == [False, True]
    assert document["lanes"]["all"]["num_calls"] == 200
    assert document["capacity"]["popular"] == 300
    assert len(document["by_second"]["latency_ms"]["p99.9"]) == 2
    assert not _report().good


@pytest.mark.parametrize(
    "part",
    [
        "spike &amp; more",
        "interactive &lt;&amp;&gt;",
        "p99, ms is 50, must be &lt;= 20",
        "class=bad",
        "POPULAR 300 calls/s",
        "<b>seed</b> 7",
        "latency, ms",
        "BACKLOG",
    ],
)
def test_the_page_shows_it(part: str) -> None:
    assert part in _report().as_html()


def test_the_page_loads_nothing() -> None:
    page = _report().as_html()
    assert page.count("<svg") == 4
    for word in ("http", "<script", "<link", "src="):
        assert word not in page


def test_a_void_run_is_shown_as_void() -> None:
    report = _report(void="the generator slept")
    assert "Void: the generator slept" in report.as_html()
    assert not report.good


def test_a_journal_is_a_run() -> None:
    served = ServedBy(
        Tier.REDUCED, (Reason.BACKLOG,), 1.0, "v1", "", {}, 20, 900, {}, (), None, 0
    )
    journal = Journal()
    journal.note("browse", 10.5, 10.52, Answer("r", (), served))
    journal.note("click", 10.0, 10.01, None)
    journal.note("browse", 11.0, 11.1, ResourceExhaustedError("shed"))
    run = journal.run()
    assert run.latency_ms() == pytest.approx([10.0, 20.0, 100.0])
    assert [run.lane_names[lane] for lane in run.lane] == ["click", "browse", "browse"]
    assert run.status_counts() == {"OK": 2, "RESOURCE_EXHAUSTED": 1}
    assert run.tier.tolist() == [0, Tier.REDUCED, 0]
    assert run.reason_counts() == {"BACKLOG": 1}
    assert (run.server_us[1], run.queue_us[1]) in ((900, 20), (20, 900))
    assert len(Journal().run()) == 0
    assert np.isfinite(Journal().run().summary(20.0)["offered"])


def test_a_legend_names_four_reasons_and_sums_up_the_others() -> None:
    bits = sum(1 << number for number in range(1, 8))
    page = Report("many", run_of([5.0] * 10, reasons=bits), Situation()).as_html()
    assert "others" in page
    assert page.count("DEADLINE_") + page.count("BACKLOG") + page.count("BREAKER") == 4
