"""The peers of the benchmark `ops`: which are wanted, which are installed."""

import argparse
import importlib.util
import shutil
from collections.abc import Sequence
from difflib import get_close_matches

PEERS = {
    "torch": "torch's own eager calls",
    "fbgemm": "FBGEMM's batched embedding tables",
    "compile": "torch.compile with freezing",
}
# How to get what a peer needs and a machine may lack.
_INSTALL = {
    "fbgemm": "to install it: python3.11 tools/setup/bootstrap.py --group bench",
    "compile": "to install it: apt-get install g++",
}


def parsed_peers(text: str) -> list[str]:
    """Returns the peers named in "torch,fbgemm"; an argparse type.

    Raises:
        argparse.ArgumentTypeError: a name is none of PEERS; says which is meant.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PEERS:
            near = get_close_matches(name, PEERS, 1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise argparse.ArgumentTypeError(
                f"{name!r} is not one of {', '.join(PEERS)}{hint}"
            )
    return list(dict.fromkeys(names))


def installed(peer: str) -> bool:
    """Returns whether this machine has what a peer needs."""
    if peer == "fbgemm":
        return importlib.util.find_spec("fbgemm_gpu") is not None
    return peer != "compile" or shutil.which("g++") is not None


def present_peers(wanted: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Returns the peers to measure, and a line on each that is not measured."""
    asked = list(PEERS) if wanted is None else list(wanted)
    notes = []
    for peer in PEERS:
        if peer not in asked:
            notes.append(f"peer {peer} ({PEERS[peer]}): left out by --peer")
        elif not installed(peer):
            notes.append(
                f"peer {peer} ({PEERS[peer]}): not installed; {_INSTALL[peer]}"
            )
    return [peer for peer in asked if installed(peer)], notes
