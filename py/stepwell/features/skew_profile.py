"""How features were distributed in training, and how far off the served ones are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from stepwell.base.errors import DataLossError

FEATURE_PROFILE_NAME = "feature_profile.safetensors"

NUM_BINS = 10
"""Bins between the least and the greatest value of training; one more on each side."""
MODERATE_SHIFT, LARGE_SHIFT = 0.1, 0.25
"""Below the first nothing happened, from the second on the model sees other data."""
_LEAST_SHARE = 1e-4
"""Stands for an empty bin: a logarithm of 0 says nothing."""

Dense = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FeatureProfile:
    """Shares of training by bins of its own quantiles, for F dense features.

    Bin b holds the values in (edges[b - 1], edges[b]]; the first bin is what lies below
    the least value of training, the last one what lies above the greatest.

    Attributes:
        schema_hash: of the catalogue, in hex.
        names: of the F features.
        num_requests: whose rows they were.
        edges: float32 [B - 1] by feature, ascending; fewer where values repeat.
        shares: float64 [B] by feature, they add to 1.

    Concurrency: immutable.
    """

    schema_hash: str
    names: tuple[str, ...]
    num_requests: int
    edges: tuple[Dense, ...]
    shares: tuple[npt.NDArray[np.float64], ...]

    @classmethod
    def of(
        cls, schema_hash: str, names: Sequence[str], dense: Dense, num_requests: int
    ) -> "FeatureProfile":
        """Returns the profile of rows [R, F], at least one."""
        edges = tuple(_edges(column) for column in dense.T)
        shares = tuple(map(_shares, edges, dense.T))
        return cls(schema_hash, tuple(names), num_requests, edges, shares)

    def psi(self, dense: Dense) -> npt.NDArray[np.float64]:
        """Returns the population stability index by feature, float64 [F].

        The sum over the bins of (s - t) * ln(s / t): s the share of the rows, t that of
        training. 0 is the same distribution, MODERATE_SHIFT and LARGE_SHIFT are the
        customary limits.

        Args:
            dense: float32 [n, F], at least one row, without NaN.
        Source: Siddiqi, Credit Risk Scorecards, Wiley 2006, with the limits. An empty
        bin counts as a share of 1e-4.
        """
        found = map(_shares, self.edges, dense.T)
        pairs = zip(self.shares, found, strict=True)
        return np.array([_psi(served, trained) for trained, served in pairs])

    def noise(self, num_requests: int) -> float:
        """Returns the index to be expected of a feature that has not changed.

        Source: Yurdakul and Naranjo, Statistical properties of the population stability
        index, Journal of Risk Model Validation 14 (4), 2020: it is distributed as
        (1 / n + 1 / m) times chi-squared with B - 1 degrees of freedom. Rows of one
        request are alike, so requests are counted.
        """
        return (NUM_BINS - 1) * (1 / max(num_requests, 1) + 1 / self.num_requests)

    def save(self, directory: Path) -> None:
        """Writes it among a release's artifacts."""
        sizes = np.array([len(edges) for edges in self.edges], np.int64)
        tensors: dict[str, npt.NDArray[Any]] = {
            "num_edges": sizes,
            "edges": np.concatenate(self.edges),
            "shares": np.concatenate(self.shares),
        }
        said = {
            "schema_hash": self.schema_hash,
            "names": "\n".join(self.names),
            "num_requests": str(self.num_requests),
        }
        save_file(tensors, directory / FEATURE_PROFILE_NAME, said)

    @classmethod
    def load(cls, directory: Path) -> "FeatureProfile | None":
        """Reads a release's; None for a release that keeps none.

        Raises:
            DataLossError: unreadable, or its parts do not fit.
        """
        path = directory / FEATURE_PROFILE_NAME
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                said = file.metadata() or {}
                parts = [file.get_tensor(n) for n in ("num_edges", "edges", "shares")]
            return cls._of_parts(said, *parts)
        except (SafetensorError, KeyError, ValueError) as error:
            raise DataLossError(f"{path}: {error}") from error

    @classmethod
    def _of_parts(
        cls,
        said: dict[str, str],
        sizes: npt.NDArray[np.int64],
        edges: Dense,
        shares: npt.NDArray[np.float64],
    ) -> "FeatureProfile":
        names = tuple(said["names"].split("\n"))
        ends = np.cumsum(sizes)
        if len(sizes) != len(names) or len(sizes) == 0 or sizes.min() < 1:
            raise ValueError(f"{len(names)} names with {len(sizes)} lists of edges")
        if ends[-1] != len(edges) or len(shares) != len(edges) + len(names):
            raise ValueError("edges and shares do not fit the names")
        number = int(said["num_requests"])
        if number < 1:
            raise ValueError(f"num_requests is {number}, must be at least 1")
        places = np.arange(1, len(names))
        return cls(
            said["schema_hash"],
            names,
            number,
            tuple(np.split(edges, ends[:-1])),
            tuple(np.split(shares, ends[:-1] + places)),
        )


def shift_of(psi: float) -> str:
    """Returns what an index says: "stable", "moderate" or "large"."""
    if psi < MODERATE_SHIFT:
        return "stable"
    return "moderate" if psi < LARGE_SHIFT else "large"


def _edges(values: Dense) -> Dense:
    inner = np.quantile(values, np.arange(NUM_BINS + 1) / NUM_BINS, method="lower")
    below = np.nextafter(values.min(), np.float32(-np.inf), dtype=np.float32)
    return np.unique(np.r_[below, inner.astype(np.float32)])


def _shares(edges: Dense, values: Dense) -> npt.NDArray[np.float64]:
    bins = np.searchsorted(edges, values, side="left")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    shares: npt.NDArray[np.float64] = counts / counts.sum()
    return shares


def _psi(served: npt.NDArray[np.float64], trained: npt.NDArray[np.float64]) -> float:
    one, other = np.maximum(served, _LEAST_SHARE), np.maximum(trained, _LEAST_SHARE)
    return float(((one - other) * np.log(one / other)).sum())
