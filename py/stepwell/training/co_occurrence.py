"""Training of the co-occurrence model: EASE in its dual form, kept small."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg
import torch
from scipy import sparse

from stepwell.retrieval.category_affinity import CategoryAffinity
from stepwell.retrieval.co_occurrence_model import CoOccurrenceModel
from stepwell.schema.feature_registry import DAY_SECONDS
from stepwell.training.split import Snapshot

FloatArray = npt.NDArray[np.float32]
Progress = Callable[[str, float], None]

_BLOCK_ITEMS = 512
_AFFINITY_WINDOW_SECONDS = 28 * DAY_SECONDS


@dataclass(frozen=True, slots=True)
class CoOccurrenceOptions:
    """Options of the model; the defaults are chosen on Complete Journey's validation.

    Attributes:
        regularisation: lambda of EASE; a larger one favours reach (R@500) over NDCG.
        popularity_power: a history item counts by popularity^-power.
        recency_power: a candidate counts by (recent rate / longer rate)^power, which
            sinks what is not sold any more: new R@500 0.2291 -> 0.2352.
        rank: D, directions kept. neighbours: K, corrections kept of each item.
        affinity_power: power of CategoryAffinity; 0 leaves it out.
        affinity_columns: the first of these that items have is the category.
        max_dual_users: largest U whose [U, U] system is solved.
        max_dense_bytes: largest [U, N] matrix held; beyond, neighbours by cosine.
    """

    regularisation: float = 1_000.0
    popularity_power: float = 0.2
    recency_power: float = 0.5
    recent_half_life_days: float = 21.0
    longer_half_life_days: float = 120.0
    rank: int = 64
    neighbours: int = 64
    affinity_power: float = 0.15
    affinity_columns: tuple[str, ...] = ("type", "category", "department")
    max_dual_users: int = 8_192
    max_dense_bytes: int = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class LowRank:
    """Leading directions of the scaled user-item matrix and what weighs them.

    Attributes:
        directions: float32 [N, D], orthonormal columns V, strongest first.
        shrinkage: float32 [D], s^2 / (s^2 + lambda).
        item_scale: float32 [N], scale of an item in a history.
        candidate_scale: float32 [N], recency / EASE's diagonal, scale of a candidate.
    """

    directions: FloatArray
    shrinkage: FloatArray
    item_scale: FloatArray
    candidate_scale: FloatArray

    def input_vectors(self) -> FloatArray:
        """Returns float32 [N, D], what a history item adds to the user's vector."""
        return self.directions * self.shrinkage * self.item_scale[:, None]

    def start_vectors(self) -> FloatArray:
        """Returns float32 [N, D], where the two-tower model's items start.

        Popular items are long in `directions`; the root of the length stays, so that
        a pooled history is not the week's milk alone.
        """
        vectors = self.directions * np.sqrt(self.shrinkage)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / (np.sqrt(length) + 1e-3)
        energy = float(np.sqrt((vectors**2).sum(axis=1).mean()))
        return np.asarray(vectors / max(energy, 1e-9), np.float32)

    def output_vectors(self) -> FloatArray:
        """Returns float32 [N, D], what the user's vector is held against."""
        return self.directions * self.candidate_scale[:, None]


