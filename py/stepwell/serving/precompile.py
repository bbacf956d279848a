"""Packs a release's ranker before a server asks for it."""

from pathlib import Path

from stepwell.features.catalogue import catalogue_for
from stepwell.features.item_columns import ItemColumns
from stepwell.models.precision import Precision
from stepwell.models.ranker_config import RankerConfig
from stepwell.ranking.compiled_cache import CompiledCache
from stepwell.ranking.full_scorer import FullScorerOptions, load_full_scorer
from stepwell.releases.manifest import Manifest
from stepwell.serving.engine_builder import PACKED_FILES


def precompile(
    directory: Path, manifest: Manifest, precision: Precision, cache: CompiledCache
) -> None:
    """Sees that the cache has the full ranker of a release, as EngineBuilder takes it.

    Args:
        directory: complete and verified.
        manifest: of the release.
        precision: of the server.
        cache: of the server.
    Raises: as load_full_scorer and ItemColumns.load.
    Cost: that of `pack_ranker` where the cache has it not, 0.1 s for a small one; a
        second more where it must be served with tables, which takes torch.
    """
    catalogue = catalogue_for(RankerConfig.load(directory))
    options = FullScorerOptions(
        precision,
        ItemColumns.load(directory, catalogue).categories,
        cache=cache,
        digests={f.path: f.sha256 for f in manifest.files if f.path in PACKED_FILES},
    )
    names = (catalogue.dense_names, catalogue.sparse_names)
    load_full_scorer(directory, *names, options)
