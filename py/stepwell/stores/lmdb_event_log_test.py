"""What only the embedded event log can do wrong; the suite is in event_log_test."""

import zlib
from pathlib import Path

import lmdb
import pytest

from stepwell.base.errors import (
    DataLossError,
    FailedPreconditionError,
    ResourceExhaustedError,
)
from stepwell.stores.event_log import EventRecord
from stepwell.stores.lmdb_event_log import LmdbEventLog


def records(*names: str) -> list[EventRecord]:
    return [EventRecord(name, b"payload") for name in names]


def test_a_log_that_is_full_acknowledges_nothing_and_recovers(tmp_path: Path) -> None:
    log = LmdbEventLog(tmp_path / "e", map_size_bytes=512 << 10)
    stored = log.append(records("a")).num_stored
    large = [EventRecord(f"large{n}", bytes(60_000)) for n in range(20)]
    with pytest.raises(ResourceExhaustedError, match="full") as caught:
        log.append(large)
    assert caught.value.retry_after_ms > 0
    assert log.append(records("b")).offsets == (stored,)
    assert [event.event_id for event in log.read(0, 10)] == ["a", "b"]
    log.close()


def test_a_log_that_is_full_counts_what_was_posted_as_lost(tmp_path: Path) -> None:
    log = LmdbEventLog(tmp_path / "e", map_size_bytes=512 << 10)
    for number in range(20):
        assert log.post(EventRecord(f"large{number}", bytes(60_000)))
    log.close()
    posted = log.posted()
    assert posted.num_lost + posted.num_stored == 20
    assert posted.num_lost > 0
    assert "full" in posted.last_loss


def test_two_logs_in_two_folders_are_two_logs(tmp_path: Path) -> None:
    one, other = LmdbEventLog(tmp_path / "1"), LmdbEventLog(tmp_path / "2")
    one.append(records("a"))
    assert other.append(records("a")).num_stored == 1
    one.close()
    other.close()


def test_names_the_folder_that_is_open_twice(tmp_path: Path) -> None:
    log = LmdbEventLog(tmp_path / "e")
    with pytest.raises(FailedPreconditionError, match="e is open in this process"):
        LmdbEventLog(tmp_path / "e")
    log.close()
    LmdbEventLog(tmp_path / "e").close()


def test_a_log_that_is_closed_refuses_reads(tmp_path: Path) -> None:
    log = LmdbEventLog(tmp_path / "e")
    log.close()
    log.close()
    for call in (
        lambda: log.read(0, 1),
        lambda: log.read_except("a", 0, 1),
        log.first_offset,
        log.end_offset,
        log.size_bytes,
        lambda: log.trim(1),
        lambda: log.append(records("a")),
    ):
        with pytest.raises(FailedPreconditionError, match="closed"):
            call()


def test_reads_the_file_that_the_format_describes(tmp_path: Path) -> None:
    written = [(3, "a", b"first"), (4, "é", b""), (7, "impression:r", b"shown")]
    with lmdb.open(str(tmp_path / "e"), max_dbs=8) as environment:
        tables = {
            name: environment.open_db(name) for name in (b"events", b"ids", b"meta")
        }
        with environment.begin(write=True) as transaction:
            for offset, name, payload in written:
                key = offset.to_bytes(8, "big")
                transaction.put(key, _frame(key, name, payload), db=tables[b"events"])
                transaction.put(name.encode(), key, db=tables[b"ids"])
            numbers = {b"next_offset": 8, b"consumer:updater": 4}
            for text, number in numbers.items():
                transaction.put(text, number.to_bytes(8, "big"), db=tables[b"meta"])
    log = LmdbEventLog(tmp_path / "e")
    stored = [(event.offset, event.event_id, event.payload) for event in log.read(0, 9)]
    assert stored == written
    assert (log.end_offset(), log.committed_offset("updater")) == (8, 4)
    assert log.append(records("é", "new")).offsets == (4, 8)
    log.close()


def test_writes_the_file_that_the_format_describes(tmp_path: Path) -> None:
    log = LmdbEventLog(tmp_path / "e")
    log.append([EventRecord("é", b"payload")])
    log.commit_offset("updater", 1)
    log.close()
    key, one = bytes(8), (1).to_bytes(8, "big")
    assert _table(tmp_path / "e", b"events") == {key: _frame(key, "é", b"payload")}
    assert _table(tmp_path / "e", b"ids") == {"é".encode(): key}
    assert _table(tmp_path / "e", b"meta") == {
        b"next_offset": one,
        b"consumer:updater": one,
    }


def _frame(key: bytes, name: str, payload: bytes) -> bytes:
    """A stored event: checksum of its offset and of what follows, id size, id, rest."""
    body = len(name.encode()).to_bytes(2, "little") + name.encode() + payload
    return zlib.crc32(key + body).to_bytes(4, "little") + body


def _table(path: Path, name: bytes) -> dict[bytes, bytes]:
    with lmdb.open(str(path), max_dbs=8) as environment:
        table = environment.open_db(name)
        with environment.begin(table) as transaction:
            return {bytes(key): bytes(value) for key, value in transaction.cursor()}


def test_finds_every_flipped_byte_of_a_stored_event(tmp_path: Path) -> None:
    log = LmdbEventLog(tmp_path / "e")
    log.append(records("a"))
    log.close()
    frame = _table(tmp_path / "e", b"events")[bytes(8)]
    for position in range(len(frame)):
        flipped = bytearray(frame)
        flipped[position] ^= 0x10
        _put_frame(tmp_path / "e", bytes(flipped))
        log = LmdbEventLog(tmp_path / "e")
        with pytest.raises(DataLossError, match="event 0"):
            log.read(0, 1)
        log.close()


def test_a_damaged_event_is_forgotten_like_the_others(tmp_path: Path) -> None:
    log = LmdbEventLog(tmp_path / "e")
    log.append(records("a", "c"))
    log.close()
    frame = _table(tmp_path / "e", b"events")[bytes(8)]
    cut = (b"", frame[:5])
    # "a" with this bit flipped is "c", which another event has.
    flipped = [
        frame[:at] + bytes([b ^ 2]) + frame[at + 1 :] for at, b in enumerate(frame)
    ]
    for damaged in (*cut, *flipped):
        _put_frame(tmp_path / "e", damaged)
        log = LmdbEventLog(tmp_path / "e")
        assert log.first_offset() == 0
        assert log.trim(1) == 1
        assert log.first_offset() == 1
        assert log.append(records("c")).offsets == (1,)
        log.close()


def _put_frame(path: Path, frame: bytes) -> None:
    with lmdb.open(str(path), max_dbs=8, sync=False) as environment:
        events = environment.open_db(b"events")
        with environment.begin(events, write=True) as transaction:
            transaction.put(bytes(8), frame)
