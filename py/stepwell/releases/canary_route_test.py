import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from stepwell.releases.canary_route import CanaryRoute

USERS = [f"user-{n}" for n in range(20_000)]


def test_a_user_stays_where_it_is_in_every_version() -> None:
    # Fixed for ever: a change here deals the users of a running trial anew.
    route = CanaryRoute(2, 100_000, "v000002-1700000000")
    assert [n for n in range(40) if route.takes(f"user-{n}")] == [3, 4, 6, 12, 29, 39]


@pytest.mark.parametrize("share_ppm", [10_000, 50_000, 500_000])
def test_takes_the_share_of_the_users(share_ppm: int) -> None:
    route = CanaryRoute(2, share_ppm, "s")
    taken = sum(route.takes(user) for user in USERS)
    expected = share_ppm / 1e6 * len(USERS)
    assert chisquare([taken, 20_000 - taken], [expected, 20_000 - expected]).pvalue > (
        1e-4
    )


def test_all_means_all() -> None:
    route = CanaryRoute(2, 1_000_000, "s")
    assert all(route.takes(user) for user in USERS[:1_000])


@given(st.text(), st.integers(1, 999_999), st.integers(1, 999_999))
def test_who_is_in_stays_in_while_the_share_grows(user: str, a: int, b: int) -> None:
    small, large = sorted((a, b))
    if CanaryRoute(2, small, "s").takes(user):
        assert CanaryRoute(2, large, "s").takes(user)


def test_is_independent_of_other_trials_and_of_experiments() -> None:
    route, other = CanaryRoute(2, 500_000, "s1"), CanaryRoute(2, 500_000, "s2")

    def in_experiment(user: str) -> bool:
        # As an experiment deals its users, with the trial's salt.
        text = f"s1\0trial\0{user}".encode()
        digest = hashlib.blake2b(text, digest_size=8).digest()
        return int.from_bytes(digest, "little") % 10_000 < 5_000

    for in_other in (other.takes, in_experiment):
        pairs = Counter((route.takes(user), in_other(user)) for user in USERS)
        assert len(pairs) == 4
        assert chisquare(list(pairs.values())).pvalue > 1e-4
