"""Purchases in the log change what the next requests are made of, in a real ranker."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from integration.small_project import SmallProject
from server_process import server_process
from stepwell.client.attempts import ClientOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType, Tier
from stepwell.feedback.logged_events import decoded
from stepwell.feedback.served_request import ReplayInputs
from stepwell.pipeline.candidate import SOURCE_NAMES
from stepwell.schema.feature_registry import ITEM_ACTIVITY
from stepwell.schema.vocabulary import VOCABULARY_FILE, Vocabulary
from stepwell.stores.lmdb_event_log import LmdbEventLog
from stepwell_pb.v1 import feedback_pb2

NUM_BUYERS = 40
PATIENCE_S = 60.0
OPTIONS = ClientOptions(deadline_ms=20_000)


def asked(client: RecommendClient, log: LmdbEventLog) -> Iterator[ReplayInputs]:
    """Asks for one newcomer again and again; yields what each answer was made of."""
    at = log.end_offset()
    given_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < given_up:
        client.recommend("newcomer", forced_tier=Tier.FULL)
        assert log.wait(at, PATIENCE_S)
        lines = log.read(at, 1_000)
        at = lines[-1].offset + 1
        for line in lines:
            shown = decoded(line).event
            if isinstance(shown, feedback_pb2.Impression):
                made_of = ReplayInputs.of(shown)
                assert made_of is not None
                yield made_of


def bought(item_id: str) -> list[Event]:
    return [
        Event(f"buyer {n}", f"buyer {n}", item_id, EventType.PURCHASE)
        for n in range(NUM_BUYERS)
    ]


def test_an_item_that_many_buy_now_is_retrieved_and_its_features_say_so(
    project: SmallProject, tmp_path: Path
) -> None:
    flags = project.flags(
        f"--store={tmp_path / 'online.lmdb'}",
        f"--event_log={tmp_path / 'events.lmdb'}",
        "--replayable_share=1",
    )
    release = project.state.registry / "v000001"
    vocabulary = Vocabulary.load(release / VOCABULARY_FILE)
    with (
        server_process("ranker_main", flags) as server,
        RecommendClient(server.address, OPTIONS) as client,
        closing(LmdbEventLog(tmp_path / "events.lmdb")) as log,
    ):
        before = next(asked(client, log))
        others = np.setdiff1d(np.arange(len(vocabulary)), before.candidates.rows)
        row = int(others[0])
        client.log_events(bought(vocabulary.id_of_row(row)))
        after = next(
            made_of
            for made_of in asked(client, log)
            if row in made_of.candidates.rows.tolist()
        )
    place = after.candidates.rows.tolist().index(row)
    trending = after.candidates.source_ranks[place, SOURCE_NAMES.index("trending")]
    assert trending == 0
    state = np.frombuffer(after.item_state, ITEM_ACTIVITY.row_dtype)
    assert state["purchase_decayed_1h"][place] > NUM_BUYERS * 0.9
    assert after.item_state_offset > NUM_BUYERS
    assert before.item_state_offset < NUM_BUYERS
