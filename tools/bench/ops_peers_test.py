"""Peers are chosen by name, and one that is missing is said."""

import argparse

import pytest

from bench import ops_peers
from bench.ops_peers import parsed_peers, present_peers


def test_names_are_split_and_kept_in_order_once() -> None:
    assert parsed_peers("fbgemm, torch,fbgemm") == ["fbgemm", "torch"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tosch", "'tosch' is not one of torch, fbgemm, compile, did you mean torch?"),
        ("torch,", "'' is not one of torch, fbgemm, compile"),
    ],
)
def test_an_unknown_peer_is_an_error_that_names_the_nearest(
    text: str, message: str
) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as raised:
        parsed_peers(text)
    assert str(raised.value) == message


def test_a_peer_that_is_not_installed_is_left_out_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ops_peers, "installed", lambda peer: peer != "fbgemm")
    present, notes = present_peers(None)
    assert present == ["torch", "compile"]
    assert len(notes) == 1
    assert notes[0].startswith("peer fbgemm")
    assert "bootstrap.py --group bench" in notes[0]


def test_a_peer_that_was_not_asked_for_is_said_too() -> None:
    present, notes = present_peers(["torch"])
    assert present == ["torch"]
    assert [note.split()[1] for note in notes] == ["fbgemm", "compile"]
