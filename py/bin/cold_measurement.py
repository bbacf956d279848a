"""What a release is worth to users it knows little of, through the serving path itself.

The held-out users are asked for as if they were new: the online store begins empty,
and each user's last events before the cut, none to twenty of them, reach it as a
visitor's do, by the event log and its updater. What the users then did is what their
slates are scored on, as for every other tier. Stale users are the other case: all is
known of them, but the writer of their rows has stopped and nothing of it may be used.
"""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stepwell.base.clock import SystemClock
from stepwell.base.metrics import Metrics
from stepwell.degradation.tier import Tier
from stepwell.feedback.logged_events import event_record
from stepwell.feedback.user_history_updater import (
    UpdaterOptions,
    UserHistoryUpdater,
    packed_watermarks,
)
from stepwell.feedback.user_state_file import USER_STATE_NAME, UserStateFile
from stepwell.feedback.user_state_import import import_user_state
from stepwell.models.precision import DEFAULT_PRECISION, Precision
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.schema.events import EventType, history_types_of
from stepwell.schema.writer_watermark import WriterWatermark
from stepwell.serving.engine_builder import EngineOptions
from stepwell.stores.event_log import EventLog, EventRecord
from stepwell.stores.key_value_store import WATERMARK_VIEW, KeyValueStore
from stepwell.stores.locations import open_event_log, open_key_value_store
from stepwell.training.evaluate import Evaluation
from stepwell.training.model_card import TierFigures
from stepwell_pb.v1 import feedback_pb2
from tier_measurement import (
    PLAIN,
    Measured,
    Progress,
    measure_tiers,
    measured,
    warm_engine,
)

MAX_USERS = 250
"""Asked for, every n-th of the held-out ones: a card's figure, not a paper's."""

_LOG_BATCH = 1_000
_LONG_AGO_US = 1


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """How well users are known: by their last so many events before the cut."""

    name: str
    num_events: int


NEW = Acquaintance("new_user", 0)
ACQUAINTANCES = (
    NEW,
    Acquaintance("after_1_event", 1),
    Acquaintance("after_5_events", 5),
    Acquaintance("after_20_events", 20),
)


def measure_all(
    folder: Path, held_out: Evaluation, progress: Progress
) -> Mapping[str, TierFigures]:
    """Returns what a model card says: of every tier, of stale users and of new ones."""
    return {
        **measure_tiers(folder, held_out, progress),
        **measure_stale(folder, held_out, progress),
        **measure_cold(folder, held_out, progress),
    }


def measure_stale(
    folder: Path,
    held_out: Evaluation,
    progress: Progress,
    precision: Precision = DEFAULT_PRECISION,
) -> Mapping[str, TierFigures]:
    """Returns "reduced_stale" and "full_stale": the writer of user features is dead.

    What the stream writes is older than its window and takes its default; what a batch
    wrote, such as the user's segment, is still there.

    Args:
        folder: artifacts in the release's form, user state beside it.
        held_out, progress, precision: as in measure_cold.
    """
    asked = Evaluation.of(held_out.known, held_out.end_time, MAX_USERS)
    with tempfile.TemporaryDirectory() as scratch:
        store = open_key_value_store(str(Path(scratch) / "online"))
        with closing(store):
            state = UserStateFile.load(folder.parent / USER_STATE_NAME)
            import_user_state(state, store)
            stopped = packed_watermarks(WriterWatermark(_LONG_AGO_US, 0))
            store.put_many(WATERMARK_VIEW, stopped)
            options = EngineOptions(planner=PLAIN, scorer_precision=precision)
            engine = warm_engine(folder, store, asked.known.cut_time, options)
            return measured(engine, _ways("stale"), asked, progress)


def measure_cold(
    folder: Path,
    held_out: Evaluation,
    progress: Progress,
    acquaintances: tuple[Acquaintance, ...] = ACQUAINTANCES,
    precision: Precision = DEFAULT_PRECISION,
) -> Mapping[str, TierFigures]:
    """Returns figures by "TIER_ACQUAINTANCE", such as "full_after_5_events".

    The popular list, the same for all whose segment nobody knows, is scored once, as
    "popular_new_user".

    Args:
        folder: artifacts in the release's form.
        held_out: who is asked for; at most MAX_USERS of them are.
        progress: called with "evaluate" and the done share of one way.
        acquaintances: how well they are known.
        precision: of the full ranker's products.
    Cost: some 3 s for each acquaintance on a release of 27,000 items.
    """
    asked = Evaluation.of(held_out.known, held_out.end_time, MAX_USERS)
    figures: dict[str, TierFigures] = {}
    for known in acquaintances:
        with _filled_store(folder, asked, known) as store:
            options = EngineOptions(planner=PLAIN, scorer_precision=precision)
            engine = warm_engine(folder, store, asked.known.cut_time, options)
            ways = _ways(known.name)
            if known is NEW:
                ways = (Measured(f"popular_{known.name}", Tier.POPULAR), *ways)
            figures |= measured(engine, ways, asked, progress)
    return figures


def _ways(ending: str) -> tuple[Measured, ...]:
    names = {Tier.REDUCED: "reduced", Tier.FULL: "full"}
    return tuple(Measured(f"{name}_{ending}", tier) for tier, name in names.items())


@contextmanager
def _filled_store(
    folder: Path, asked: Evaluation, known: Acquaintance
) -> Iterator[KeyValueStore]:
    """Lends a store in which every user has as many events as are known."""
    kinds = history_types_of(ReleaseMetadata.load(folder).models)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        log = stack.enter_context(closing(open_event_log(str(scratch / "events"))))
        store = open_key_value_store(str(scratch / "online"))
        stack.enter_context(closing(store))
        _log_events(log, asked, known, _kind_of(kinds))
        options = UpdaterOptions(history_types=kinds)
        clock = SystemClock()
        UserHistoryUpdater(log, store, clock, Metrics(), options).catch_up()
        yield store


def _kind_of(kinds: Collection[EventType]) -> EventType:
    """The type that events take: a snapshot has forgotten theirs."""
    return EventType.PURCHASE if EventType.PURCHASE in kinds else min(kinds)


def _log_events(
    log: EventLog, asked: Evaluation, known: Acquaintance, kind: EventType
) -> None:
    records = list(_last_events(asked, known.num_events, kind))
    for start in range(0, len(records), _LOG_BATCH):
        log.append(records[start : start + _LOG_BATCH])


def _last_events(
    asked: Evaluation, num_events: int, kind: EventType
) -> Iterator[EventRecord]:
    """Yields the last events of each user before the cut, the oldest of a user first.

    Only events that name an item of the release: any others say nothing to it.
    """
    if not num_events:
        return
    known = asked.known
    # Events of a snapshot are in order of time; a stable sort keeps that within users.
    by_user = np.argsort(known.user_rows, kind="stable")
    ends = np.searchsorted(known.user_rows[by_user], asked.user_rows, side="right")
    starts = np.searchsorted(known.user_rows[by_user], asked.user_rows)
    for start, end in zip(starts, ends, strict=True):
        for place in by_user[max(start, end - num_events) : end].tolist():
            seconds = int(known.times[place])
            event = feedback_pb2.Event(
                event_id=f"cold-{place}",
                user_id=known.table.users.id_of_row(int(known.user_rows[place])),
                item_id=known.items.id_of_row(int(known.item_rows[place])),
                event_type=kind.value,  # type: ignore[arg-type]
                event_time_seconds=seconds,
                value=float(known.values[place]),
            )
            yield event_record(event, seconds * 1_000_000)
