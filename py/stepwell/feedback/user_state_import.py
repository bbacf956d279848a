"""Putting trained user state into the online store, under a running updater."""

import functools
from collections.abc import Callable, Mapping

from stepwell.base.errors import UnavailableError
from stepwell.feedback.user_history_updater import (
    CONSUMER,
    OFFSETS_VIEW,
    USER_OFFSETS_VIEW,
    packed_offset,
    paused_offset,
)
from stepwell.feedback.user_state_file import UserStateFile
from stepwell.schema.feature_registry import USER_ACTIVITY
from stepwell.schema.feature_row import FeatureRow
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.stores.key_value_store import Guard, KeyValueStore

_BATCH_USERS = 256
_MAX_GUARD_LOSSES = 100


def import_user_state(
    state: UserStateFile,
    store: KeyValueStore,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Replaces the rows of the file's users; returns how many users.

    The updater is paused by the offset it guards its writes with, and then goes on from
    the file's `event_log_offset`: events after it are folded in again, on top of the
    new state, each once. Users the file does not know keep what they have: their own
    offset says which events they have seen. A crash in between leaves the updater
    paused; import again.

    Args:
        on_progress: told the number of users after each batch.
    Raises:
        UnavailableError: the store does not answer, updaters never let go, or another
            import came to its end during this one.
    """
    _pause(store)
    number = 0
    offset = packed_offset(state.event_log_offset)
    for batch in state.batches(_BATCH_USERS):
        # A user's rows and how far of the log they are go in one write, everywhere.
        own_offsets = {USER_OFFSETS_VIEW: dict.fromkeys(batch, offset)}
        _write_paused(store, own_offsets | _by_view(batch))
        number += len(batch)
        if on_progress is not None:
            on_progress(number)
    _write_paused(store, {OFFSETS_VIEW: {CONSUMER: offset}})
    return number


def _write_paused(
    store: KeyValueStore, changes: Mapping[str, dict[str, bytes]]
) -> None:
    """Writes while the updater is paused, as it is since `_pause`."""
    if not store.write_if(Guard(OFFSETS_VIEW, CONSUMER, paused_offset()), changes):
        raise UnavailableError("another import has ended meanwhile; import again")


def _by_view(batch: Mapping[str, Mapping[str, bytes]]) -> dict[str, dict[str, bytes]]:
    """Returns view -> user id -> row of a batch, with all that the updater writes."""
    by_view: dict[str, dict[str, bytes]] = {}
    for user, rows in batch.items():
        for view, row in (unknown_user_rows() | dict(rows)).items():
            by_view.setdefault(view, {})[user] = row
    return by_view


@functools.cache
def unknown_user_rows() -> dict[str, bytes]:
    """Returns the packed rows, by view, of a user of whom nothing is known."""
    activity = FeatureRow.of(USER_ACTIVITY, USER_ACTIVITY.default_row(), 0, 0)
    rows = (history_row(UserHistory.empty()), activity)
    return {row.view.name: row.pack() for row in rows}


def _pause(store: KeyValueStore) -> None:
    for _ in range(_MAX_GUARD_LOSSES):
        (before,) = store.get_many(OFFSETS_VIEW, [CONSUMER])
        pause = {OFFSETS_VIEW: {CONSUMER: paused_offset()}}
        if store.write_if(Guard(OFFSETS_VIEW, CONSUMER, before), pause):
            return
    raise UnavailableError("the updater of user histories could not be paused")
