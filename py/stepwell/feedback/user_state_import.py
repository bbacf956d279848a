"""Putting trained user state into the online store, under a running updater."""

from collections.abc import Callable

from stepwell.base.errors import UnavailableError
from stepwell.feedback.user_history_updater import (
    CONSUMER,
    OFFSETS_VIEW,
    USER_HISTORY_VIEW,
    USER_OFFSETS_VIEW,
    packed_offset,
    paused_offset,
)
from stepwell.feedback.user_state_file import UserStateFile
from stepwell.stores.key_value_store import Guard, KeyValueStore

_BATCH_USERS = 256
_MAX_GUARD_LOSSES = 100


def import_user_state(
    state: UserStateFile,
    store: KeyValueStore,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Replaces the histories of the file's users; returns how many.

    The updater is paused by the offset it guards its writes with, and then goes on from
    the file's `event_log_offset`: events after it are folded in again, on top of the
    new state, each once. Users the file does not know keep what they have: their own
    offset says which events they have seen. A crash in between leaves the updater
    paused; import again.

    Args:
        on_progress: told the number of users after each batch.
    Raises:
        UnavailableError: the store does not answer, or updaters never let go.
    """
    _pause(store)
    number = 0
    offset = packed_offset(state.event_log_offset)
    for batch in state.batches(_BATCH_USERS):
        store.put_many(USER_OFFSETS_VIEW, dict.fromkeys(batch, offset))
        store.put_many(USER_HISTORY_VIEW, batch)
        number += len(batch)
        if on_progress is not None:
            on_progress(number)
    store.put_many(OFFSETS_VIEW, {CONSUMER: offset})
    return number


def _pause(store: KeyValueStore) -> None:
    for _ in range(_MAX_GUARD_LOSSES):
        (before,) = store.get_many(OFFSETS_VIEW, [CONSUMER])
        pause = {OFFSETS_VIEW: {CONSUMER: paused_offset()}}
        if store.write_if(Guard(OFFSETS_VIEW, CONSUMER, before), pause):
            return
    raise UnavailableError("the updater of user histories could not be paused")
