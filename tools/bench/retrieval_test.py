"""The retrieval benchmark, whole, on small sizes."""

from pathlib import Path

import numpy as np
import pytest

from bench import retrieval
from bench.report import BenchRow
from bench.retrieval_budget import BUDGETS_MS
from bench.retrieval_engines import CONTENDERS, BuildOptions
from bench.retrieval_filters import SHARES
from bench.retrieval_options import PARTS, RetrievalOptions
from stepwell.index.options import Metric

FILE_KINDS = ["open", "memory", "save"]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = retrieval._Sizes(1, 2_000, 20, 500, 3_000)
    monkeypatch.setattr(retrieval, "_QUICK", sizes)


@pytest.mark.usefixtures("small")
def test_every_part_gives_its_rows_beside_its_peers(tmp_path: Path) -> None:
    options = RetrievalOptions(quick=True, parts=PARTS, plots=tmp_path)
    rows = [BenchRow(**row) for row in retrieval.measure(options=options)]
    kinds = [row.work.split()[0].rstrip(":,") for row in rows]
    assert kinds == (
        ["batch"] * 2
        + ["one", "the"] * 2
        + ["build", "memory"]
        + ["budget"] * len(BUDGETS_MS)
        + ["3", "the", "the", "the"]
        + ["filter"] * (len(SHARES) + 1)
        + FILE_KINDS
        + ["large"] * 6
    )
    assert set(rows[0].peers) == {"hnswlib", "faiss", "usearch"}
    errors = next(row for row in rows if "errors in" in row.work)
    assert errors.ours == 0, errors.work
    plots = sorted(path.name for path in tmp_path.iterdir())
    assert plots == ["retrieval_budget.svg", "retrieval_curves.svg"]


@pytest.mark.usefixtures("small")
def test_only_the_parts_asked_for_are_measured() -> None:
    options = RetrievalOptions(quick=True, parts=("open",))
    rows = retrieval.measure(options=options)
    assert [row["work"].split()[0].rstrip(",") for row in rows] == FILE_KINDS
    assert not any(row["bar"] for row in rows)  # small sizes judge nothing


@pytest.mark.parametrize("metric", ["cosine", "inner_product", "l2"])
@pytest.mark.parametrize("name", CONTENDERS)
def test_every_engine_finds_the_items_themselves(name: str, metric: Metric) -> None:
    vectors = np.random.default_rng(1).normal(size=(400, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    options = BuildOptions(metric, m=16, ef_construction=100, num_threads=1)
    engine = CONTENDERS[name](vectors, options)
    engine.set_width(64)
    found = engine.search(vectors, 1)
    assert np.mean(found[:, 0] == np.arange(400)) > 0.99
