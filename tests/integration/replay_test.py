"""What a real ranker answered is computed again from its log, to the bit."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine_options import engine_options
from integration.small_project import SmallProject
from log_replayer import Releases, replay_log, replay_one
from server_process import server_process
from serving_config import ServingConfig
from stepwell.base.errors import FailedPreconditionError, NotFoundError
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType, Tier
from stepwell.feedback.logged_events import decoded, impression_record
from stepwell.models.precision import DEFAULT_PRECISION
from stepwell.schema.feature_registry import REQUEST_CONTEXT, USER_HISTORY
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.user_history import UserHistory
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import feedback_pb2

OPTIONS = ClientOptions(deadline_ms=20_000)
NUM_USERS = 30


@pytest.fixture(scope="module")
def folder(project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the log of a ranker that answered at two tiers while events came in."""
    folder = tmp_path_factory.mktemp("replay")
    with (
        server_process("ranker_main", project.logging_flags(folder)) as server,
        RecommendClient(server.address, OPTIONS) as client,
    ):
        for number, user_id in enumerate(project.user_ids[:NUM_USERS]):
            tier = Tier.FULL if number % 3 else Tier.REDUCED
            said = {"local_hour": number % 24} if number % 2 else {}
            slate = client.recommend(
                user_id, num_items=10, forced_tier=tier, request_features=said
            )
            shown = [item.item_id for item in slate.items]
            client.recommend(user_id, forced_tier=tier, exclude_item_ids=shown[:3])
            # Not forced, one in some would exercise a tier that computes nothing.
            client.rank(user_id, shown[::-1], forced_tier=tier)
            bought = Event(f"e{number}", user_id, shown[0], EventType.PURCHASE)
            client.log_events([bought])
        # An impression is written after its answer; once drained, all are on disk.
        assert server.terminate() == 0
    return folder


@pytest.fixture
def log(folder: Path) -> Iterator[LmdbEventLog]:
    with closing(LmdbEventLog(folder / "events.lmdb")) as log:
        yield log


@pytest.fixture
def releases(project: SmallProject) -> Releases:
    options = engine_options(ServingConfig(), None, 0, DEFAULT_PRECISION)
    return Releases(project.state.registry, options)


def impressions(log: LmdbEventLog) -> list[feedback_pb2.Impression]:
    lines = [decoded(line).event for line in log.read(0, 10_000)]
    return [line for line in lines if isinstance(line, feedback_pb2.Impression)]


def test_every_logged_answer_comes_out_the_same(
    log: LmdbEventLog, releases: Releases
) -> None:
    report = replay_log(log, releases)
    assert not report.different
    assert not report.not_replayed
    assert report.num_same == 3 * NUM_USERS
    assert report.num_features > report.num_same * 20


def test_one_request_is_found_by_its_id(log: LmdbEventLog, releases: Releases) -> None:
    wanted = impressions(log)[7].request_id
    replayed = replay_one(log, releases, wanted)
    assert replayed.request_id == wanted
    assert replayed.is_same
    with pytest.raises(NotFoundError, match="no impression of request nobody"):
        replay_one(log, releases, "nobody")


def test_a_row_that_was_another_is_named_by_the_first_feature_that_differs(
    log: LmdbEventLog, releases: Releases
) -> None:
    impression = next(i for i in impressions(log) if _history_of(i) is not None)
    stored = _history_of(impression)
    assert stored is not None
    row = FeatureRow.unpack(USER_HISTORY, stored.row)
    history = UserHistory.unpack(row.body)
    later = replace(row, body=replace(history, num_trips=history.num_trips + 5).pack())
    stored.row = later.pack()
    replayed = releases.replayer(impression.release_id).replay(impression)
    first = replayed.differences[0]
    assert (first.kind, first.name) == ("feature", "user_trips")
    assert first.logged != first.replayed
    assert {d.kind for d in replayed.differences[1:]} <= {"item", "score"}


def test_a_caller_that_said_something_else_is_named_by_the_first_feature(
    log: LmdbEventLog, releases: Releases
) -> None:
    impression = impressions(log)[3]
    (stored,) = (r for r in impression.replay.rows if r.view == REQUEST_CONTEXT.name)
    row = FeatureRow.unpack(REQUEST_CONTEXT, stored.row)
    values = row.values.copy()
    assert values["local_hour"] == 1
    values["local_hour"] = 8
    stored.row = FeatureRow.of(REQUEST_CONTEXT, values, 1, 1).pack()
    replayed = releases.replayer(impression.release_id).replay(impression)
    first = replayed.differences[0]
    assert (first.kind, first.name) == ("feature", "request_hour_sin")


def test_a_score_that_was_another_is_found(
    log: LmdbEventLog, releases: Releases
) -> None:
    impression = impressions(log)[0]
    score = np.float32(impression.items[4].score)
    impression.items[4].score = float(np.nextafter(score, np.float32(np.inf)))
    replayed = releases.replayer(impression.release_id).replay(impression)
    assert [(d.kind, d.place) for d in replayed.differences] == [("score", 4)]


def test_what_was_not_logged_whole_is_counted_and_refused(
    log: LmdbEventLog, releases: Releases, tmp_path: Path
) -> None:
    impression = impressions(log)[0]
    whole = feedback_pb2.Impression.FromString(impression.SerializeToString())
    whole.release_id, whole.request_id = "v000009", "of another release"
    impression.ClearField("replay")
    with pytest.raises(FailedPreconditionError, match="replayable_share"):
        releases.replayer(impression.release_id).replay(impression)
    with closing(LmdbEventLog(tmp_path / "events.lmdb")) as other:
        other.append([impression_record(i, 1) for i in (impression, whole)])
        report = replay_log(other, releases)
    assert report.num_replayed == 0
    assert dict(report.not_replayed) == {"the release is gone from the registry": 1}


def _history_of(impression: feedback_pb2.Impression) -> feedback_pb2.StoredRow | None:
    for row in impression.replay.rows:
        if row.view == USER_HISTORY.name and row.HasField("row"):
            return row
    return None
