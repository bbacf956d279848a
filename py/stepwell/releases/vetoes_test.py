import os
from pathlib import Path

import pytest

from stepwell.releases.vetoes import VETOES_FOLDER, Veto, Vetoes

SLOW = Veto(serial=3, reason="p99", evidence="21 ms, live 9 ms", time_seconds=5)


def test_a_veto_is_read_by_every_other_server(tmp_path: Path) -> None:
    assert Vetoes(tmp_path).read() == {}
    Vetoes(tmp_path).write(SLOW)
    assert Vetoes(tmp_path).read() == {3: SLOW}


def test_of_two_vetoes_the_first_one_stays(tmp_path: Path) -> None:
    Vetoes(tmp_path).write(SLOW)
    Vetoes(tmp_path).write(SLOW.model_copy(update={"reason": "psi"}))
    assert Vetoes(tmp_path).read()[3].reason == "p99"


def test_a_veto_can_be_taken_back(tmp_path: Path) -> None:
    vetoes = Vetoes(tmp_path)
    vetoes.write(SLOW)
    assert vetoes.remove(3)
    assert not vetoes.remove(3)
    assert vetoes.read() == {}


@pytest.mark.parametrize("content", [b"", b"{", b'{"serial":4}', b"x" * 9_000])
def test_a_veto_that_cannot_be_read_counts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / VETOES_FOLDER).mkdir()
    (tmp_path / VETOES_FOLDER / "v000003.json").write_bytes(content)
    assert list(Vetoes(tmp_path).read()) == [3]


def test_a_pipe_in_the_place_of_a_veto_counts_and_keeps_nobody(tmp_path: Path) -> None:
    (tmp_path / VETOES_FOLDER).mkdir()
    os.mkfifo(tmp_path / VETOES_FOLDER / "v000003.json")
    assert list(Vetoes(tmp_path).read()) == [3]


def test_what_is_no_veto_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / VETOES_FOLDER).mkdir()
    for name in ("v3.json", "v000003.json.tmp", "notes.txt", "vx.json"):
        (tmp_path / VETOES_FOLDER / name).write_bytes(b"{}")
    assert Vetoes(tmp_path).read() == {}


def test_a_registry_that_is_not_writable_says_so(tmp_path: Path) -> None:
    (tmp_path / VETOES_FOLDER).write_bytes(b"a file where the folder would be")
    with pytest.raises(OSError, match=VETOES_FOLDER):
        Vetoes(tmp_path).write(SLOW)
