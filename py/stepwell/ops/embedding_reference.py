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
) -> Tensor:
    """Returns what `embedding_bag_tables` returns, bag by bag, in the dtype of weights.

    Cost: one Python loop step a bag.
    """
    batch = (len(offsets) - 1) // len(weights)
    columns = []
    for number, table in enumerate(weights):
        # The default row, all zeros, is appended as the row that -1 names.
        rows = torch.cat([table, table.new_zeros(1, table.shape[1])])
        bags = []
        for bag in range(number * batch, (number + 1) * batch):
            entries = slice(int(offsets[bag]), int(offsets[bag + 1]))
            found = rows[indices[entries].long()]
            if per_sample_weights is not None:
                found = found * per_sample_weights[entries, None]
            divisor = max(len(found), 1) if pooling == "mean" else 1
            bags.append(found.sum(0) / divisor)
        columns.append(torch.stack(bags) if bags else table.new_zeros(0, len(table.T)))
    return torch.cat(columns, 1)
