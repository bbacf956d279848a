"""The full ranker as serving runs it: nothing to train, everything packed."""

from copy import deepcopy
from typing import Self

import torch
from torch import Tensor, nn

from stepwell.models.dlrm import Dlrm
from stepwell.models.packed_mlp import PackedMlp
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import CROSS
from stepwell.models.ranker_inputs import one_row_bags
from stepwell.ops.packed_tables import PackedTables


class PackedDlrm(nn.Module):
    """A `Dlrm` whose matrices are packed and whose tables lie in one storage.

    Answers what the model answered when it was frozen: to rounding in "float32"; in
    "bfloat16" and "int8" with the hidden layers rounded as `PackedMlp` says, and the
    looked-up rows and the dots rounded to bfloat16. The last layer is float32 always,
    and so is a cross network.

    Concurrency: safe; nothing changes after `freeze`.
    Cost: see BENCHMARKS.md; memory once more for the weights.
    """

    def __init__(self, dlrm: Dlrm, precision: Precision) -> None:
        """For `freeze`, which see."""
        super().__init__()
        config = dlrm.config
        self.config = config
        self.precision = precision
        self._dim = config.embedding_dim
        hidden_dtype = torch.float32 if precision == "float32" else torch.bfloat16
        is_cross = config.interaction == CROSS
        self._vector_dtype = torch.float32 if is_cross else hidden_dtype
        self.inputs = deepcopy(dlrm.inputs)
        self.bottom = PackedMlp.pack(dlrm.bottom, precision, hidden_dtype)
        self.projection = PackedMlp.pack(
            [dlrm.projection], precision, self._vector_dtype
        )
        self.interaction = deepcopy(dlrm.interaction).requires_grad_(False)
        self.top = PackedMlp.pack([dlrm.top, dlrm.output], precision)
        self.tables = (
            # Tables of categories are small and stay cached: fewer bytes gain nothing.
            PackedTables.build(list(dlrm.tables), "float32")
            if len(dlrm.tables)
            else None
        )

    @classmethod
    def freeze(cls, dlrm: Dlrm, precision: Precision) -> Self:
        """Copies a trained model into packed form; the model is not needed after.

        Args:
            dlrm: float32; finite tables.
            precision: of the products; `usable_precision` says which run fast here.
        Raises:
            InvalidArgumentError: no such precision.
            ValueError: a table holds what is not finite.
        """
        return cls(dlrm, precision).eval()

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Returns float32 [N, O], the logit of every objective: `Dlrm.forward`."""
        hidden = self.bottom(self.inputs(dense))
        vector = self.projection(hidden)
        crossed = self.interaction(vector, self._embedded(sparse))
        logits: Tensor = self.top(torch.cat([hidden, crossed], dim=1))
        return logits

    def _embedded(self, sparse: Tensor) -> Tensor:
        num_rows = len(sparse)
        if self.tables is None:
            return torch.zeros(num_rows, 0, self._dim, dtype=self._vector_dtype)
        indices, offsets = one_row_bags(sparse)
        bags: Tensor = self.tables(indices, offsets, output_dtype=self._vector_dtype)
        return bags.view(num_rows, self.tables.num_tables, self._dim)
