"""What the releases of a registry are for: live, previous, canary; one signed page."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import DataLossError, NotFoundError
from stepwell.releases.durable_files import write_durably
from stepwell.releases.manifest import StrictModel, canonical_json, first_problem
from stepwell.releases.regular_file import open_regular
from stepwell.releases.signing import SigningKey, VerifyingKey

ALIASES_NAME = "aliases.json"
_MAX_BYTES = 16 << 10
_UNSIGNED = "0" * 128

Serial = Annotated[int, Field(ge=1, le=10**12 - 1)]
Seconds = Annotated[int, Field(ge=0, le=1 << 40)]


class Canary(StrictModel):
    """A release on trial.

    Attributes:
        share_ppm: of the users, in parts per million.
        salt: deals the users; kept while the share of one trial grows, so that who is
            in stays in.
        started_seconds: unix seconds; tells a trial from an earlier one of the same
            release.
        is_shadow: its slates are computed and logged, and shown to nobody.
    """

    serial: Serial
    share_ppm: int = Field(ge=1, le=1_000_000)
    salt: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    started_seconds: Seconds
    is_shadow: bool = False

    def continues(self, running: "Canary") -> bool:
        """True when only the share differs: the same trial, at another size."""
        return (self.serial, self.is_shadow) == (running.serial, running.is_shadow)


class Aliases(StrictModel):
    """Which release has which part.

    Attributes:
        revision: counts up with every change; a server takes no lower one than it saw.
        live: what servers serve.
        previous: what was live before; servers keep it loaded, for a rollback.
        pinned: served in place of `live` while it is set, and then there is no canary.
        canary: on trial; None without one.
    """

    format_version: Literal[1] = 1
    revision: int = Field(ge=1, le=1 << 40)
    live: Serial
    previous: Serial | None = None
    pinned: Serial | None = None
    canary: Canary | None = None
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")] = _UNSIGNED

    def named(self) -> frozenset[int]:
        """Returns all releases with a part; none of them may leave the registry."""
        canary = None if self.canary is None else self.canary.serial
        serials = (self.live, self.previous, self.pinned, canary)
        return frozenset(serial for serial in serials if serial is not None)

    def signed(self, key: SigningKey) -> "Aliases":
        """Returns the same page with this key's signature."""
        signature = key.sign(self._signed_bytes()).hex()
        return self.model_copy(update={"signature": signature})

    def verify(self, key: VerifyingKey) -> None:
        """Raises DataLossError when the signature is not this key's."""
        key.verify(self._signed_bytes(), bytes.fromhex(self.signature))

    def to_json(self) -> bytes:
        """Returns the form on disk."""
        return canonical_json(self.model_dump())

    def _signed_bytes(self) -> bytes:
        return canonical_json(self.model_dump(exclude={"signature"}))


def parse_aliases(content: bytes) -> Aliases:
    """Reads a page; its signature is not checked here.

    Raises:
        DataLossError: too large, no JSON, an unknown or missing field, a value out of
            range, or not in canonical form.
    """
    if len(content) > _MAX_BYTES:
        raise DataLossError(f"{ALIASES_NAME} has more than {_MAX_BYTES} bytes")
    try:
        aliases = Aliases.model_validate_json(content)
    except ValidationError as error:
        raise DataLossError(f"{ALIASES_NAME}: {first_problem(error)}") from error
    # A second spelling of the same content would carry the same signature.
    if aliases.to_json() != content:
        raise DataLossError(f"{ALIASES_NAME} is not in canonical form")
    return aliases


class AliasFile:
    """The page of one registry, read by servers and replaced by who has the key.

    Args:
        registry: its folder.
        key: the only one whose pages are accepted.

    Concurrency: a reader in one thread; `update` under the registry's lock. A reader
    sees the old page or the new one, also after a power cut.
    """

    def __init__(self, registry: Path, key: VerifyingKey) -> None:
        self._path = registry / ALIASES_NAME
        self._key = key
        self._newest_revision = 0

    def read(self) -> Aliases | None:
        """Returns the page; None where the registry has none.

        Raises:
            DataLossError: damaged, of another key, or older than one read before: who
                puts an old page back must not bring an old release back.
        """
        try:
            with open_regular(self._path) as file:
                content = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        aliases = parse_aliases(content)
        aliases.verify(self._key)
        if aliases.revision < self._newest_revision:
            raise DataLossError(
                f"{self._path} has revision {aliases.revision}, it had "
                f"{self._newest_revision} before"
            )
        self._newest_revision = aliases.revision
        return aliases

    def update(
        self,
        change: Callable[[Aliases], Aliases],
        key: SigningKey,
        initial: Aliases | None = None,
    ) -> Aliases:
        """Replaces the page by what `change` makes of it; returns the new one.

        Args:
            change: its revision and signature are set here.
            initial: what to change where there is no page; see `first_page`.

        Raises:
            NotFoundError: there is no page and no `initial`.
            DataLossError: the page is damaged; it is left as it is.
        """
        current = self.read() or initial
        if current is None:
            raise NotFoundError(f"there is no {self._path}")
        fields = change(current).model_dump() | {
            "revision": current.revision + 1,
            "signature": _UNSIGNED,
        }
        # Made anew, for a model's copy checks no field.
        aliases = Aliases.model_validate(fields).signed(key)
        write_durably(self._path, aliases.to_json())
        return aliases


def first_page(live: int, clock: Clock | None = None) -> Aliases:
    """Returns what to change in a registry without a page; not signed.

    Its revision is the time: a page that is made again after the first was lost has a
    higher one than that ever had.
    """
    seconds = (clock or SystemClock()).wall_us() // 1_000_000
    return Aliases(revision=max(1, seconds), live=live)
