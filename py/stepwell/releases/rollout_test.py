"""Parts given over a real registry, as two operators would."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from stepwell.base.clock import FakeClock
from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from stepwell.releases.aliases import ALIASES_NAME, Aliases, AliasFile
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.rollout import MAX_CANARY_PPM, Rollout
from stepwell.releases.signing import SigningKey
from stepwell.releases.vetoes import Veto, Vetoes

KEY = SigningKey.generate()
METADATA = ReleaseMetadata(
    data_watermark_seconds=0,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)
BAD = Veto(serial=3, reason="p99", evidence="21 ms, live 9 ms", time_seconds=5)


class World:
    """Releases 1 to 3: 2 is live, 1 is previous, 3 has no part."""

    def __init__(self, root: Path) -> None:
        self.registry, trained = root / "registry", root / "trained"
        trained.mkdir()
        (trained / "model").write_bytes(b"weights")
        publisher = Publisher(self.registry, KEY)
        for promote in (True, True, False):
            publisher.publish(trained, METADATA, promote=promote)
        self.clock = FakeClock(1_700_000_000)
        self.rollout = Rollout(self.registry, KEY, self.clock)

    def page(self) -> Aliases:
        page = AliasFile(self.registry, KEY.verifying_key()).read()
        assert page is not None
        return page

    def parts(self) -> tuple[int, int | None]:
        return self.page().live, self.page().previous


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_trial_is_written_with_a_salt_of_its_own(world: World) -> None:
    world.rollout.canary(3, 50_000)
    canary = world.page().canary
    assert canary is not None
    assert (canary.serial, canary.share_ppm, canary.is_shadow) == (3, 50_000, False)
    assert canary.salt == "v000003-1700000000"
    assert canary.started_seconds == 1_700_000_000
    assert world.parts() == (2, 1)


def test_a_trial_that_grows_keeps_its_users_and_one_of_another_kind_does_not(
    world: World,
) -> None:
    first = world.rollout.canary(3, 50_000).canary
    world.clock.advance_us(60_000_000)
    grown = world.rollout.canary(3, 200_000).canary
    shadow = world.rollout.canary(3, 200_000, is_shadow=True).canary
    assert first is not None
    assert grown == first.model_copy(update={"share_ppm": 200_000})
    assert shadow is not None
    assert shadow.salt != first.salt


def test_a_share_that_leaves_live_too_few_users_is_for_a_shadow_only(
    world: World,
) -> None:
    world.rollout.canary(3, MAX_CANARY_PPM)
    before = world.page()
    with pytest.raises(InvalidArgumentError, match="promote it instead"):
        world.rollout.canary(3, MAX_CANARY_PPM + 1)
    assert world.page() == before
    shadow = world.rollout.canary(3, 1_000_000, is_shadow=True).canary
    assert shadow is not None
    assert shadow.share_ppm == 1_000_000


def test_a_promoted_canary_is_live_and_no_canary(world: World) -> None:
    world.rollout.canary(3, 50_000)
    world.rollout.promote()
    assert world.parts() == (3, 2)
    assert world.page().canary is None


def test_a_canary_goes_on_when_another_release_is_promoted(world: World) -> None:
    world.rollout.canary(3, 50_000)
    world.rollout.promote(1)
    assert world.parts() == (1, 2)
    assert world.page().canary is not None


def test_a_rollback_brings_back_what_was_live_and_only_once(world: World) -> None:
    world.rollout.promote(3)
    world.rollout.rollback()
    assert world.parts() == (2, 3)
    with pytest.raises(FailedPreconditionError, match="rolled back to v000002 already"):
        world.rollout.rollback()
    world.rollout.rollback(to=1)
    assert world.parts() == (1, 2)


def test_a_pin_holds_until_it_is_let_go(world: World) -> None:
    world.rollout.pin(1)
    assert world.page().pinned == 1
    changes: tuple[Callable[[], object], ...] = (
        world.rollout.rollback,
        lambda: world.rollout.promote(3),
        lambda: world.rollout.canary(3, 1),
    )
    for change in changes:
        with pytest.raises(FailedPreconditionError, match="pin --none"):
            change()
    world.rollout.pin(None)
    assert world.page().pinned is None
    with pytest.raises(FailedPreconditionError, match="pinned to no release"):
        world.rollout.pin(None)


def test_a_vetoed_release_is_tried_again_only_when_that_is_said(world: World) -> None:
    world.rollout.canary(3, 50_000)
    Vetoes(world.registry).write(BAD)
    changes: tuple[Callable[[], object], ...] = (
        world.rollout.promote,
        lambda: world.rollout.canary(3, 90_000),
    )
    for change in changes:
        with pytest.raises(FailedPreconditionError, match=r"p99 \(21 ms.*--again"):
            change()
    world.clock.advance_us(60_000_000)
    canary = world.rollout.canary(3, 50_000, again=True).canary
    assert Vetoes(world.registry).read() == {}
    assert canary is not None
    assert canary.started_seconds == 1_700_000_060


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rollout: rollout.canary(2, 1), "v000002 is live"),
        (lambda rollout: rollout.promote(2), "v000002 is live already"),
        (lambda rollout: rollout.promote(), "no canary; name the release"),
        (lambda rollout: rollout.stop_canary(), "no canary to stop"),
    ],
)
def test_a_change_without_effect_is_refused(
    world: World, change: Callable[[Rollout], object], reason: str
) -> None:
    before = world.page()
    with pytest.raises(FailedPreconditionError, match=reason):
        change(world.rollout)
    assert world.page() == before


def test_a_release_that_is_not_there_is_named_with_those_that_are(
    world: World,
) -> None:
    for change in (world.rollout.promote, world.rollout.pin, world.rollout.rollback):
        with pytest.raises(NotFoundError, match=r"no v000009 .* v000001, v000002"):
            change(9)


def test_a_dry_run_says_what_would_be_and_writes_nothing(world: World) -> None:
    before = world.page()
    dry = Rollout(world.registry, KEY, world.clock, dry_run=True)
    assert dry.promote(3).live == 3
    Vetoes(world.registry).write(BAD)
    assert dry.canary(3, 1, again=True).canary is not None
    assert world.page() == before
    assert 3 in Vetoes(world.registry).read()


def test_changes_at_once_are_all_there(world: World) -> None:
    before = world.page().revision
    shares = range(1, 9)
    threads = [
        threading.Thread(
            target=Rollout(world.registry, KEY, world.clock).canary, args=(3, share)
        )
        for share in shares
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.page().revision == before + len(shares)


def test_a_registry_from_before_aliases_begins_with_its_newest(world: World) -> None:
    (world.registry / ALIASES_NAME).unlink()
    world.rollout.promote(1)
    assert world.parts() == (1, 3)


def test_a_damaged_page_is_not_written_over(world: World) -> None:
    (world.registry / ALIASES_NAME).write_bytes(b"{}")
    with pytest.raises(DataLossError, match=ALIASES_NAME):
        world.rollout.promote(3)
    assert (world.registry / ALIASES_NAME).read_bytes() == b"{}"


def test_a_registry_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no registry"):
        Rollout(tmp_path / "none", KEY).rollback()
    with pytest.raises(NotFoundError, match="no release"):
        Rollout(tmp_path, KEY).rollback()
