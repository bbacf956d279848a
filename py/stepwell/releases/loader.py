"""From a release's directory to something that serves: verify, build, warm up."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic

from stepwell.base.errors import DataLossError, NotFoundError
from stepwell.releases.handle import Content, Release
from stepwell.releases.manifest import Manifest
from stepwell.releases.signing import VerifyingKey
from stepwell.releases.source import TRUSTED_KEY_NAME
from stepwell.releases.verification import verify_release


class Loader(Generic[Content]):
    """Turns a directory into a Release; knows nothing of what is in it.

    Args:
        key: the only key whose releases are accepted.
        build: makes the content from (directory, manifest); called after every digest
            and the signature were verified, and never otherwise.
        warm_up: runs the content until it answers at full speed.

    Concurrency: safe from any thread; runs wherever it is called, off the request path.
    """

    def __init__(
        self,
        key: VerifyingKey,
        build: Callable[[Path, Manifest], Content],
        warm_up: Callable[[Content], None] | None = None,
    ) -> None:
        self._key = key
        self._build = build
        self._warm_up = warm_up

    def load(self, directory: Path) -> Release[Content]:
        """Returns the release in `directory`, ready to serve.

        Raises:
            StepwellError: with the release's name and the reason it is refused.
        """
        manifest = verify_release(directory, self._key)
        try:
            content = self._build(directory, manifest)
            if self._warm_up is not None:
                self._warm_up(content)
        # Whatever the build raises, the answer is the same: this release is refused.
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
