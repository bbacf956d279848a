"""Giving releases their parts: canary, promote, rollback, pin; a page each time."""

from collections.abc import Callable
from pathlib import Path

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from stepwell.releases.aliases import Aliases, AliasFile, Canary, first_page
from stepwell.releases.manifest import release_id_of
from stepwell.releases.registry_lock import registry_lock
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import DirectorySource
from stepwell.releases.vetoes import Vetoes

Change = Callable[[Aliases], Aliases]
MAX_CANARY_PPM = 500_000
"""Above it the live release answers too few to tell whether the canary is worse."""


class Rollout:
    """Changes the parts of a registry's releases.

    Every change is checked against the releases there are, before anything is written.
    With `dry_run` it is not written, and what it would have been is returned.

    Args:
        registry: its folder.
        key: that the registry trusts.
        clock: wall time.

    Raises, from every method:
        NotFoundError: the registry has no release, or not the one that is named.
        FailedPreconditionError: the change would have no effect, or a server vetoed
            the release; says what to do.
        DataLossError: the page is damaged, or of another key.
    Concurrency: several processes may change one registry; one at a time does.
    """

    def __init__(
        self,
        registry: Path,
        key: SigningKey,
        clock: Clock | None = None,
        *,
        dry_run: bool = False,
    ) -> None:
        self._registry = registry
        self._key = key
        self._clock = clock or SystemClock()
        self._dry_run = dry_run
        self._vetoes = Vetoes(registry)

    def canary(
        self,
        serial: int,
        share_ppm: int,
        *,
        is_shadow: bool = False,
        again: bool = False,
    ) -> Aliases:
        """Puts a release on trial, or gives the running trial another share.

        Args:
            share_ppm: of the users, in parts per million, 1 to MAX_CANARY_PPM; a shadow
                may have all.
            again: takes the veto of an earlier trial back.

        Raises:
            InvalidArgumentError: the share is too large to be judged.
        """
        if share_ppm > MAX_CANARY_PPM and not is_shadow:
            raise InvalidArgumentError(
                f"a canary of {share_ppm / 1e4:g} % leaves too few users to live to be "
                f"compared with it, {MAX_CANARY_PPM / 1e4:g} % is the most: promote it "
                "instead, or try it as a shadow",
                "share_ppm",
            )

        def change(page: Aliases) -> Aliases:
            _check_not_pinned(page)
            if serial == page.live:
                name = release_id_of(serial)
                raise FailedPreconditionError(f"{name} is live; its trial is over")
            self._check(serial, again=again)
            trial = self._trial(serial, share_ppm, is_shadow=is_shadow)
            running = page.canary
            if running is not None and not again and trial.continues(running):
                trial = running.model_copy(update={"share_ppm": share_ppm})
            return _with(page, canary=trial)

        page = self._change(change)
        if again and not self._dry_run:
            # After the page: with the old one the trial would go on that was stopped.
            self._vetoes.remove(serial)
        return page

    def stop_canary(self) -> Aliases:
        """Ends the trial; its release stays in the registry."""

        def change(page: Aliases) -> Aliases:
            if page.canary is None:
                raise FailedPreconditionError("there is no canary to stop")
            return _with(page, canary=None)

        return self._change(change)

    def promote(self, serial: int | None = None, *, again: bool = False) -> Aliases:
        """Makes a release live, the canary by default; what was live is previous."""

        def change(page: Aliases) -> Aliases:
            _check_not_pinned(page)
            chosen = serial
            if chosen is None:
                if page.canary is None:
                    raise FailedPreconditionError(
                        "there is no canary; name the release to promote"
                    )
                chosen = page.canary.serial
            return self._made_live(page, chosen, again=again)

        return self._change(change)

    def rollback(self, to: int | None = None) -> Aliases:
        """Makes the previous release live again, or the one that is named.

        What was live becomes previous: a second rollback that names nothing would bring
        it back, and is refused.
        """

        def change(page: Aliases) -> Aliases:
            _check_not_pinned(page)
            chosen = page.previous if to is None else to
            if chosen is None:
                raise FailedPreconditionError(
                    f"nothing was live before {release_id_of(page.live)}"
                )
            if to is None and chosen > page.live:
                raise FailedPreconditionError(
                    f"{release_id_of(chosen)} was rolled back to "
                    f"{release_id_of(page.live)} already; promote it to bring it back, "
                    "or name an older release"
                )
            return self._made_live(page, chosen, again=True)

        return self._change(change)

    def pin(self, serial: int | None) -> Aliases:
        """Serves this release whatever is published or promoted; None ends that."""

        def change(page: Aliases) -> Aliases:
            if serial is not None:
                self._check(serial, again=True)
            elif page.pinned is None:
                raise FailedPreconditionError("servers are pinned to no release")
            return _with(page, pinned=serial)

        return self._change(change)

    def _change(self, change: Change) -> Aliases:
        if not self._registry.is_dir():
            raise NotFoundError(f"there is no registry {self._registry}")
        with registry_lock(self._registry):
            versions = DirectorySource(self._registry).versions()
            if not versions:
                raise NotFoundError(f"there is no release in {self._registry}")
            file = AliasFile(self._registry, self._key.verifying_key())
            initial = first_page(versions[-1].serial, self._clock)
            if self._dry_run:
                return change(file.read() or initial)
            return file.update(change, self._key, initial)

    def _trial(self, serial: int, share_ppm: int, *, is_shadow: bool) -> Canary:
        now_seconds = self._clock.wall_us() // 1_000_000
        return Canary(
            serial=serial,
            share_ppm=share_ppm,
            salt=f"{release_id_of(serial)}-{now_seconds}",
            started_seconds=now_seconds,
            is_shadow=is_shadow,
        )

    def _made_live(self, page: Aliases, serial: int, *, again: bool) -> Aliases:
        if serial == page.live:
            raise FailedPreconditionError(f"{release_id_of(serial)} is live already")
        self._check(serial, again=again)
        is_canary = page.canary is not None and page.canary.serial == serial
        canary = None if is_canary else page.canary
        return _with(page, live=serial, previous=page.live, canary=canary)

    def _check(self, serial: int, *, again: bool) -> None:
        """Raises when a release is not there, or was vetoed and not `again`."""
        name = release_id_of(serial)
        found = {v.serial for v in DirectorySource(self._registry).versions()}
        if serial not in found:
            names = ", ".join(release_id_of(known) for known in sorted(found))
            raise NotFoundError(f"there is no {name} in {self._registry}, only {names}")
        veto = self._vetoes.read().get(serial)
        if veto is not None and not again:
            raise FailedPreconditionError(
                f"a server took {name} down: {veto.reason} ({veto.evidence}); "
                "to try it all the same: --again"
            )


def _with(page: Aliases, **fields: object) -> Aliases:
    return page.model_copy(update=fields)


def _check_not_pinned(page: Aliases) -> None:
    if page.pinned is not None:
        raise FailedPreconditionError(
            f"servers are pinned to {release_id_of(page.pinned)}; "
            "to let them go: ./stepwell pin --none"
        )