def train_co_occurrence(
    snapshot: Snapshot,
    options: CoOccurrenceOptions | None = None,
    progress: Progress | None = None,
) -> tuple[CoOccurrenceModel, LowRank]:
    """Returns the model and the low-rank part that the two-tower model starts from.

    EASE's matrix is B = I - P / diag(P), P = (X^T X + lambda I)^-1. With G = (X X^T +
    lambda I)^-1 and Y = G X one has lambda P = I - X^T Y, so a system of U users is
    solved in place of one of N items, and rows of B come in blocks that never make the
    whole matrix.

    Cost: O(U^3 + nnz N) time, O(U N) memory; 13 s on 2 cores and 1 GiB for 2,469 users
    and 26,673 items. Larger inputs get a randomised SVD and cosine neighbours.
    Source: Steck, arXiv:1905.03375, eq. 8; Halko et al., 2011, Alg. 5.1.
    """
    options = options or CoOccurrenceOptions()
    matrix = snapshot.affinity_matrix()
    item_scale = _item_scale(matrix, options)
    scaled = (matrix @ sparse.diags(item_scale)).tocsr().astype(np.float32)
    recency = _recency(snapshot, options)
    num_users, num_items = scaled.shape
    rank = min(options.rank, min(scaled.shape) - 1)
    affinity = _affinity(snapshot, options)
    fits = num_users * num_items * 4 <= options.max_dense_bytes
    if fits and num_users <= options.max_dual_users:
        dual = _solve_dual(scaled, options.regularisation, rank)
        low_rank = LowRank(
            dual.directions, dual.shrinkage, item_scale, recency / dual.diagonal
        )
        blocks = _residual_blocks(scaled, dual, low_rank, progress)
        rows, weights = _strongest(blocks, num_items, options.neighbours)
        vectors = low_rank.input_vectors(), low_rank.output_vectors()
        return CoOccurrenceModel(*vectors, rows, weights, affinity), low_rank
    low_rank = _randomised(scaled, item_scale, recency, rank, options.regularisation)
    blocks = _cosine_blocks(scaled, item_scale, recency, progress)
    rows, weights = _strongest(blocks, num_items, options.neighbours)
    none = np.zeros((num_items, 0), np.float32)
    return CoOccurrenceModel(none, none, rows, weights, affinity), low_rank


def _item_scale(matrix: sparse.csr_matrix, options: CoOccurrenceOptions) -> FloatArray:
    popularity = np.asarray(matrix.sum(axis=0)).ravel() + 1.0
    scale = popularity**-options.popularity_power
    return np.asarray(scale / scale.mean(), np.float32)


def _affinity(
    snapshot: Snapshot, options: CoOccurrenceOptions
) -> CategoryAffinity | None:
    categories = snapshot.table.item_table.categories
    names = [name for name in options.affinity_columns if name in categories]
    if not names or options.affinity_power <= 0:
        return None
    month = snapshot.cut_time - _AFFINITY_WINDOW_SECONDS
    buyers = snapshot.distinct_buyers(month, snapshot.cut_time)
    codes = categories[names[0]].codes[snapshot.table_rows]
    return CategoryAffinity.of_buyers(codes, buyers, options.affinity_power)


def _recency(snapshot: Snapshot, options: CoOccurrenceOptions) -> FloatArray:
    recent = snapshot.decayed_counts(options.recent_half_life_days)
    longer = snapshot.decayed_counts(options.longer_half_life_days)
    ratio = recent / np.maximum(longer, 1e-3)
    return (ratio**options.recency_power).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Dual:
    """The solved dual: directions and shrinkage of X, Y = G X, diag(lambda P)."""

    directions: FloatArray
    shrinkage: FloatArray
    solved: FloatArray
    diagonal: FloatArray


def _solve_dual(scaled: sparse.csr_matrix, regularisation: float, rank: int) -> _Dual:
    gram = (scaled @ scaled.T).toarray().astype(np.float64)
    values, vectors = scipy.linalg.eigh(gram, overwrite_a=True, check_finite=False)
    values = np.maximum(values, 0.0)
    inverse = (vectors / (values + regularisation)) @ vectors.T
    solved = np.asarray((scaled.T @ inverse.astype(np.float32)).T, np.float32)
    by_item = scaled.multiply(solved).sum(axis=0)
    diagonal = np.maximum(1.0 - np.asarray(by_item).ravel(), 1e-3)
    top = np.argsort(-values, kind="stable")[:rank]
    singular = np.sqrt(np.maximum(values[top], 1e-12))
    left = (vectors[:, top] / singular).astype(np.float32)
    return _Dual(
        directions=np.asarray(scaled.T @ left, np.float32),
        shrinkage=(values[top] / (values[top] + regularisation)).astype(np.float32),
        solved=np.ascontiguousarray(solved),
        diagonal=diagonal.astype(np.float32),
    )


