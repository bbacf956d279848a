"""Reads every byte of a release, and prepares what a server takes from caches then."""

from pathlib import Path

from stepwell.base.errors import UnavailableError
from stepwell.models.precision import Precision
from stepwell.ranking.compiled_cache import CompiledCache
from stepwell.releases.delta import DeltaCache
from stepwell.releases.signing import VerifyingKey
from stepwell.releases.verification import verify_release
from stepwell.releases.verified_records import identity_of
from stepwell.serving.precompile import precompile


def read_release(
    directory: Path,
    key: VerifyingKey,
    deltas: DeltaCache,
    compiled: CompiledCache | None,
    precision: Precision,
) -> str:
    """Returns the identity of the files that were verified.

    Args:
        directory: the release; its pages are in memory afterwards.
        key: that it is signed with.
        deltas: gets the complete files of a delta.
        compiled: gets the packed ranker; None packs none.
        precision: of the server that asks.

    Raises:
        StepwellError: as verify_release, DeltaCache.complete and precompile.
        UnavailableError: the files changed meanwhile.
    """
    before = identity_of(directory, links=False)
    manifest = verify_release(directory, key)
    complete = deltas.complete(directory, manifest)
    if compiled is not None:
        precompile(complete, manifest, precision, compiled)
    if identity_of(directory, links=False) != before:
        raise UnavailableError(f"{directory} changed while it was read")
    return identity_of(directory)
