"""The policy: denied stays hidden, and so does whatever cannot be looked up."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from structlog.testing import capture_logs

from stepwell.base.errors import InvalidArgumentError
from stepwell.base.metric_names import POLICY_FAILURES, POLICY_UNKNOWN_VALUES
from stepwell.base.metrics import Metrics
from stepwell.reranking.item_traits import CategoricalColumn, categorical_columns
from stepwell.reranking.policy_filter import MaskArray, PolicyFilter, PolicyRules
from stepwell.schema.vocabulary import RowArray, Vocabulary

VOCABULARY = Vocabulary.build(["milk", "beer", "wine", "bread"])
NAMES = ("", "dairy", "alcohol")
CODES = np.array([1, 2, 2, 0], np.int32)
COLUMNS = {"department": CategoricalColumn(CODES, NAMES)}
EVERY_ROW = np.arange(4)


def _shown(rules: PolicyRules, rows: RowArray = EVERY_ROW) -> list[int]:
    policy = PolicyFilter.compile(rules, VOCABULARY, COLUMNS)
    shown: list[int] = rows[policy.allowed(rows)].tolist()
    return shown


def test_an_empty_policy_shows_every_known_item() -> None:
    assert _shown(PolicyRules()) == [0, 1, 2, 3]


def test_a_denied_item_is_hidden_and_an_unknown_denied_id_is_no_error() -> None:
    assert _shown(PolicyRules(denied_item_ids=frozenset({"beer", "gin"}))) == [0, 2, 3]


def test_an_allow_list_hides_everything_else() -> None:
    rules = PolicyRules(
        allowed_item_ids=frozenset({"milk", "beer"}),
        denied_item_ids=frozenset({"beer"}),
    )
    assert _shown(rules) == [0]


@pytest.mark.parametrize("row", [-1, -5, 4, 2**40])
def test_a_row_that_the_release_does_not_have_is_hidden(row: int) -> None:
    assert _shown(PolicyRules(), np.array([0, row])) == [0]


def test_an_item_whose_ruled_column_is_not_known_is_hidden() -> None:
    denied = {"department": frozenset({"alcohol"})}
    assert _shown(PolicyRules(denied_values=denied)) == [0]


def test_a_denied_value_that_no_item_has_is_logged_and_counted() -> None:
    values = frozenset({"alcohol", "alcool", "tobacco"})
    rules, metrics = PolicyRules(denied_values={"department": values}), Metrics()
    with capture_logs() as lines:
        PolicyFilter.compile(rules, VOCABULARY, COLUMNS, metrics=metrics)
    assert metrics.value(POLICY_UNKNOWN_VALUES) == 2
    assert [(line["column"], line["values"]) for line in lines] == [
        ("department", ["alcool", "tobacco"])
    ]


def test_only_allowed_values_of_a_column_are_shown() -> None:
    allowed = {"department": frozenset({"alcohol", "tobacco"})}
    assert _shown(PolicyRules(allowed_values=allowed)) == [1, 2]


@pytest.mark.parametrize("kind", ["denied_values", "allowed_values"])
def test_a_rule_on_a_missing_column_hides_everything(kind: str) -> None:
    rules = PolicyRules.model_validate({kind: {"age_limit": ["18"]}})
    assert _shown(rules) == []


def test_a_column_of_another_release_hides_everything() -> None:
    rules = PolicyRules(denied_values={"department": frozenset({"alcohol"})})
    shorter = {"department": CategoricalColumn(CODES[:3], NAMES)}
    policy = PolicyFilter.compile(rules, VOCABULARY, shorter)
    assert not policy.allowed(EVERY_ROW).any()


def test_a_code_without_a_name_is_not_known() -> None:
    rules = PolicyRules(denied_values={"department": frozenset({"alcohol"})})
    nameless = {"department": CategoricalColumn(CODES, NAMES[:2])}
    policy = PolicyFilter.compile(rules, VOCABULARY, nameless)
    assert policy.allowed(EVERY_ROW).tolist() == [True, False, False, False]


def test_reads_the_columns_of_a_release() -> None:
    tensors: dict[str, npt.NDArray[Any]] = {
        "category/brand": np.array([2, 0, 1], np.int64),
        "category_names/brand/bytes": np.frombuffer("été2".encode(), np.uint8),
        "category_names/brand/offsets": np.array([0, 0, 5, 6]),
        "category/bare": np.zeros(3, np.int32),
        "number/price": np.zeros(3, np.float32),
    }
    columns = categorical_columns(tensors)
    assert sorted(columns) == ["bare", "brand"]
    assert columns["brand"].names == ("", "été", "2")
    assert columns["brand"].codes.tolist() == [2, 0, 1]
    assert columns["bare"].names == ()


def test_reads_rules_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"denied_item_ids": ["beer"]}')
    assert _shown(PolicyRules.read(path)) == [0, 2, 3]


@pytest.mark.parametrize(
    "text", ['{"denied": []}', "[]", "{", '{"denied_item_ids": 3}']
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(InvalidArgumentError, match=r"policy\.json"):
        PolicyRules.read(path)


def test_a_policy_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"absent\.json"):
        PolicyRules.read(tmp_path / "absent.json")


class Recalled:
    """Live bans as a test wants them."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def banned(self, rows: RowArray) -> MaskArray:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[return-value]


def _with_bans(answer: object, metrics: Metrics | None = None) -> list[bool]:
    bans = Recalled(answer)
    policy = PolicyFilter(np.ones(4, np.bool_), bans, metrics)
    allowed: list[bool] = policy.allowed(EVERY_ROW).tolist()
    return allowed


def test_a_live_ban_hides_its_item() -> None:
    assert _with_bans(np.array([False, True, False, False])) == [
        True,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    "answer",
    [
        ConnectionError("policy service is down"),
        np.array([False]),
        np.zeros(4, np.int64),
        None,
    ],
)
def test_a_lookup_that_fails_hides_everything_and_is_counted(answer: object) -> None:
    metrics = Metrics()
    assert _with_bans(answer, metrics) == [False] * 4
    assert metrics.value(POLICY_FAILURES) == 1