def _residual_blocks(
    scaled: sparse.csr_matrix,
    dual: _Dual,
    low_rank: LowRank,
    progress: Progress | None,
) -> Callable[[int, int], FloatArray]:
    """Returns a function of (start, end): rows of B minus the low-rank part."""
    by_item = scaled.T.tocsr()
    inputs, outputs = low_rank.input_vectors(), low_rank.output_vectors()

    def block(start: int, end: int) -> FloatArray:
        if progress:
            progress("co-occurrence", start / len(inputs))
        exact = by_item[start:end] @ dual.solved
        exact *= low_rank.candidate_scale
        exact *= low_rank.item_scale[start:end, None]
        # EASE has no diagonal: the correction takes away what the low-rank part adds.
        exact[np.arange(end - start), np.arange(start, end)] = 0.0
        exact -= inputs[start:end] @ outputs.T
        return np.asarray(exact, np.float32)

    return block


def _cosine_blocks(
    scaled: sparse.csr_matrix,
    item_scale: FloatArray,
    recency: FloatArray,
    progress: Progress | None,
) -> Callable[[int, int], FloatArray]:
    """Returns a function of (start, end): cosine of items' users, own item left out."""
    norms = np.sqrt(np.asarray(scaled.multiply(scaled).sum(axis=0)).ravel()) + 1e-6
    by_item = (sparse.diags(1.0 / norms) @ scaled.T).tocsr()
    by_user = by_item.T.tocsr()

    def block(start: int, end: int) -> FloatArray:
        if progress:
            progress("co-occurrence", start / len(norms))
        cosine = (by_item[start:end] @ by_user).toarray()
        cosine[np.arange(end - start), np.arange(start, end)] = 0.0
        cosine *= recency
        cosine *= item_scale[start:end, None]
        return np.asarray(cosine, np.float32)

    return block


def _strongest(
    block_of: Callable[[int, int], FloatArray], num_items: int, neighbours: int
) -> tuple[npt.NDArray[np.int32], FloatArray]:
    """Returns the entries of largest magnitude of each row, rows ascending."""
    kept = min(neighbours, num_items)
    rows = np.full((num_items, neighbours), -1, np.int32)
    weights = np.zeros((num_items, neighbours), np.float32)
    for start in range(0, num_items, _BLOCK_ITEMS):
        end = min(start + _BLOCK_ITEMS, num_items)
        block = torch.from_numpy(block_of(start, end))
        top = torch.topk(block.abs(), kept, dim=1, sorted=False).indices
        top = top.sort(dim=1).values
        values = block.gather(1, top).numpy()
        rows[start:end, :kept] = np.where(values != 0.0, top.numpy(), -1)
        weights[start:end, :kept] = values
    return rows, weights


def _randomised(
    scaled: sparse.csr_matrix,
    item_scale: FloatArray,
    recency: FloatArray,
    rank: int,
    regularisation: float,
) -> LowRank:
    """Returns the leading directions by two rounds of subspace iteration."""
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((scaled.shape[0], rank + 8)).astype(np.float32)
    for _ in range(3):
        basis, _ = np.linalg.qr(scaled @ (scaled.T @ basis))
    _, singular, directions = np.linalg.svd(
        np.asarray(scaled.T @ basis).T, full_matrices=False
    )
    directions = directions[:rank].T.astype(np.float32)
    energy = singular[:rank] ** 2
    shrinkage = (energy / (energy + regularisation)).astype(np.float32)
    diagonal = np.maximum(1.0 - (directions**2 * shrinkage).sum(axis=1), 1e-3)
    scale = (recency / diagonal).astype(np.float32)
    return LowRank(directions, shrinkage, item_scale, scale)
