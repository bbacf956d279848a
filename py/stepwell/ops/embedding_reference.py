"""The embedding lookup by its definition: slow, in any float type, differentiable.

The oracle of the tests on every device; it has the arguments of the fast path.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def embedding_bag_tables_reference(
    weights: Sequence[Tensor],
    indices: Tensor,
    offsets: Tensor,
    per_sample_weights: Tensor | None = None,
    pooling: str = "sum",
    default_rows: Sequence[int] | Tensor | None = None,
) -> Tensor:
    """Returns what `embedding_bag_tables` returns, bag by bag, in the dtype of weights.

    Cost: one Python loop step a bag.
    """
    batch = (len(offsets) - 1) // len(weights)
    columns = []
    for number, table in enumerate(weights):
        rows = _with_default_row(table, number, default_rows)
        bags: list[Tensor] = []
        for bag in range(number * batch, (number + 1) * batch):
            entries = slice(int(offsets[bag]), int(offsets[bag + 1]))
            found = rows[indices[entries].long()]
            if per_sample_weights is not None:
                found = found * per_sample_weights[entries, None]
            if pooling == "none":
                bags.extend(found)
                continue
            divisor = max(len(found), 1) if pooling == "mean" else 1
            bags.append(found.sum(0) / divisor)
        columns.append(torch.stack(bags) if bags else table[:0])
    return torch.cat(columns, 0 if pooling == "none" else 1)


def _with_default_row(
    table: Tensor, number: int, default_rows: Sequence[int] | Tensor | None
) -> Tensor:
    """Returns the table with its default row appended, where -1 finds it."""
    default = -1 if default_rows is None else int(default_rows[number])
    row = table.new_zeros(len(table.T)) if default == -1 else table[default]
    return torch.cat([table, row[None]])
