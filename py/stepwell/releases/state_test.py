import itertools

import pytest

from stepwell.base.errors import FailedPreconditionError
from stepwell.releases.state import ReleaseState, checked_transition

_CHAIN = {
    ("NEW", "LOADING"),
    ("LOADING", "READY"),
    ("LOADING", "ERROR"),
    ("READY", "QUIESCING"),
    ("QUIESCING", "UNLOADING"),
    ("UNLOADING", "DISABLED"),
}


def test_every_state_has_its_own_sentence() -> None:
    sentences = [state.value for state in ReleaseState]
    assert len(set(sentences)) == len(ReleaseState) == 7
    assert all(sentence.endswith(".") for sentence in sentences)


@pytest.mark.parametrize(
    ("current", "following"), list(itertools.product(ReleaseState, ReleaseState))
)
def test_only_the_chain_is_allowed(
    current: ReleaseState, following: ReleaseState
) -> None:
    if (current.name, following.name) in _CHAIN:
        assert checked_transition(current, following) is following
    else:
        with pytest.raises(FailedPreconditionError, match=current.name):
            checked_transition(current, following)
