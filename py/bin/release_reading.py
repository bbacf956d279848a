"""Reads every byte of a release, and prepares what a server takes from caches then."""

from dataclasses import dataclass
from pathlib import Path

from stepwell.base.errors import UnavailableError
from stepwell.models.precision import Precision
from stepwell.ranking.compiled_cache import CompiledCache
from stepwell.releases.delta import DeltaCache
from stepwell.releases.signing import VerifyingKey
from stepwell.releases.verification import verify_release
from stepwell.releases.verified_records import identity_of
from stepwell.serving.precompile import precompile


@dataclass(frozen=True, slots=True)
class ReleaseReader:
    """Reads releases for a server.

    Attributes:
        key: that they are signed with.
        deltas: gets the complete files of a delta.
        compiled: gets the packed ranker; None packs none.
        precision: of the server.

    Concurrency: as its caches.
    """

    key: VerifyingKey
    deltas: DeltaCache
    compiled: CompiledCache | None
    precision: Precision

    def read(self, directory: Path) -> str:
        """Returns the identity of a release's files, which are whole and in memory.

        Raises:
            StepwellError: as verify_release, DeltaCache.complete and precompile.
            UnavailableError: the files changed meanwhile.
        """
        before = identity_of(directory, links=False)
        manifest = verify_release(directory, self.key)
        complete = self.deltas.complete(directory, manifest)
        if self.compiled is not None:
            precompile(complete, manifest, self.precision, self.compiled)
        if identity_of(directory, links=False) != before:
            raise UnavailableError(f"{directory} changed while it was read")
        return identity_of(directory)
