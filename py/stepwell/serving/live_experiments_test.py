import json
import os
from pathlib import Path
from typing import Any

from stepwell.base.metric_names import EXPERIMENT_FILE_REFUSALS, EXPERIMENTS_RUNNING
from stepwell.base.metrics import Metrics
from stepwell.serving.live_experiments import LiveExperiments


def arm(**overrides: float) -> dict[str, Any]:
    return {"name": "all", "num_buckets": 10_000, "overrides": overrides}


def write(path: Path, *layers: tuple[str, dict[str, Any]]) -> None:
    """Replaces the file by one of experiments that everybody is in."""
    said = [
        {
            "name": name,
            "salt": "s",
            "experiments": [{"name": name, "first_bucket": 0, "arms": [one]}],
        }
        for name, one in layers
    ]
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"format_version": 1, "layers": said}))
    os.replace(temporary, path)


def test_a_user_gets_what_the_file_says_and_then_what_it_says_next(
    tmp_path: Path,
) -> None:
    path, metrics = tmp_path / "experiments.json", Metrics()
    write(path, ("search", arm(ef_search=99)))
    live = LiveExperiments(path, metrics)
    first = live.assign("ann")
    assert first.treatment is not None
    assert first.treatment.ef_search == 99
    assert [one.experiment for one in first.exposures] == ["search"]
    assert metrics.value(EXPERIMENTS_RUNNING) == 1

    write(path, ("search", arm(ef_search=77)), ("mix", arm(diversity_lambda=0.3)))
    live.refresh()
    second = live.assign("ann").treatment
    assert second is not None
    assert (second.ef_search, second.diversity_lambda) == (77, 0.3)
    assert metrics.value(EXPERIMENTS_RUNNING) == 2


def test_a_wrong_file_is_refused_once_and_what_ran_goes_on(tmp_path: Path) -> None:
    path, metrics = tmp_path / "experiments.json", Metrics()
    write(path, ("search", arm(ef_search=99)))
    live = LiveExperiments(path, metrics)
    write(path, ("search", arm(ef_search=99_000)))
    live.refresh()
    live.refresh()
    treatment = live.assign("ann").treatment
    assert treatment is not None
    assert treatment.ef_search == 99
    assert metrics.value(EXPERIMENT_FILE_REFUSALS) == 1
    path.unlink()
    live.refresh()
    assert live.assign("ann").exposures
    assert metrics.value(EXPERIMENT_FILE_REFUSALS) == 2


def test_without_a_readable_file_at_the_start_nobody_is_in_an_experiment(
    tmp_path: Path,
) -> None:
    path, metrics = tmp_path / "experiments.json", Metrics()
    live = LiveExperiments(path, metrics)
    assert live.assign("ann").exposures == ()
    assert metrics.value(EXPERIMENT_FILE_REFUSALS) == 1
    write(path, ("search", arm(ef_search=99)))
    live.refresh()
    assert live.assign("ann").exposures
