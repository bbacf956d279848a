"""From a release's directory to something that serves: verify, build, warm up."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Generic

from stepwell.base.errors import (
    CancelledError,
    DataLossError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from stepwell.releases.handle import Content, Release
from stepwell.releases.manifest import Manifest, release_id_of
from stepwell.releases.signing import VerifyingKey
from stepwell.releases.source import TRUSTED_KEY_NAME
from stepwell.releases.verification import verify_release


def only_full(directory: Path, manifest: Manifest) -> Path:
    """Returns the directory of a release that is no delta.

    Raises:
        FailedPreconditionError: it is one.
    """
    if manifest.base is not None:
        raise FailedPreconditionError(
            f"{manifest.release_id} is a delta of {release_id_of(manifest.base.serial)}"
            "; this process takes complete releases only"
        )
    return directory


class Loader(Generic[Content]):
    """Turns a directory into a Release; knows nothing of what is in it.

    Args:
        key: the only key whose releases are accepted.
        build: makes the content from (directory, manifest); called after every digest
            and the signature were verified, and never otherwise.
        verify: says what a release is that is whole and ours, in place of reading it in
            this process: (directory, key) -> manifest, as verify_release.
        complete: where a delta's complete files are: (directory, manifest) ->
            directory. Without it a delta is refused.
        turn: held while a release is loaded: servers of one machine take turns.

    Concurrency: safe from any thread; runs wherever it is called, off the request path.
    """

    def __init__(
        self,
        key: VerifyingKey,
        build: Callable[[Path, Manifest], Content],
        verify: Callable[[Path, VerifyingKey], Manifest] = verify_release,
        complete: Callable[[Path, Manifest], Path] = only_full,
        turn: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._key = key
        self._build = build
        self._verify = verify
        self._complete = complete
        self._turn = turn

    def load(self, directory: Path) -> Release[Content]:
        """Returns the release in `directory`, ready to serve.

        Raises:
            StepwellError: with the release's name and the reason it is refused.
            UnavailableError, OSError: this machine could not load it now.
        """
        with self._turn():
            return self._loaded(directory)

    def _loaded(self, directory: Path) -> Release[Content]:
        manifest = self._verify(directory, self._key)
        whole = self._complete(directory, manifest)
        try:
            content = self._build(whole, manifest)
        except (MemoryError, OSError) as error:
            reason = f"{directory.name} could not be loaded now: {error!r}"
            raise UnavailableError(reason) from error
        except CancelledError:
            raise
        # Whatever else the build raises, the answer is the same: refused.
        except Exception as error:
            reason = f"{directory.name} was verified but cannot serve: {error!r}"
            raise DataLossError(reason) from error
        return Release(manifest, directory, content)


def trusted_key(registry: Path, key_file: Path | None = None) -> VerifyingKey:
    """Returns the key to trust: `key_file` when given, else the registry's own.

    A registry's own key protects against damage; against whoever can write there only
    a key kept elsewhere does.

    Raises:
        NotFoundError: neither exists.
    """
    path = key_file or registry / TRUSTED_KEY_NAME
    if not path.exists():
        raise NotFoundError(f"there is no key {path}; publish a release first")
    return VerifyingKey.load(path)
