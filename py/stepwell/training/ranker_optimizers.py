"""The optimizers of a ranker: one for all, or one of its own for its tables."""

from torch import nn
from torch.optim import AdamW, Optimizer

from stepwell.base.errors import InvalidArgumentError
from stepwell.training.row_wise_adagrad import RowWiseAdagrad

EMBEDDING_OPTIMIZERS = ("adam", "row_wise_adagrad")
"""What can train the tables; "adam" is the optimizer of all other weights."""

_TABLES = "tables."


def check_embedding_optimizer(name: str) -> None:
    """Raises InvalidArgumentError unless `name` is one of EMBEDDING_OPTIMIZERS."""
    if name not in EMBEDDING_OPTIMIZERS:
        allowed = ", ".join(EMBEDDING_OPTIMIZERS)
        raise InvalidArgumentError(
            f"embedding_optimizer is {name!r}, must be one of {allowed}",
            "embedding_optimizer",
        )


def ranker_optimizers(
    model: nn.Module,
    embedding_optimizer: str,
    learning_rate: float,
    embedding_learning_rate: float,
    weight_decay: float,
) -> list[Optimizer]:
    """Returns the optimizers that together train every parameter of a ranker.

    Args:
        model: a ranker; its tables are the parameters under `tables`.
        embedding_optimizer: of EMBEDDING_OPTIMIZERS. "row_wise_adagrad" keeps one
            number a row where AdamW keeps two rows, and steps a row by how often it
            was seen.
        learning_rate: of AdamW.
        embedding_learning_rate: of row-wise Adagrad.
        weight_decay: of AdamW; row-wise Adagrad's tables do not decay.
    """
    check_embedding_optimizer(embedding_optimizer)
    tables: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        own = embedding_optimizer != "adam" and name.startswith(_TABLES)
        (tables if own else rest).append(parameter)
    optimizers: list[Optimizer] = [
        AdamW(rest, lr=learning_rate, weight_decay=weight_decay)
    ]
    if tables:
        optimizers.append(RowWiseAdagrad(tables, lr=embedding_learning_rate))
    return optimizers
