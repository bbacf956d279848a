"""The profile of training, and the index of what is served against it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file

from stepwell.base.errors import DataLossError
from stepwell.features.skew_profile import (
    FEATURE_PROFILE_NAME,
    LARGE_SHIFT,
    FeatureProfile,
    shift_of,
)

HASH = "ab" * 32
NAMES = ("normal", "flag", "constant")


def rows(number: int, seed: int, shift: float = 0.0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    normal = rng.normal(shift, 1.0, number)
    flag = rng.random(number) < 0.1
    return np.stack([normal, flag, np.full(number, 7.0)], axis=1).astype(np.float32)


@pytest.fixture
def profile() -> FeatureProfile:
    return FeatureProfile.of(HASH, NAMES, rows(20_000, 0), 2_000)


def test_the_same_distribution_is_stable(profile: FeatureProfile) -> None:
    psi = profile.psi(rows(2_000, 1))
    assert psi.max() < 0.03
    assert {shift_of(value) for value in psi} == {"stable"}


def test_a_shift_shows_in_its_feature_and_in_no_other(profile: FeatureProfile) -> None:
    psi = profile.psi(rows(2_000, 1, shift=1.0))
    # Of two normal distributions, one apart, the index tends to 1 with finer bins.
    assert psi[0] == pytest.approx(0.9, abs=0.15)
    assert psi[1:].max() < 0.03


def test_the_index_of_two_bins_is_the_formula() -> None:
    trained = np.array([[0.0]] * 75 + [[1.0]] * 25, np.float32)
    served = np.array([[0.0]] * 50 + [[1.0]] * 50, np.float32)
    profile = FeatureProfile.of(HASH, ("flag",), trained, 100)
    by_hand = (0.50 - 0.75) * np.log(0.50 / 0.75) + (0.50 - 0.25) * np.log(0.50 / 0.25)
    assert profile.psi(served)[0] == pytest.approx(by_hand)


@pytest.mark.parametrize("value", [6.0, 8.0])
def test_a_value_that_training_never_had_is_a_large_shift(
    profile: FeatureProfile, value: float
) -> None:
    served = rows(500, 1)
    served[:, 2] = value
    assert profile.psi(served)[2] > LARGE_SHIFT


@pytest.mark.parametrize(
    ("psi", "said"),
    [(0.0, "stable"), (0.1, "moderate"), (0.249, "moderate"), (0.25, "large")],
)
def test_the_limits_are_the_customary_ones(psi: float, said: str) -> None:
    assert shift_of(psi) == said


def test_the_noise_falls_with_the_number_of_requests(profile: FeatureProfile) -> None:
    # A uniform feature of as many bins, again and again.
    trained = np.random.default_rng(5).random((2_000, 200)).astype(np.float32)
    names = tuple(map(str, range(200)))
    of_many = FeatureProfile.of(HASH, names, trained, len(trained))
    served = np.random.default_rng(6).random((300, 200)).astype(np.float32)
    mean = of_many.psi(served).mean()
    assert mean == pytest.approx(of_many.noise(300), rel=0.2)
    assert profile.noise(3_000) < profile.noise(300)


def test_it_comes_back_from_a_release_as_it_was(
    profile: FeatureProfile, tmp_path: Path
) -> None:
    profile.save(tmp_path)
    again = FeatureProfile.load(tmp_path)
    assert again is not None
    assert (again.schema_hash, again.names) == (HASH, NAMES)
    assert again.num_requests == 2_000
    served = rows(500, 3, shift=0.5)
    assert again.psi(served).tolist() == profile.psi(served).tolist()


def test_a_release_without_one_says_so(tmp_path: Path) -> None:
    assert FeatureProfile.load(tmp_path) is None


def test_a_file_whose_parts_do_not_fit_is_refused(
    profile: FeatureProfile, tmp_path: Path
) -> None:
    profile.save(tmp_path)
    path = tmp_path / FEATURE_PROFILE_NAME
    tensors = load_file(path)
    tensors["shares"] = tensors["shares"][:-1]
    said = {"schema_hash": HASH, "names": "\n".join(NAMES), "num_requests": "1"}
    save_file(tensors, path, said)
    with pytest.raises(DataLossError, match="do not fit"):
        FeatureProfile.load(tmp_path)
    path.write_bytes(b"nothing")
    with pytest.raises(DataLossError, match=FEATURE_PROFILE_NAME):
        FeatureProfile.load(tmp_path)
