"""A small model that the tests of this room share."""

from stepwell.models.ranker_config import (
    DenseColumn,
    ModelConfig,
    Objective,
    SparseColumn,
)

MODEL = ModelConfig(
    dense=(DenseColumn("a", "linear", 0.5, 2.0), DenseColumn("b", "log1p", 1.0, 0.5)),
    sparse=(SparseColumn("department", 4), SparseColumn("segment", 3)),
    embedding_dim=4,
    bottom_widths=(8, 6),
    top_widths=(5,),
    objectives=(Objective("purchase", 1.0), Objective("repeat", 0.1)),
)
