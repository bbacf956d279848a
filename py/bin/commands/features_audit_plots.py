"""The charts of a skew audit."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from skew_audit import AuditReport
from stepwell.base.svg_charts import CurvePoint, curve_chart
from stepwell.features.skew import SkewTable
from stepwell.features.skew_profile import LARGE_SHIFT, MODERATE_SHIFT

_MAX_POINTS = 200
_SHARE = "share of the rows"


def write(report: AuditReport, folder: Path) -> list[Path]:
    """Writes a chart for each part that has something to show; returns their paths."""
    charts = {
        "shift": _shift(report.shift.psi),
        "ages": _spread(
            "Age of the rows served",
            "seconds from the newest event to the request",
            {name: view.ages for name, view in report.views.items()},
            1.0,
        ),
        "lags": _spread(
            "How far rows that lacked an event were behind",
            "milliseconds from the event's arrival to the impression",
            {name: view.lags_us for name, view in report.views.items()},
            1e-3,
        ),
        "rows": _mismatch("Rows against the log", report.rows),
        "vectors": _mismatch("Vectors against the log", report.vectors),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, chart in charts.items():
        path = folder / f"skew_{name}.svg"
        # One of an earlier audit would tell of that one.
        path.unlink(missing_ok=True)
        if chart:
            path.write_text(chart)
            paths.append(path)
    return paths


def _shift(psi: Mapping[str, float]) -> str:
    if not psi:
        return ""
    last = float(max(len(psi), 2))
    limits = {
        f"moderate, {MODERATE_SHIFT}": MODERATE_SHIFT,
        f"large, {LARGE_SHIFT}": LARGE_SHIFT,
    }
    return curve_chart(
        "Served features against training",
        ("features, the most shifted first", "population stability index"),
        {
            "feature": [
                CurvePoint(float(place), value, name)
                for place, (name, value) in enumerate(psi.items(), 1)
            ],
            **{
                name: [CurvePoint(x, limit, name) for x in (1.0, last)]
                for name, limit in limits.items()
            },
        },
    )


def _spread(
    title: str, unit: str, values: Mapping[str, Sequence[int]], scale: float
) -> str:
    curves = {
        name: _cumulative(name, np.sort(np.asarray(held)) * scale)
        for name, held in values.items()
        if held
    }
    if not curves:
        return ""
    return curve_chart(title, (unit, _SHARE), curves, log_x=True)


def _cumulative(name: str, ordered: np.ndarray) -> list[CurvePoint]:
    """Points of the share at or below each value; 0 stands at 1 on the logarithm."""
    size = len(ordered)
    places = np.unique(np.linspace(0, size - 1, min(size, _MAX_POINTS)).astype(int))
    return [
        CurvePoint(max(float(ordered[place]), 1.0), (place + 1) / size, name)
        for place in places.tolist()
    ]


def _mismatch(title: str, table: SkewTable) -> str:
    different = table.different
    if not different:
        return ""
    return curve_chart(
        title,
        ("features that differ, the most frequent first", "share that differs"),
        {
            "feature": [
                CurvePoint(float(place), table.features[name].share, name)
                for place, name in enumerate(different, 1)
            ]
        },
    )
