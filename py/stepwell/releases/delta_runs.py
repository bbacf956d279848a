"""What two files share: runs of bytes that the second has of the first.

Files of a release are tables, one after the other. A changed row changes bytes in
place; an added one moves all tables behind it. So runs are sought at one distance
between the files at a time, window by window, and where a window does not fit, the
distance is sought anew by looking for a few of its bytes in the base.
"""

import mmap

import numpy as np
import numpy.typing as npt

Runs = npt.NDArray[np.int64]
"""int64 [R, 2]: offset in the base, LITERAL for new bytes, and length."""
ByteArray = npt.NDArray[np.uint8]

LITERAL = -1
_WINDOW_BYTES = 4_096
_STRIDE_BYTES = 1 << 20
_SHORTEST_RUN = 32
"""A copy costs 32 bytes of runs, its own and that of the new bytes behind it."""
_FITTING_SHARE = 0.9
"""Small numbers have half of their bytes in common with any others."""
_PROBE_BYTES = 64
_PROBE_DISTINCT = 6
_PROBES = 4
_MAX_SHIFTS = 8
_SEARCHED_BASES = 24
"""So many times its size is searched of the base at most: what then is not found, is
taken as new. A file that shares nothing costs no more than this."""


def runs_between(base: mmap.mmap | bytes, result: ByteArray) -> Runs:
    """Returns runs that make `result` of `base`.

    Args:
        base: the older file.
        result: uint8 [B], the newer one.
    Cost: about 1 s a GB where little differs; see _SEARCHED_BASES for the worst.
    """
    finder = _Finder(base, result)
    at = 0
    while at < len(result):
        at += finder.take(at)
    return _joined(finder.runs)


class _Finder:
    """Goes over the result once, from its begin to its end."""

    def __init__(self, base: mmap.mmap | bytes, result: ByteArray) -> None:
        self._base = base
        self._old = np.frombuffer(base, np.uint8)
        self._new = result
        self._shifts = [0]
        self._search_budget = _SEARCHED_BASES * len(base)
        self.runs: list[tuple[int, int]] = []

    def take(self, at: int) -> int:
        """Adds the runs of some bytes from `at` on; returns how many bytes those are.

        Many at once where they are the base's.
        """
        shift = self._shifts[0]
        many = self._new[at : at + _STRIDE_BYTES]
        start = at + shift
        if start >= 0 and np.array_equal(self._old[start : start + len(many)], many):
            self.runs.append((start, len(many)))
            return len(many)
        window = self._new[at : at + _WINDOW_BYTES]
        same = self._same(at, len(window), shift)
        if same.mean() < _FITTING_SHARE:
            same = self._best_fit(at, len(window), same)
        self._add(at, same, self._shifts[0])
        return len(window)

    def _same(self, at: int, length: int, shift: int) -> npt.NDArray[np.bool_]:
        """Which of the bytes are those of the base at this distance."""
        same = np.zeros(length, np.bool_)
        start = min(max(-(at + shift), 0), length)
        stop = max(min(length, len(self._old) - at - shift), start)
        old = self._old[at + shift + start : at + shift + stop]
        same[start:stop] = old == self._new[at + start : at + stop]
        return same

    def _best_fit(
        self, at: int, length: int, same: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Tries the distances seen before, then new ones; the best becomes the first.

        Returns which bytes are the same there.
        """
        for shift in (*self._shifts[1:], *self._probed(at, length)):
            other = self._same(at, length, shift)
            if other.sum() > same.sum():
                same = other
                rest = [known for known in self._shifts if known != shift]
                self._shifts = [shift, *rest][:_MAX_SHIFTS]
            if same.mean() >= _FITTING_SHARE:
                break
        return same

    def _probed(self, at: int, length: int) -> list[int]:
        found = []
        for part in range(_PROBES):
            start = at + length * (_PROBES - 1 - part) // _PROBES
            probe = self._new[start : start + _PROBE_BYTES]
            # Zeros and such lie everywhere.
            if len(np.unique(probe)) < _PROBE_DISTINCT or self._search_budget <= 0:
                continue
            place = self._find(probe.tobytes(), max(start + self._shifts[0], 0))
            if place >= 0:
                found.append(place - start)
        return found

    def _find(self, probe: bytes, near: int) -> int:
        """Where the bytes lie: behind `near` if they do, as tables keep their order."""
        place = self._base.find(probe, near)
        if place < 0:
            place = self._base.find(probe, 0, near + len(probe))
        self._search_budget -= len(self._base) if place < 0 else abs(place - near)
        return place

    def _add(self, at: int, same: npt.NDArray[np.bool_], shift: int) -> None:
        edges = np.flatnonzero(np.diff(same, prepend=False, append=False))
        starts, stops = edges[::2], edges[1::2]
        # A run that reaches the window's edge may go on in the next one.
        long = (stops - starts >= _SHORTEST_RUN) | (stops == len(same)) | (starts == 0)
        done = 0
        for start, stop in zip(
            starts[long].tolist(), stops[long].tolist(), strict=True
        ):
            if start > done:
                self.runs.append((LITERAL, start - done))
            self.runs.append((at + start + shift, stop - start))
            done = stop
        if done < len(same):
            self.runs.append((LITERAL, len(same) - done))


def _joined(runs: list[tuple[int, int]]) -> Runs:
    """Runs that go on in the next become one; too short copies become new bytes."""
    merged = _merged(runs)
    short = [
        (LITERAL if length < _SHORTEST_RUN else offset, length)
        for offset, length in merged
    ]
    return np.array(_merged(short), np.int64).reshape(-1, 2)


def _merged(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for offset, length in runs:
        if merged:
            last_offset, last_length = merged[-1]
            both_new = offset == last_offset == LITERAL
            copied = offset != LITERAL and last_offset != LITERAL
            if both_new or (copied and offset == last_offset + last_length):
                merged[-1] = (last_offset, last_length + length)
                continue
        merged.append((offset, length))
    return merged
