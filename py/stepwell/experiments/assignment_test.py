from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from stepwell.base.errors import InvalidArgumentError
from stepwell.experiments.assigner import Assigner
from stepwell.experiments.assignment import NUM_BUCKETS, Arm, Experiment, Layer

HALVES = (Arm("control", 5_000), Arm("treated", 5_000))
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


def layer_of(*arms: Arm, name: str = "ranking", salt: str = "s1") -> Layer:
    return Layer(name, salt, (Experiment(f"{name}-trial", 0, arms),))


def names_of(layer: Layer, num_users: int) -> list[str]:
    assigner = Assigner([layer], dict)
    exposures = [assigner.assign(f"user-{n}").exposures for n in range(num_users)]
    return [found[0].arm if found else "" for found in exposures]


def test_a_user_keeps_the_bucket_it_was_given_in_every_version() -> None:
    # Fixed for ever: a change here deals every running experiment anew.
    layer = Layer("diversity", "s1", ())
    assert [layer.bucket_of(f"user-{n}") for n in range(5)] == [
        7020,
        2647,
        8498,
        3724,
        9032,
    ]


@pytest.mark.parametrize("salt", ["", "s1", "2026-11", "0", "1"])
def test_buckets_are_uniform_for_consecutive_ids(salt: str) -> None:
    layer = Layer("trial", salt, ())
    buckets = Counter(layer.bucket_of(str(n)) // 100 for n in range(20_000))
    assert chisquare([buckets[n] for n in range(100)]).pvalue > 1e-4


@pytest.mark.parametrize(
    "other",
    [layer_of(*HALVES, salt="s2"), layer_of(*HALVES, name="retrieval")],
    ids=["other salt", "other name"],
)
def test_two_layers_are_independent(other: Layer) -> None:
    mine = names_of(layer_of(*HALVES), 20_000)
    pairs = Counter(zip(mine, names_of(other, 20_000), strict=True))
    assert chisquare(list(pairs.values())).pvalue > 1e-4
    assert len(pairs) == 4


def test_shares_are_what_the_arms_say() -> None:
    shares = Counter(names_of(layer_of(Arm("a", 1_000), Arm("b", 4_000)), 20_000))
    assert shares["a"] / 20_000 == pytest.approx(0.10, abs=0.01)
    assert shares["b"] / 20_000 == pytest.approx(0.40, abs=0.015)
    assert shares[""] / 20_000 == pytest.approx(0.50, abs=0.015)


def test_experiments_of_one_layer_share_no_user() -> None:
    first, second = (
        Experiment("first", 0, (Arm("a", 3_000), Arm("b", 3_000))),
        Experiment("second", 6_000, (Arm("a", 4_000),)),
    )
    assigner = Assigner([Layer("ranking", "s", (first, second))], dict)
    found = [assigner.assign(f"user-{n}").exposures for n in range(5_000)]
    assert {len(exposures) for exposures in found} == {1}
    assert {exposures[0].experiment for exposures in found} == {"first", "second"}
    for (exposure,) in found:
        assert (exposure.bucket >= 6_000) == (exposure.experiment == "second")


def test_ramping_up_the_last_arm_moves_nobody_between_arms() -> None:
    small = layer_of(Arm("control", 5_000), Arm("new", 100))
    large = layer_of(Arm("control", 5_000), Arm("new", 5_000))
    for before, after in zip(
        names_of(small, 3_000), names_of(large, 3_000), strict=True
    ):
        assert before in (after, "")


@given(NAMES, NAMES, NAMES, st.integers(0, NUM_BUCKETS))
def test_any_user_has_one_stable_bucket_and_at_most_one_arm(
    name: str, user: str, salt: str, share: int
) -> None:
    layer = layer_of(Arm("only", share), name=name, salt=salt)
    bucket = layer.bucket_of(user)
    assert 0 <= bucket < NUM_BUCKETS
    assert bucket == layer.bucket_of(user)
    exposures = Assigner([layer], dict).assign(user).exposures
    assert len(exposures) == (bucket < share)


def test_a_treatment_is_what_the_arms_of_all_layers_change_together() -> None:
    layers = [
        layer_of(Arm("wide", NUM_BUCKETS, {"ef_search": 128}), name="retrieval"),
        layer_of(Arm("mixed", NUM_BUCKETS, {"diversity_lambda": 0.5})),
        Layer("idle", "s", ()),
    ]
    made: list[dict[str, float]] = []

    def treatment_of(overrides: object) -> dict[str, float]:
        made.append(dict(overrides))  # type: ignore[call-overload]
        return made[-1]

    assigner = Assigner(layers, treatment_of)
    first, second = assigner.assign("ann"), assigner.assign("bob")
    assert first.treatment == {"ef_search": 128, "diversity_lambda": 0.5}
    assert second.treatment is first.treatment
    assert len(made) == 1
    assert [one.experiment for one in first.exposures] == [
        "retrieval-trial",
        "ranking-trial",
    ]


def test_each_combination_of_arms_has_its_own_treatment() -> None:
    half = NUM_BUCKETS // 2
    layers = [
        layer_of(Arm("own", half), Arm("treated", half, {name: 1.0}), name=name)
        for name in ("first", "second", "third")
    ]
    assigner = Assigner(layers, dict)
    seen = set()
    for number in range(400):
        exposures, treatment = assigner.assign(f"user-{number}")
        treated = {
            one.experiment.removesuffix("-trial")
            for one in exposures
            if one.arm == "treated"
        }
        assert set(treatment or {}) == treated
        seen.add(frozenset(treated))
    assert len(seen) == 8


def test_an_arm_that_changes_nothing_is_an_exposure_without_treatment() -> None:
    assigned = Assigner([layer_of(Arm("control", NUM_BUCKETS))], dict).assign("ann")
    assert len(assigned.exposures) == 1
    assert assigned.treatment is None


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
        Experiment("trial", 0, arms)


def test_refuses_experiments_of_one_layer_that_share_buckets() -> None:
    first, second = (
        Experiment("first", 500, (Arm("a", 1_000),)),
        Experiment("second", 0, (Arm("a", 501),)),
    )
    with pytest.raises(InvalidArgumentError, match="'second' and 'first' share"):
        Layer("ranking", "s", (first, second))


def test_overrides_of_an_arm_cannot_be_changed() -> None:
    arm = Arm("wide", 1, {"ef_search": 128})
    with pytest.raises(TypeError):
        arm.overrides["ef_search"] = 1  # type: ignore[index]
