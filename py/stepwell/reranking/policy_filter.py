"""What may be shown at all: the one filter that every tier passes. It fails closed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from stepwell.base.errors import InvalidArgumentError
from stepwell.base.metric_names import POLICY_FAILURES, POLICY_UNKNOWN_VALUES
from stepwell.base.metrics import Metrics
from stepwell.reranking.item_traits import UNKNOWN_CODE, CategoricalColumn
from stepwell.schema.vocabulary import RowArray, Vocabulary

_log = structlog.get_logger(__name__)

MaskArray = npt.NDArray[np.bool_]


class PolicyRules(BaseModel):
    """The operator's rules, as a JSON file has them; an unknown key is an error.

    Attributes:
        denied_item_ids: never shown. Ids that the release does not know are ignored: a
            rule outlives the items it names.
        allowed_item_ids: only these are shown; None allows all.
        denied_values: by item column, values whose items are not shown. An item whose
            value is not known is not shown either. A value that no item has denies
            nothing: it is logged and counted, for a rule outlives values too, and may
            be a misspelt one.
        allowed_values: by item column, the only values whose items are shown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    denied_item_ids: frozenset[str] = frozenset()
    allowed_item_ids: frozenset[str] | None = None
    denied_values: dict[str, frozenset[str]] = {}
    allowed_values: dict[str, frozenset[str]] = {}

    @classmethod
    def read(cls, path: Path) -> "PolicyRules":
        """Reads a JSON file.

        Raises:
            InvalidArgumentError: it cannot be read or is no such object; says where.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise InvalidArgumentError(f"{path}: {error}", "policy") from error


class LiveBans(Protocol):
    """Bans that change while a release is live, such as recalls. Thread-safe."""

    def banned(self, rows: RowArray) -> MaskArray:
        """Returns bool [N]: True where the row is banned now; may raise."""
        ...


class PolicyFilter:
    """The compiled policy of one release: one bit an item.

    Fails closed: a row that the release does not have, an item whose value in a ruled
    column is not known, a rule on a column that the release lacks, and any failure to
    look up live bans all mean "not shown".

    Args:
        allowed: bool [N], True where the item of the row may be shown.
        live_bans: asked at every call, beside the bits.
        metrics: counts failed lookups.

    Concurrency: immutable, as safe as `live_bans`. Cost: about 2 us for 500 rows.
    """

    def __init__(
        self,
        allowed: MaskArray,
        live_bans: LiveBans | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        # A place more at either end, always False: where unknown rows are sent.
        self._allowed = np.concatenate([[False], allowed, [False]])
        self._live_bans = live_bans
        self._metrics = metrics or Metrics()

    @classmethod
    def compile(
        cls,
        rules: PolicyRules,
        vocabulary: Vocabulary,
        columns: Mapping[str, CategoricalColumn],
        live_bans: LiveBans | None = None,
        metrics: Metrics | None = None,
    ) -> "PolicyFilter":
        """Returns the filter of `rules` over a release's items.

        Args:
            rules: the policy.
            vocabulary: N items.
            columns: the release's category columns, by name.
            live_bans, metrics: as in the constructor.
        """
        allowed = np.ones(len(vocabulary), np.bool_)
        if rules.allowed_item_ids is not None:
            allowed = _mask_of_ids(rules.allowed_item_ids, vocabulary)
        allowed &= ~_mask_of_ids(rules.denied_item_ids, vocabulary)
        for name, values in rules.denied_values.items():
            _report_unknown(name, values, columns, metrics)
            has_value = _has_value(name, values, columns, len(vocabulary))
            allowed &= _is_known(name, columns, len(vocabulary)) & ~has_value
        for name, values in rules.allowed_values.items():
            allowed &= _has_value(name, values, columns, len(vocabulary))
        return cls(allowed, live_bans, metrics)

    def allowed(self, rows: RowArray) -> MaskArray:
        """Returns bool [N]: True where the item of the row may be shown."""
        # Past either end is the end: one step for what a comparison would take five.
        allowed: MaskArray = self._allowed.take(rows + 1, mode="clip")
        if self._live_bans is None:
            return allowed
        return allowed & ~self._banned(self._live_bans, rows)

    def _banned(self, live_bans: LiveBans, rows: RowArray) -> MaskArray:
        try:
            banned = np.asarray(live_bans.banned(rows))
            if banned.shape != rows.shape or banned.dtype != np.bool_:
                raise TypeError(f"bans are {banned.dtype} {banned.shape}")
        except Exception as error:  # noqa: BLE001 - fails closed, whatever it is
            self._metrics.add(POLICY_FAILURES)
            _log.warning("policy lookup failed, nothing is shown", error=str(error))
            return np.ones(len(rows), np.bool_)
        return banned


def _mask_of_ids(ids: frozenset[str], vocabulary: Vocabulary) -> MaskArray:
    mask = np.zeros(len(vocabulary), np.bool_)
    rows = vocabulary.rows_of_ids(sorted(ids))
    mask[rows[rows >= 0]] = True
    return mask


def _is_known(
    name: str, columns: Mapping[str, CategoricalColumn], num_items: int
) -> MaskArray:
    column = columns.get(name)
    if column is None or len(column.codes) != num_items:
        _log.warning("policy column is missing, nothing is shown", column=name)
        return np.zeros(num_items, np.bool_)
    named = (column.codes >= 0) & (column.codes < len(column.names))
    return np.asarray(named & (column.codes != UNKNOWN_CODE))


def _report_unknown(
    name: str,
    values: frozenset[str],
    columns: Mapping[str, CategoricalColumn],
    metrics: Metrics | None,
) -> None:
    column = columns.get(name)
    if column is None:
        return  # nothing is shown then, which is said elsewhere
    unknown = sorted(values.difference(column.names))
    if not unknown:
        return
    if metrics is not None:
        metrics.add(POLICY_UNKNOWN_VALUES, amount=len(unknown))
    _log.warning("policy denies values no item has", column=name, values=unknown)


def _has_value(
    name: str,
    values: frozenset[str],
    columns: Mapping[str, CategoricalColumn],
    num_items: int,
) -> MaskArray:
    known = _is_known(name, columns, num_items)
    if not known.any():
        return known
    column = columns[name]
    codes = [code for code, text in enumerate(column.names) if text in values]
    return known & np.isin(column.codes, codes)
