"""From a trained two-tower model to what serving loads: user tower, vectors, index."""

import hashlib
import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from stepwell.index.ann_index import (
    Codes,
    FlatIndex,
    FlatOptions,
    HnswIndex,
    HnswOptions,
)
from stepwell.models.two_tower import TwoTower
from stepwell.models.two_tower_user import UserTower
from stepwell.training.co_occurrence import LowRank

FloatArray = npt.NDArray[np.float32]

_CALIBRATION_USERS = 256
_CALIBRATION_RANK = 500


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """Options of the index.

    Attributes:
        gain: weight of the trained block beside the co-occurrence block.
        m, ef_construction, keep_vectors: as in HnswOptions.
        codes: as in HnswOptions. Serving asks for as many items as its search is wide,
            where the errors of int8 codes drop items from the list's end; bfloat16
            takes as long and does not.
        num_threads: of the build; None takes every core.
    """

    gain: float = 0.1
    m: int = 24
    ef_construction: int = 200
    num_threads: int | None = None
    codes: Codes = "bfloat16"
    keep_vectors: bool = True


def export_towers(
    model: TwoTower,
    low_rank: LowRank,
    popularity: FloatArray,
    histories: sparse.csr_matrix,
    gain: float,
) -> tuple[UserTower, FloatArray]:
    """Returns the user's side and the items' vectors float32 [N, D].

    The inner product of a user's vector with an item's is the co-occurrence score, made
    comparable over users, plus `gain` times the trained model's logit.

    Args:
        model: the trained model. low_rank: the co-occurrence block.
        popularity: float32 [N, P], features as of the release's cut.
        histories: float32 [U, N], what the scale is measured on.
        gain: weight of the trained block.
    """
    fixed_in, fixed_out = low_rank.input_vectors(), low_rank.output_vectors()
    fixed_out = fixed_out * _calibration(fixed_in, fixed_out, histories)
    with torch.no_grad():
        trained_in = model.history_vectors().numpy()
        scale = float(model.logit_scale)
        trained_out = model.candidate_vectors().numpy() * scale
        bias = popularity @ model.popularity.numpy()
    item_vectors = np.concatenate(
        [fixed_out, trained_out, (bias - bias.mean())[:, None]], axis=1
    ).astype(np.float32)
    layers = {
        name: tensor.detach().numpy()
        for name, tensor in (
            ("hidden_weight", model.hidden.weight),
            ("hidden_bias", model.hidden.bias),
            ("output_weight", model.output.weight),
            ("output_bias", model.output.bias),
        )
    }
    tower = UserTower(
        fixed_vectors=np.ascontiguousarray(fixed_in, np.float32),
        trained_vectors=np.ascontiguousarray(trained_in, np.float32),
        gain=np.array([gain], np.float32),
        space_hash=np.frombuffer(_space_hash(fixed_in, item_vectors), np.uint8),
        **layers,
    )
    return tower, item_vectors


def build_index(
    item_vectors: FloatArray, space_hash: bytes, options: IndexOptions | None = None
) -> HnswIndex:
    """Returns a graph over the items' vectors under inner product, ids are rows.

    Cost: about 10 s on 2 cores for 26,673 vectors of 129.
    """
    options = options or IndexOptions()
    return HnswIndex.build(
        item_vectors,
        np.arange(len(item_vectors)),
        HnswOptions(
            metric="inner_product",
            m=options.m,
            ef_construction=options.ef_construction,
            num_threads=options.num_threads or min(os.cpu_count() or 1, 64),
            space_hash=space_hash,
            codes=options.codes,
            keep_vectors=options.keep_vectors,
        ),
    )


def index_recall(
    index: HnswIndex,
    item_vectors: FloatArray,
    queries: FloatArray,
    k: int,
    ef_search: int,
) -> float:
    """Returns the part of the k truly nearest items that the index finds, 0..1."""
    rows = np.arange(len(item_vectors))
    flat = FlatIndex.build(item_vectors, rows, FlatOptions("inner_product"))
    exact = flat.search(queries, k).ids
    found = index.search(queries, k, ef_search=ef_search).ids
    shared = [len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True)]
    return sum(shared) / max(exact.size, 1)


def _calibration(
    fixed_in: FloatArray, fixed_out: FloatArray, histories: sparse.csr_matrix
) -> float:
    """1 / unit users' mean score at rank 500 (a small catalogue: its best 2 %)."""
    active = np.flatnonzero(np.diff(histories.indptr) > 0)
    step = max(len(active) // _CALIBRATION_USERS, 1)
    users = histories[active[::step]] @ fixed_in
    users /= np.linalg.norm(users, axis=1, keepdims=True) + 1e-9
    scores = users @ fixed_out.T
    rank = min(_CALIBRATION_RANK, max(scores.shape[1] // 50, 1)) - 1
    edge = -np.partition(-scores, rank, axis=1)[:, rank]
    mean = float(edge.mean())
    return 1.0 / mean if mean > 1e-9 else 1.0


def _space_hash(*arrays: FloatArray) -> bytes:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
