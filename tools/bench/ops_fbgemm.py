"""FBGEMM's inference tables as a peer of the benchmark `ops`."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_HEADER = torch.tensor([0.01, -1.28], dtype=torch.float16)  # scale, shift


def fbgemm_tables(
    sizes: Sequence[tuple[int, int]], row_format: str, source: Sequence[Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns FBGEMM's inference tables as a call (indices, offsets) -> float32.

    Every byte of their memory is written, for pages never written are all one page of
    zeros, which stays in the cache: float32 tables hold `source`, quantised ones random
    codes under one scale and shift.

    Args:
        sizes: rows and dim of each table.
        row_format: "float32", "int8" or "int4".
        source: float32 [N, D] for each table; unused unless row_format is "float32".
    """
    # It logs every library that it loads, and every table that it makes.
    logging.disable(logging.INFO)
    # Only here: it is not installed everywhere, and its import takes a second.
    from fbgemm_gpu.split_embedding_configs import SparseType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation
    from fbgemm_gpu.split_table_batched_embeddings_ops_inference import (
        IntNBitTableBatchedEmbeddingBagsCodegen,
    )

    kinds = {
        "float32": SparseType.FP32,
        "int8": SparseType.INT8,
        "int4": SparseType.INT4,
    }
    specs = [
        ("", rows, dim, kinds[row_format], EmbeddingLocation.HOST)
        for rows, dim in sizes
    ]
    tables: Any = IntNBitTableBatchedEmbeddingBagsCodegen(
        specs, output_dtype=SparseType.FP32, device="cpu"
    )
    tables.initialize_weights()
    logging.disable(logging.NOTSET)
    stored = [rows for rows, _ in tables.split_embedding_weights(False)]
    if row_format == "float32":
        for rows, values in zip(stored, source, strict=True):
            rows[:, : 4 * values.shape[1]] = values.view(torch.uint8)
        return lambda indices, offsets: tables(indices, offsets)
    stored[0].random_(0, 256)
    stored[0][:, :4] = _HEADER.view(torch.uint8)
    for rows in stored[1:]:
        rows.copy_(stored[0])
    return lambda indices, offsets: tables(indices, offsets)
