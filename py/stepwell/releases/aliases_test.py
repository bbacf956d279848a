import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from stepwell.base.clock import FakeClock
from stepwell.base.errors import DataLossError, NotFoundError
from stepwell.releases.aliases import (
    ALIASES_NAME,
    Aliases,
    AliasFile,
    Canary,
    first_page,
    parse_aliases,
)
from stepwell.releases.signing import SigningKey

KEY = SigningKey.generate()
CANARY = Canary(serial=3, share_ppm=50_000, salt="s", started_seconds=9)
PAGE = Aliases(revision=5, live=2, previous=1, pinned=4, canary=CANARY)


def alias_file(registry: Path) -> AliasFile:
    return AliasFile(registry, KEY.verifying_key())


def put(registry: Path, page: Aliases) -> None:
    (registry / ALIASES_NAME).write_bytes(page.to_json())


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = alias_file(tmp_path)
    assert file.read() is None
    file.update(lambda page: page, KEY, PAGE)
    read = alias_file(tmp_path).read()
    assert read is not None
    assert read.revision == 6
    assert read.model_copy(update={"revision": 5}).signed(KEY) == PAGE.signed(KEY)
    assert read.named() == {1, 2, 3, 4}


def test_a_change_counts_the_revision_up(tmp_path: Path) -> None:
    file = alias_file(tmp_path)
    file.update(lambda page: page, KEY, PAGE)
    changed = file.update(lambda page: page.model_copy(update={"live": 7}), KEY)
    assert (changed.live, changed.revision) == (7, 7)
    assert file.read() == changed


def test_a_change_needs_a_page(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=ALIASES_NAME):
        alias_file(tmp_path).update(lambda page: page, KEY)


def test_a_change_out_of_range_is_not_written(tmp_path: Path) -> None:
    file = alias_file(tmp_path)
    with pytest.raises(ValidationError):
        file.update(lambda page: page.model_copy(update={"live": 0}), KEY, PAGE)
    assert file.read() is None


def test_a_page_of_another_key_is_refused(tmp_path: Path) -> None:
    put(tmp_path, PAGE.signed(SigningKey.generate()))
    with pytest.raises(DataLossError, match="signature"):
        alias_file(tmp_path).read()


@pytest.mark.parametrize("field", ["live", "revision", "previous", "pinned"])
def test_a_changed_field_breaks_the_signature(tmp_path: Path, field: str) -> None:
    put(tmp_path, PAGE.signed(KEY).model_copy(update={field: 9}))
    with pytest.raises(DataLossError, match="signature"):
        alias_file(tmp_path).read()


def test_a_flipped_bit_in_any_byte_is_found(tmp_path: Path) -> None:
    page = PAGE.signed(KEY).to_json()
    path = tmp_path / ALIASES_NAME
    for place in range(len(page)):
        damaged = bytearray(page)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(DataLossError):
            alias_file(tmp_path).read()


def test_an_older_page_that_is_put_back_is_refused(tmp_path: Path) -> None:
    file = alias_file(tmp_path)
    put(tmp_path, PAGE.signed(KEY))
    assert file.read() is not None
    put(tmp_path, PAGE.model_copy(update={"revision": 4}).signed(KEY))
    with pytest.raises(DataLossError, match="revision 4, it had 5 before"):
        file.read()


def test_a_page_made_anew_has_a_higher_revision_than_the_lost_one() -> None:
    early, late = FakeClock(1_600_000_000), FakeClock(1_700_000_000)
    assert first_page(1, late).revision > first_page(1, early).revision + 1_000_000


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b" " * 20_000,
        PAGE.to_json() + b"\n",
        json.dumps(json.loads(PAGE.to_json()), indent=1).encode(),
        json.dumps({**json.loads(PAGE.to_json()), "extra": 1}).encode(),
        PAGE.to_json().replace(b'"live":2', b'"live":"2"'),
        PAGE.to_json().replace(b'"live":2', b'"live":null'),
        PAGE.to_json().replace(b"50000", b"1000001"),
    ],
)
def test_what_is_no_page_is_refused(content: bytes) -> None:
    with pytest.raises(DataLossError, match=ALIASES_NAME):
        parse_aliases(content)


def test_a_pipe_in_the_place_of_the_page_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ALIASES_NAME)
    with pytest.raises(DataLossError, match="not a regular file"):
        alias_file(tmp_path).read()
