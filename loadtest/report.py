"""The report of a run: one HTML page with plots, and one JSON document."""

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from by_second import BySecond, Series, by_second
from load_run import LoadRun, quantile
from slo import Finding, Situation
from stepwell.base.svg_charts import Frame, area_chart, line_chart

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:800px;margin:2em auto;padding:0 1em}
svg{display:block;max-width:100%;height:auto;margin:1em 0;font-size:12px}
svg text{fill:currentColor}
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}
th,td{padding:.25em .8em;text-align:right;border-bottom:1px solid #9996}
th:first-child,td:first-child{text-align:left}
.bad{color:#c00;font-weight:bold}
@media(prefers-color-scheme:dark){body{background:#151515;color:#ddd}}
"""
_MAX_CURVES = 4
_COLUMNS = {
    "calls": "num_calls",
    "rate/s": "offered",
    "in budget": "in_budget",
    "errors": "error_share",
    "p50 ms": "p50_ms",
    "p99 ms": "p99_ms",
    "p99.9 ms": "p999_ms",
    "max ms": "max_ms",
}


@dataclass(frozen=True)
class Report:
    """A run with what it was and how it is judged.

    Attributes:
        title: what was done.
        run: what came of it.
        situation: what it is judged by.
        slo: name of the limits, "" when none were asked for.
        findings: of those limits.
        facts: more lines, by name, such as the rate and the seed.
    """

    title: str
    run: LoadRun
    situation: Situation
    slo: str = ""
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, str] | None = None

    @property
    def good(self) -> bool:
        """True when the run counts and every limit holds."""
        return not self.run.void and all(found.holds for found in self.findings)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Returns the summary of each lane, "all" last."""
        budget = self.situation.budget_ms
        names = self.run.lane_names
        parts = {name: self.run.of_lane(name) for name in names}
        rows = {name: part.summary(budget) for name, part in parts.items() if len(part)}
        return {**rows, "all": self.run.summary(budget)}

    def as_json(self) -> dict[str, Any]:
        """Returns plain values: the summaries, the limits, the run by second."""
        capacity = self.situation.capacity
        return {
            "title": self.title,
            "facts": dict(self.facts or {}),
            "budget_ms": self.situation.budget_ms,
            "capacity": asdict(capacity) if capacity else None,
            "trouble_s": self.situation.trouble,
            "void": self.run.void,
            "slo": self.slo,
            "findings": [{**asdict(f), "holds": f.holds} for f in self.findings],
            "lanes": self.rows(),
            "by_second": by_second(self.run, self.situation.budget_ms).as_json(),
        }

    def as_html(self) -> str:
        """Returns the page; it loads nothing."""
        body = [
            f"<h1>{html.escape(self.title)}</h1>",
            self._facts(),
            self._verdict(),
            self._table(),
            *self._plots(by_second(self.run, self.situation.budget_ms)),
        ]
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            f"<title>{html.escape(self.title)}</title><style>{_STYLE}</style>"
            f"{''.join(body)}</html>\n"
        )

    def _facts(self) -> str:
        facts = dict(self.facts or {})
        capacity = self.situation.capacity
        if capacity:
            facts["capacity"] = (
                f"FULL {capacity.full:.0f}, REDUCED {capacity.reduced:.0f}, POPULAR "
                f"{capacity.popular:.0f} calls/s"
            )
        run = self.run
        facts["generator"] = (
            f"{run.generator_cpu_share:.0%} of a core, p99 of lateness "
            f"{quantile(run.late_ms(), 0.99):.2f} ms"
        )
        lines = (f"<b>{html.escape(k)}</b> {html.escape(v)}" for k, v in facts.items())
        return f"<p>{'<br>'.join(lines)}</p>"

    def _verdict(self) -> str:
        if self.run.void:
            return f'<p class="bad">Void: {html.escape(self.run.void)}</p>'
        items = "".join(
            f"<li{'' if found.holds else ' class=bad'}>{html.escape(str(found))}</li>"
            for found in self.findings
        )
        return (
            f"<h2>Limits: {html.escape(self.slo)}</h2><ul>{items}</ul>" if items else ""
        )

    def _table(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("lane", *_COLUMNS))
        body = "".join(
            f"<tr><td>{html.escape(name)}</td>"
            + "".join(f"<td>{row[key]:g}</td>" for key in _COLUMNS.values())
            + "</tr>"
            for name, row in self.rows().items()
        )
        return f"<table><tr>{head}</tr>{body}</table>"

    def _plots(self, series: BySecond) -> list[str]:
        shade = self.situation.trouble
        budget = self.situation.budget_ms
        rates = {
            "offered": series.offered.tolist(),
            "goodput": series.goodput.tolist(),
        }
        latency = {name: row.tolist() for name, row in series.latency_ms.items()}
        tiers = {name: row.tolist() for name, row in series.tiers.items()}
        reasons = _most(series.reasons)
        return [
            line_chart(Frame("calls/s", shade=shade), rates),
            line_chart(Frame("latency, ms", limit=budget, shade=shade), latency),
            area_chart(Frame("tiers, share of calls", top=1.0, shade=shade), tiers),
            line_chart(Frame("reasons/s", shade=shade), reasons),
        ]


def _most(rows: Mapping[str, Series]) -> dict[str, list[float]]:
    """Returns as many of the largest as a legend has room for, and the others' sum."""
    largest = sorted(rows, key=lambda name: -float(rows[name].sum()))
    shown = {name: rows[name].tolist() for name in largest[:_MAX_CURVES]}
    rest = [rows[name] for name in largest[_MAX_CURVES:]]
    if rest:
        shown["others"] = np.sum(rest, axis=0).tolist()
    return shown
