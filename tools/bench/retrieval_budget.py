"""Search with a time budget: does it keep to it, and what does it find by then."""

from pathlib import Path

import numpy as np

from bench.retrieval_data import Workload
from bench.retrieval_engines import Stepwell
from bench.retrieval_figures import OURS, Bar, Row, recall_of, row, say, timed
from stepwell.base.svg_charts import CurvePoint, curve_chart

BUDGETS_MS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
JUDGED_MS = 2.0
P99_LIMIT_MS = 2.5
EF = 10_000
PLOT_NAME = "retrieval_budget.svg"


def budget_rows(work: Workload, ours: Stepwell, plots: Path | None) -> list[Row]:
    """Returns p99 of a call for each budget, one query a call, recall beside it.

    Args:
        work: what is searched.
        ours: over it.
        plots: folder for the curve of recall against budget; None draws none.
    """
    rows, points = [], []
    for budget_ms in BUDGETS_MS:
        say(f"budget: {budget_ms:g} ms")
        recall, share, p99 = _measured(work, ours, budget_ms)
        points.append(CurvePoint(budget_ms, recall, f"p99 {p99:.2f} ms"))
        rows.append(
            row(
                f"budget of {budget_ms:g} ms, ef {EF:,}, one query a call, "
                f"{work.sizes} (recall@{work.k} {recall:.4f}, {share:.0%} truncated)",
                "ms p99",
                {OURS: p99},
                lower_is_better=True,
                bar=Bar(limit=P99_LIMIT_MS) if budget_ms == JUDGED_MS else None,
            )
        )
    if plots is not None:
        labels = ("budget in ms", f"recall@{work.k}")
        plot = curve_chart(
            f"{work.sizes}, ef {EF:,}", labels, {OURS: points}, log_x=True
        )
        (plots / PLOT_NAME).write_text(plot)
    return rows


def _measured(
    work: Workload, ours: Stepwell, budget_ms: float
) -> tuple[float, float, float]:
    """Recall, share of truncated answers, p99 in ms."""
    spans, found, truncated = [], [], []
    for query in work.queries:
        took, result = timed(
            ours.index.search,
            query[None],
            work.k,
            ef_search=EF,
            budget_us=int(budget_ms * 1e3),
        )
        spans.append(took * 1e3)
        found.append(result.ids)
        truncated.append(bool(result.truncated[0]))
    recall = recall_of(np.concatenate(found), work.truth)
    return recall, float(np.mean(truncated)), float(np.percentile(spans, 99))
