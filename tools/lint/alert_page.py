"""Writes the alerts' part of docs/when-things-break.md from the Prometheus rules.

    python tools/lint/alert_page.py            rewrite the page
    python tools/lint/alert_page.py --check    exit 1 when the page differs

What a rule means, what the user sees and what to do stand in the rule itself, so that
the page and the pager never say different things.
"""

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "stepwell.rules.yml"
PAGE = ROOT / "docs" / "when-things-break.md"
_PART = re.compile(r"(<!-- alerts -->\n).*?(<!-- /alerts -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule.

    Attributes:
        name: as the pager shows it.
        expression: PromQL that is true while something is wrong.
        pending: how long it has to be true.
        severity: page or ticket.
        summary, impact, action: what is wrong, what users see of it, what to do.
        runbook: where the page says so.
    """

    name: str
    expression: str
    pending: str
    severity: str
    summary: str
    impact: str
    action: str
    runbook: str


def alerts(rules: Path = RULES) -> list[Alert]:
    """Returns every rule of the file, in its order.

    Raises:
        KeyError: a rule lacks a part.
    """
    document = yaml.safe_load(rules.read_text())
    return [_alert(rule) for group in document["groups"] for rule in group["rules"]]


def _alert(rule: dict[str, Any]) -> Alert:
    notes = rule["annotations"]
    return Alert(
        name=rule["alert"],
        expression=rule["expr"],
        pending=rule["for"],
        severity=rule["labels"]["severity"],
        summary=notes["summary"],
        impact=notes["impact"],
        action=notes["action"],
        runbook=notes["runbook_url"],
    )


def rendered(found: list[Alert]) -> str:
    """Returns a section for each alert; its heading is what runbook_url points at."""
    return "\n".join(
        f"#### {alert.name}\n\n"
        f"{_plain(alert.summary)} ({alert.severity}, after {alert.pending})\n\n"
        f"- Users see: {_plain(alert.impact)}\n"
        f"- Do: {_plain(alert.action)}\n"
        for alert in found
    )


def _plain(text: str) -> str:
    """Without the templates that only Prometheus fills."""
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"the \1 of the label", text)


def written(page: str, found: list[Alert]) -> str:
    """Returns the page with its part between the marks replaced.

    Raises:
        ValueError: the page has no marks.
    """
    if not _PART.search(page):
        raise ValueError("the page has no <!-- alerts --> ... <!-- /alerts -->")
    text = rendered(found)
    return _PART.sub(lambda part: f"{part[1]}{text}{part[2]}", page)


def main(argv: list[str] | None = None) -> int:
    """Writes or checks the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args(argv).check
    before = PAGE.read_text()
    after = written(before, alerts())
    if check:
        if before != after:
            print(f"{PAGE.relative_to(ROOT)} differs: run {Path(__file__).name}")
        return int(before != after)
    PAGE.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
