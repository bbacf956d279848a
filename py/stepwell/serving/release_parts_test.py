"""One wrong value in one file is found, and named."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stepwell.base.errors import DataLossError
from stepwell.index.ann_index import FlatIndex, HnswIndex
from stepwell.models.two_tower_user import UserTower
from stepwell.retrieval.artifacts import RetrievalArtifacts
from stepwell.retrieval.co_occurrence_model import CoOccurrenceModel
from stepwell.retrieval.popular_lists import PopularLists
from stepwell.serving.release_parts import check_item_counts, check_release_parts

N, D, M = 6, 4, 3


def floats(*shape: int) -> npt.NDArray[np.float32]:
    return np.full(shape, 0.5, np.float32)


def rows(*values: int) -> npt.NDArray[np.int32]:
    return np.array(values, np.int32)


def parts() -> RetrievalArtifacts:
    tower = UserTower(
        fixed_vectors=floats(N, D),
        trained_vectors=floats(N, D),
        hidden_weight=floats(M, D),
        hidden_bias=floats(M),
        output_weight=floats(D, M),
        output_bias=floats(D),
        gain=floats(1),
        space_hash=np.zeros(32, np.uint8),
    )
    near = np.zeros((N, 2), np.int32)
    popular = PopularLists(
        global_rows=rows(0, 5),
        global_scores=floats(2),
        segment_rows=rows(0, -1).reshape(1, 2),
        segment_scores=floats(1, 2),
        trending_rows=rows(3),
        trending_scores=floats(1),
        segment_names=("",),
    )
    return RetrievalArtifacts(
        user_tower=tower,
        index=FlatIndex.build(floats(N, 2 * D + 1), np.arange(N)),
        co_occurrence=CoOccurrenceModel(floats(N, D), floats(N, D), near, floats(N, 2)),
        popular=popular,
    )


def test_parts_of_one_catalogue_pass() -> None:
    check_release_parts(N, parts())


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("user_tower", "trained_vectors"),
        ("user_tower", "gain"),
        ("co_occurrence", "output_vectors"),
        ("co_occurrence", "neighbour_weights"),
        ("popular", "trending_scores"),
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_found(
    part: str, field: str, value: float
) -> None:
    whole = parts()
    getattr(getattr(whole, part), field).flat[-1] = value
    with pytest.raises(DataLossError, match=f"{field} holds a value"):
        check_release_parts(N, whole)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("global_rows", rows(0, N)),
        ("global_rows", rows(-1)),
        ("segment_rows", rows(0, N).reshape(1, 2)),
        ("segment_rows", rows(0, -2).reshape(1, 2)),
        ("trending_rows", rows(2**31 - 1)),
        ("new_rows", rows(-3)),
    ],
)
def test_a_row_that_is_no_item_is_found(
    field: str, wrong: npt.NDArray[np.int32]
) -> None:
    whole = parts()
    changed: dict[str, Any] = {field: wrong}
    popular = replace(whole.popular, **changed)
    with pytest.raises(DataLossError, match=f"{field} names rows"):
        check_release_parts(N, replace(whole, popular=popular))


def test_an_index_of_items_that_are_none_is_found() -> None:
    index = HnswIndex.build(np.eye(N, 2 * D + 1, dtype=np.float32), np.arange(1, N + 1))
    with pytest.raises(DataLossError, match=r"index\.hnsw names items 1 to 6, must be"):
        check_release_parts(N, replace(parts(), index=index))
    index.delete(np.array([N]))
    check_release_parts(N, replace(parts(), index=index))


def test_a_file_of_another_number_of_items_is_named() -> None:
    check_item_counts(N, {"names": N})
    with pytest.raises(DataLossError, match="names is of 7 items, the vocabulary of 6"):
        check_item_counts(N, {"columns": N, "names": N + 1})


@pytest.mark.parametrize("num_items", [N - 1, N + 1])
def test_files_of_another_catalogue_are_found(num_items: int) -> None:
    with pytest.raises(DataLossError, match=rf"of {N} items, the vocabulary of"):
        check_release_parts(num_items, parts())
