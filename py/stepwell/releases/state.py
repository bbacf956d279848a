"""The states of a release in a process, and the ways between them."""

import enum

from stepwell.base.errors import FailedPreconditionError


class ReleaseState(enum.Enum):
    """Where a release stands; the value is its sentence."""

    NEW = "The registry has it; nothing of it was read."
    LOADING = "It is verified, built and warmed up off the request path."
    READY = "It is loaded and warm: live, the canary, or held for a rollback."
    QUIESCING = "It lends no more; requests that borrowed it go on to their end."
    UNLOADING = "Nobody holds it; its memory and files are let go."
    DISABLED = "It is gone from this process."
    ERROR = "It was refused; the reason is kept. The same files are not tried again."


_FOLLOWING = {
    ReleaseState.NEW: {ReleaseState.LOADING},
    ReleaseState.LOADING: {ReleaseState.READY, ReleaseState.ERROR},
    ReleaseState.READY: {ReleaseState.QUIESCING},
    ReleaseState.QUIESCING: {ReleaseState.UNLOADING},
    ReleaseState.UNLOADING: {ReleaseState.DISABLED},
    ReleaseState.DISABLED: set[ReleaseState](),
    ReleaseState.ERROR: set[ReleaseState](),
}


def checked_transition(current: ReleaseState, following: ReleaseState) -> ReleaseState:
    """Returns `following` when it may come after `current`.

    Raises:
        FailedPreconditionError: it may not; the chain has a bug.
    """
    if following not in _FOLLOWING[current]:
        raise FailedPreconditionError(
            f"a release cannot go from {current.name} to {following.name}"
        )
    return following
