"""Settings of a whole training, and the two presets."""

from dataclasses import dataclass, field, replace

from stepwell.base.errors import InvalidArgumentError, check_range
from stepwell.models.ranker_config import check_interaction
from stepwell.training import retrieval_training
from stepwell.training.distill import DistillOptions
from stepwell.training.ranker_trainer import TrainerOptions
from stepwell.training.ranker_training import RankerTraining
from stepwell.training.ranking_rows import RowOptions
from stepwell.training.retrieval_training import RetrievalConfig
from stepwell.training.training_cuts import MAX_SNAPSHOTS

AFFINITY_PREFERENCE = ("department", "category", "manufacturer", "type", "decade")
"""Category columns that get affinity features, coarse first, where there are any."""
EMBEDDED_PREFERENCE = ("department", "category", "brand_type")
"""Category columns that get a table: small ones, large ones overfit."""


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Settings of a training.

    Attributes:
        retrieval: of the release; as_of: of the ranker's snapshots.
        num_snapshots: label periods that the ranker learns from, >= 1. The first ends
            at the cut, the second a period earlier, further ones overlap them.
        min_queries: users with something to learn from, over all snapshots; more
            snapshots are taken until there are so many or time has no room.
        period_days: length of label and test periods; None takes the data set's own, or
            a tenth of the data's span.
        rows: of each snapshot.
        ranker, distill: of the two models.
        max_evaluated_users: users scored for the model card, None is all.
        preset: that this is, or began as; for the model card. "" is none.
    """

    retrieval: RetrievalConfig
    as_of: RetrievalConfig = retrieval_training.AS_OF
    num_snapshots: int = 2
    min_queries: int = 0
    period_days: int | None = None
    rows: RowOptions = field(default_factory=RowOptions)
    ranker: RankerTraining = field(default_factory=RankerTraining)
    distill: DistillOptions = field(default_factory=DistillOptions)
    max_evaluated_users: int | None = None
    preset: str = ""

    def __post_init__(self) -> None:
        check_range("num_snapshots", self.num_snapshots, 1, MAX_SNAPSHOTS)
        check_range("min_queries", self.min_queries, 0, 10**9)
        if self.period_days is not None and not 1 <= self.period_days <= 3_650:
            raise InvalidArgumentError(
                f"period_days is {self.period_days}, must be in [1, 3650]",
                "period_days",
            )

    def seeded(self, seed: int) -> "TrainingConfig":
        """Returns this config with every draw seeded by `seed`, >= 0."""
        check_range("seed", seed, 0, 2**31 - 1)
        ranker, distill = self.ranker, self.distill
        two_tower = replace(self.retrieval.two_tower, seed=seed)
        return replace(
            self,
            retrieval=replace(self.retrieval, two_tower=two_tower),
            rows=replace(self.rows, seed=seed),
            ranker=replace(ranker, trainer=replace(ranker.trainer, seed=seed)),
            distill=replace(distill, trainer=replace(distill.trainer, seed=seed)),
        )

    def with_embedding_optimizer(self, name: str) -> "TrainingConfig":
        """Returns this config with the full ranker's tables trained by `name`.

        Raises:
            InvalidArgumentError: not one of EMBEDDING_OPTIMIZERS.
        """
        trainer = replace(self.ranker.trainer, embedding_optimizer=name)
        return replace(self, ranker=replace(self.ranker, trainer=trainer))

    def with_interaction(self, name: str) -> "TrainingConfig":
        """Returns this config with a full ranker that crosses its vectors by `name`.

        Raises:
            InvalidArgumentError: not one of ranker_config.INTERACTIONS.
        """
        check_interaction(name)
        return replace(self, ranker=replace(self.ranker, interaction=name))


QUICK = TrainingConfig(
    retrieval=retrieval_training.QUICK,
    num_snapshots=1,
    min_queries=1_000,
    rows=RowOptions(max_queries=4_000, negatives=192),
    ranker=RankerTraining(
        bottom_widths=(128, 64), trainer=TrainerOptions(epochs=3, min_steps=300)
    ),
    distill=DistillOptions(
        num_requests=1_500, trainer=TrainerOptions(epochs=4, learning_rate=5e-3)
    ),
    max_evaluated_users=500,
    preset="quick",
)
"""The demo's: minutes on 2 cores."""

FULL = TrainingConfig(
    retrieval=retrieval_training.FULL,
    num_snapshots=4,
    min_queries=4_000,
    rows=RowOptions(negatives=320),
    ranker=RankerTraining(trainer=TrainerOptions(epochs=3, min_steps=300)),
    preset="full",
)
"""The quality bars'."""

PRESETS = {config.preset: config for config in (QUICK, FULL)}
