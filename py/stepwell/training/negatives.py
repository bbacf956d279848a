"""Which items a user is said not to have chosen."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SampledCandidates:
    """C distinct item rows, ascending, and the log probability of each to be here."""

    item_rows: IntArray
    log_sampled: npt.NDArray[np.float32]


class MixedNegatives:
    """The targets of the batch and items drawn by popularity, shared by the batch.

    In-batch targets alone would never show the tail; popularity alone would rarely show
    what this batch's users bought. Concurrency: immutable; the generator is the
    caller's.

    Source: Yang et al., WWW 2020 (mixed negative sampling).
    """

    def __init__(
        self, popularity: FloatArray, target_rate: FloatArray, num_drawn: int
    ) -> None:
        """Prepares the draws.

        Args:
            popularity: float64 [N] >= 0, draws are proportional to it.
            target_rate: float64 [N], share of users that have the item as a target.
            num_drawn: draws with replacement for each batch.
        """
        self._chance = popularity / popularity.sum()
        self._cumulative = np.cumsum(self._chance)
        self._target_rate = target_rate
        self._num_drawn = num_drawn

    def sample(
        self, targets: IntArray, num_users: int, rng: np.random.Generator
    ) -> SampledCandidates:
        """Returns the candidates of a batch.

        Args:
            targets: int64 [T], the batch's positives, any order, repeats allowed.
            num_users: users in the batch.
            rng: source of the draws.
        Returns:
            Every target is among the candidates. An item is in the sample unless no
            draw hit it and no user had it as a target: 1 - (1 - q)^draws (1 - r)^users.
        Cost: O(draws log N).
        """
        drawn = np.searchsorted(self._cumulative, rng.random(self._num_drawn))
        drawn = np.minimum(drawn, len(self._chance) - 1)
        rows = np.unique(np.concatenate([targets, drawn]))
        not_drawn = self._num_drawn * np.log1p(-np.minimum(self._chance[rows], 0.999))
        rate = np.minimum(self._target_rate[rows], 0.999)
        not_target = num_users * np.log1p(-rate)
        sampled = -np.expm1(not_drawn + not_target)
        log_sampled = np.log(np.maximum(sampled, 1e-12)).astype(np.float32)
        return SampledCandidates(rows, log_sampled)
