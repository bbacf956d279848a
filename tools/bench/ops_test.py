"""The benchmark of the operators measures what it says."""

import pytest

from bench import ops
from bench.report import BenchRow


def test_rows_have_the_shared_shape_and_small_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ops, "LOOKUPS", ((2, 50, 8, 4, 3),))
    monkeypatch.setattr(ops, "INTERACTIONS", ((3, 8, 4),))
    rows = [BenchRow(**row) for row in ops.measure(quick=True)]
    assert [row.work.split()[0] for row in rows] == [
        "lookup",
        "interaction",
        "interaction",
    ]
    for row in rows:
        assert row.ours > 0
        assert row.ratio == pytest.approx(min(row.peers.values()) / row.ours)
        assert float(row.work.rsplit("error ", 1)[1].rstrip(")")) < 1e-4
