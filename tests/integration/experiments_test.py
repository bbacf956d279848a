"""An experiment from its file to its report, through a ranker that serves it."""

import argparse
import json
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import chisquare

from commands import experiment
from engine_options import engine_options
from integration.small_project import SmallProject
from log_replayer import Releases, replay_log
from server_process import server_process
from serving_config import ServingConfig
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType, Tier
from stepwell.experiments.assigner import Assigner
from stepwell.experiments.experiment_file import parse_layers
from stepwell.feedback.logged_events import decoded
from stepwell.models.precision import DEFAULT_PRECISION
from stepwell.pipeline.overrides import PlanOverrides
from stepwell.releases.canary_route import CanaryRoute
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import feedback_pb2

OPTIONS = ClientOptions(deadline_ms=20_000)
NUM_USERS = 40


def layer(name: str, treated: str, **overrides: float) -> dict[str, Any]:
    arms = [
        {"name": "control", "num_buckets": 5_000},
        {"name": treated, "num_buckets": 5_000, "overrides": overrides},
    ]
    one = {"name": f"{name}-trial", "first_bucket": 0, "arms": arms}
    return {"name": name, "salt": "s", "experiments": [one]}


FILE = json.dumps(
    {
        "format_version": 1,
        "layers": [
            layer("retrieval", "few", num_candidates=7),
            layer("reranking", "mixed", diversity_lambda=0.9, freshness_weight=3.0),
        ],
    }
)


@pytest.fixture(scope="module")
def folder(project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the file, and the log of a ranker that followed it."""
    folder = tmp_path_factory.mktemp("experiments")
    (folder / "experiments.json").write_text(FILE)
    flags = project.logging_flags(folder)
    flags.append(f"--experiments={folder / 'experiments.json'}")
    with (
        server_process("ranker_main", flags) as server,
        RecommendClient(server.address, OPTIONS) as client,
    ):
        for number, user_id in enumerate(project.user_ids[:NUM_USERS]):
            answer = client.recommend(user_id, num_items=10, forced_tier=Tier.FULL)
            item = answer.items[0].item_id
            if number % 2:
                event = Event(
                    f"e{number}",
                    user_id,
                    item,
                    EventType.CLICK,
                    request_id=answer.request_id,
                )
                client.log_events([event])
        assert server.terminate() == 0
    return folder


def impressions(folder: Path) -> list[feedback_pb2.Impression]:
    with closing(LmdbEventLog(folder / "events.lmdb")) as log:
        lines = [decoded(line).event for line in log.read(0, 1_000)]
    return [line for line in lines if isinstance(line, feedback_pb2.Impression)]


def test_answers_are_of_the_arms_that_their_users_were_dealt(folder: Path) -> None:
    assigner = Assigner(parse_layers(FILE.encode(), PlanOverrides.of), PlanOverrides.of)
    seen = set()
    for impression in impressions(folder):
        exposures, treatment = assigner.assign(impression.user_id)
        logged = [(one.experiment, one.arm, one.bucket) for one in impression.exposures]
        assert logged == [tuple(one) for one in exposures]
        overrides = {one.name: one.value for one in impression.replay.overrides}
        assert overrides == (treatment.values() if treatment is not None else {})
        num_candidates = len(impression.replay.candidate_rows) // 8
        assert (num_candidates == 7) == ("num_candidates" in overrides)
        seen.add(tuple(one.arm for one in exposures))
    assert len(seen) == 4


def test_what_an_arm_changed_is_replayed_to_the_bit(
    folder: Path, project: SmallProject
) -> None:
    options = engine_options(ServingConfig(), None, 0, DEFAULT_PRECISION)
    releases = Releases(project.state.registry, options)
    with closing(LmdbEventLog(folder / "events.lmdb")) as log:
        report = replay_log(log, releases)
    assert not report.different
    assert report.num_same == NUM_USERS


def test_the_report_counts_what_the_log_says(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    experiment.add_arguments(parser)
    words = ["report", "retrieval-trial", "--json"]
    words += ["--event-log", str(folder / "events.lmdb")]
    words += ["--file", str(folder / "experiments.json")]
    assert experiment.run(parser.parse_args(words)) == 0
    said = json.loads(capsys.readouterr().out)
    arms = Counter(one.exposures[0].arm for one in impressions(folder))
    assert {one["name"]: one["users"] for one in said["arms"]} == arms
    clicks = next(one for one in said["comparisons"] if one["metric"] == "clicks")
    total = clicks["control"] * arms["control"] + clicks["value"] * arms["few"]
    assert round(total) == NUM_USERS // 2


def test_arms_and_a_canary_are_dealt_independently() -> None:
    assigner = Assigner(parse_layers(FILE.encode(), PlanOverrides.of), PlanOverrides.of)
    route = CanaryRoute(serial=2, share_ppm=300_000, salt="s")
    users = [str(number) for number in range(12_000)]
    pairs = Counter(
        (assigner.assign(user).exposures[0].arm, route.takes(user)) for user in users
    )
    share = {True: 0.3, False: 0.7}
    expected = [len(users) * 0.5 * share[taken] for _, taken in sorted(pairs)]
    found = [pairs[key] for key in sorted(pairs)]
    assert chisquare(found, expected).pvalue > 1e-4
