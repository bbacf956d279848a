from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from stepwell.base.errors import DataLossError, InvalidArgumentError
from stepwell.experiments.assignment import (
    NUM_BUCKETS,
    Arm,
    Experiment,
    assigned_arm,
    bucket_of,
)
from stepwell.experiments.exposure import Exposure, exposures

HALVES = (Arm("control", 5_000), Arm("treated", 5_000))
TRIAL = Experiment("diversity", "s1", HALVES)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def names_of(experiment: Experiment, num_users: int) -> list[str]:
    arms = [assigned_arm(experiment, f"user-{n}") for n in range(num_users)]
    return [arm.name if arm is not None else "" for arm in arms]


def test_a_user_keeps_the_bucket_it_was_given_in_every_version() -> None:
    # Fixed for ever: a change here deals every running experiment anew.
    assert [bucket_of(TRIAL, f"user-{n}") for n in range(5)] == [
        7020,
        2647,
        8498,
        3724,
        9032,
    ]


@pytest.mark.parametrize("salt", ["", "s1", "2026-11", "0", "1"])
def test_buckets_are_uniform_for_consecutive_ids(salt: str) -> None:
    experiment = Experiment("trial", salt, HALVES)
    buckets = Counter(bucket_of(experiment, str(n)) // 100 for n in range(20_000))
    assert chisquare([buckets[n] for n in range(100)]).pvalue > 1e-4


@pytest.mark.parametrize(
    "other",
    [Experiment("diversity", "s2", HALVES), Experiment("ef_search", "s1", HALVES)],
    ids=["other salt", "other name"],
)
def test_two_experiments_are_independent(other: Experiment) -> None:
    pairs = Counter(zip(names_of(TRIAL, 20_000), names_of(other, 20_000), strict=True))
    assert chisquare(list(pairs.values())).pvalue > 1e-4
    assert len(pairs) == 4


def test_shares_are_what_the_arms_say() -> None:
    experiment = Experiment("trial", "s", (Arm("a", 1_000), Arm("b", 4_000)))
    shares = Counter(names_of(experiment, 20_000))
    assert shares["a"] / 20_000 == pytest.approx(0.10, abs=0.01)
    assert shares["b"] / 20_000 == pytest.approx(0.40, abs=0.015)
    assert shares[""] / 20_000 == pytest.approx(0.50, abs=0.015)


def test_ramping_up_the_last_arm_moves_nobody_between_arms() -> None:
    small = Experiment("trial", "s", (Arm("control", 5_000), Arm("new", 100)))
    large = Experiment("trial", "s", (Arm("control", 5_000), Arm("new", 5_000)))
    for before, after in zip(
        names_of(small, 3_000), names_of(large, 3_000), strict=True
    ):
        assert before in (after, "")


@given(NAMES, NAMES, NAMES, st.integers(0, NUM_BUCKETS))
def test_any_user_has_one_stable_bucket_and_at_most_one_arm(
    name: str, user: str, salt: str, share: int
) -> None:
    experiment = Experiment(name, salt, (Arm("only", share),))
    bucket = bucket_of(experiment, user)
    assert 0 <= bucket < NUM_BUCKETS
    assert bucket == bucket_of(experiment, user)
    assert (assigned_arm(experiment, user) is not None) == (bucket < share)


@pytest.mark.parametrize(
    "arms",
    [
        (),
        (Arm("", 1),),
        (Arm("a", 1), Arm("a", 1)),
        (Arm("a", -1), Arm("b", 1)),
        (Arm("a", 5_000), Arm("b", 5_001)),
    ],
)
def test_refuses_arms_that_cannot_be_dealt(arms: tuple[Arm, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="'trial'"):
        Experiment("trial", "s", arms)


def test_overrides_of_an_arm_cannot_be_changed() -> None:
    arm = Arm("wide", 1, {"ef_search": 128})
    with pytest.raises(TypeError):
        arm.overrides["ef_search"] = 1  # type: ignore[index]


def test_an_exposure_says_who_saw_what_and_reads_back() -> None:
    nobody = Experiment("empty", "s", (Arm("only", 0),))
    (exposure,) = exposures([TRIAL, nobody], "user-1", "r1", 99)
    assert exposure.experiment == "diversity"
    assert exposure.bucket == bucket_of(TRIAL, "user-1")
    assert Exposure.from_json(exposure.to_json()) == exposure
    for line in (b"{}", b"[]", b"\xff", b'{"arm": 1, "x": 2}'):
        with pytest.raises(DataLossError, match="no exposure"):
            Exposure.from_json(line)
