"""The scorer of the FULL tier, in the fastest form that its release allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import structlog

from stepwell.base.pace import AT_ONCE, Pace
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import RankerConfig
from stepwell.ops.fused_ranker import PackedRanker
from stepwell.ranking.compiled_cache import CompiledCache, compiled_key
from stepwell.ranking.fused_scorer import FusedScorer
from stepwell.ranking.pack_ranker import pack_ranker

if TYPE_CHECKING:
    from stepwell.ranking.model_scorer import ModelScorer

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FullScorerOptions:
    """How the full ranker is to run.

    Attributes:
        precision: of its products. "float32" is never fused.
        item_columns: int [N] by sparse column: what a release's items fix of the
            model's inputs. With all columns but one (the user's) the ranker is fused.
        max_record_bytes: memory that the items of a fused ranker may take; a catalogue
            that needs more is scored with tables, unfused.
        cache: of rankers that are packed already; None packs every time.
        digests: sha256 by path of the files that the ranker is packed of; what is
            packed of others is not kept.
        pace: at which a kept ranker is read.
    """

    precision: Precision = "float32"
    item_columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    max_record_bytes: int = 2 << 30
    cache: CompiledCache | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    pace: Pace = AT_ONCE


def load_full_scorer(
    release_dir: Path,
    dense_names: Sequence[str],
    sparse_names: Sequence[str],
    options: FullScorerOptions,
) -> "ModelScorer | FusedScorer":
    """Returns the full ranker of a release directory as a scorer.

    Where a precision that could be fused cannot be here, a line in the log says why.

    Raises:
        DataLossError: the config or the weights are damaged.
        FailedPreconditionError: it takes a column that is not computed.
        InvalidArgumentError: no such precision, or an item's row is out of its table.
    """
    config = RankerConfig.load(release_dir).full
    packed = _kept(options) or _packed(release_dir, options)
    if packed is None:
        # Only here: torch takes a second and 160 MB to import.
        from stepwell.ranking.model_scorer import ModelScorer

        return ModelScorer.load(
            release_dir, dense_names, sparse_names, options.precision
        )
    others = [name for name in config.sparse_names if name not in options.item_columns]
    user_column = others[0] if others else None
    return FusedScorer(packed, config, dense_names, sparse_names, user_column)


def _kept(options: FullScorerOptions) -> PackedRanker | None:
    if options.cache is None or not options.digests or options.precision == "float32":
        return None
    key = compiled_key(options.digests, options.precision)
    packed = options.cache.load(key, options.pace)
    if packed is None or len(packed.items) > options.max_record_bytes:
        return None
    return packed


def _packed(release_dir: Path, options: FullScorerOptions) -> PackedRanker | None:
    """Returns the ranker packed now; None where it must be served with tables."""
    packed, reason = pack_ranker(
        release_dir, options.precision, options.item_columns, options.max_record_bytes
    )
    if reason:
        _log.info(
            "scorer_form", form="tables", precision=options.precision, reason=reason
        )
    if packed is not None and options.cache is not None and options.digests:
        key = compiled_key(options.digests, options.precision)
        options.cache.store(key, packed)
    return packed
