import threading
from pathlib import Path

import pytest

from stepwell.base.errors import FailedPreconditionError
from stepwell.releases.handle import Release, ReleaseHolder
from stepwell.releases.manifest import Manifest, ReleaseFile, ReleaseMetadata


def release_of(content: str, serial: int = 1) -> Release[str]:
    manifest = Manifest(
        format_version=1,
        serial=serial,
        release_id=f"v{serial:06d}",
        created_time_seconds=0,
        metadata=ReleaseMetadata(
            data_watermark_seconds=0,
            embedding_space_hash="a" * 64,
            feature_schema_hash="b" * 64,
        ),
        files=(ReleaseFile(path="a", size_bytes=1, sha256="c" * 64),),
        signature="0" * 128,
    )
    return Release(manifest, Path("nowhere"), content)


def test_drains_once_when_the_last_borrow_of_a_retired_release_comes_back() -> None:
    drained: list[str] = []
    holder = ReleaseHolder(release_of("x"), lambda: drained.append("x"))
    first, second = holder.try_borrow(), holder.try_borrow()
    assert first is not None and second is not None
    holder.retire()
    holder.retire()
    first.close()
    first.close()  # a second close does not give back what the other one holds
    assert drained == [] and holder.num_borrowed == 1
    second.close()
    assert drained == ["x"]


def test_drains_at_once_when_nobody_holds_it() -> None:
    drained: list[str] = []
    holder = ReleaseHolder(release_of("x"), lambda: drained.append("x"))
    holder.retire()
    assert drained == ["x"]
    assert holder.try_borrow() is None


def test_a_live_release_does_not_drain_between_requests() -> None:
    holder = ReleaseHolder(release_of("x"), lambda: pytest.fail("drained"))
    for _ in range(3):
        handle = holder.try_borrow()
        assert handle is not None
        with handle as release:
            assert release.content == "x"
    assert holder.num_borrowed == 0


def test_a_handle_that_was_given_back_lends_nothing() -> None:
    holder = ReleaseHolder(release_of("x"), lambda: None)
    handle = holder.try_borrow()
    assert handle is not None
    handle.close()
    with pytest.raises(FailedPreconditionError, match="given back"):
        _ = handle.release


def test_an_error_in_a_request_still_gives_the_release_back() -> None:
    holder = ReleaseHolder(release_of("x"), lambda: None)
    handle = holder.try_borrow()
    assert handle is not None
    with pytest.raises(ZeroDivisionError), handle:
        _ = 1 / 0
    assert holder.num_borrowed == 0


def test_many_threads_borrow_and_one_drain_follows() -> None:
    drained: list[str] = []
    holder = ReleaseHolder(release_of("x"), lambda: drained.append("x"))

    def borrow_until_retired() -> None:
        while (handle := holder.try_borrow()) is not None:
            handle.close()

    threads = [threading.Thread(target=borrow_until_retired) for _ in range(4)]
    for thread in threads:
        thread.start()
    holder.retire()
    for thread in threads:
        thread.join(timeout=10)
    assert drained == ["x"]
