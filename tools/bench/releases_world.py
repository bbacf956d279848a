"""A server over a registry of its own, and releases to give it, one after the other.

Every release is published anew from the same artifacts, so that none was verified or
loaded before. That happens while nobody asks: a publisher is another machine. What is
measured begins when the registry's page names the next one.
"""

import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import grpc
import numpy as np
import psutil
from safetensors.numpy import load_file, save_file

from bench.ladder import CONFIG
from bench.serving_processes import RankerUnderTest, ServedRelease
from stepwell.features.item_columns import ITEM_COLUMNS_NAME
from stepwell.releases.aliases import AliasFile
from stepwell.releases.manifest import MANIFEST_NAME, parse_manifest, release_id_of
from stepwell.releases.publisher import Publisher
from stepwell.releases.rollout import Rollout
from stepwell.releases.signing import SigningKey
from stepwell_pb.v1 import admin_pb2, admin_pb2_grpc

WORKERS = 2
CHANGED_SHARE = 0.01
"""Of the items: rows that differ between two releases."""

_KEPT = 16
_WHY = "bench releases"
_POLL_SECONDS = 300.0
_PATIENCE_S, _LOOK_AGAIN_S = 60.0, 0.2


COMPLETE_DELTAS = "deltas"
"""Folder beside the registry: the complete files of deltas."""


@dataclass(slots=True)
class ReleaseWorld:
    """A registry with its key, and the server that follows it.

    Attributes:
        registry: of releases.
        trained: artifacts that every release is published from.
        ranker: serves them.
        admin: of the ranker.
        is_delta: releases after the first one are stored as what differs from it.
        ready: serials that were published and never live.
    """

    registry: Path
    key: SigningKey
    trained: Path
    ranker: RankerUnderTest
    admin: admin_pb2_grpc.AdminServiceStub
    is_delta: bool = False
    ready: deque[int] = field(default_factory=deque)
    num_published: int = 1

    def publish(self, number: int) -> None:
        """Publishes until so many releases wait to go live."""
        while len(self.ready) < number:
            self.num_published += 1
            serial = publish_changed(
                self.registry,
                self.key,
                self.trained,
                seed=self.num_published,
                base=1 if self.is_delta else None,
            )
            self.ready.append(serial)

    def go_live(self) -> None:
        """Names the next release; returns when every process serves it.

        Raises:
            RuntimeError: one of them does not.
        """
        serial = self.ready.popleft()
        Rollout(self.registry, self.key).promote(serial)
        self.poll(serial)

    def go_back_or_forth(self) -> None:
        """Names the release that was live before; returns when all serve it.

        Every second time that is the newer one of the two: what was rolled back once is
        brought back by its name.
        """
        rollout = Rollout(self.registry, self.key)
        page = self._page.read()
        assert page is not None
        assert page.previous is not None
        if page.previous < page.live:
            self.poll(rollout.rollback().live)
        else:
            self.poll(rollout.promote(page.previous).live)

    def poll(self, serial: int) -> None:
        """Has the server look now; returns when every process serves a release."""
        began = time.monotonic()
        while True:
            view = self.look()
            live = {one.view.live_serial for one in view.workers} or {view.live_serial}
            if live == {serial}:
                return
            # A load that could not be is tried again by the server.
            if time.monotonic() - began > _PATIENCE_S:
                raise RuntimeError(f"{release_id_of(serial)} is not live: {view}")
            Event().wait(_LOOK_AGAIN_S)

    def look(self) -> admin_pb2.ReleasesView:
        """Has the server look at the registry; returns what it then holds."""
        request = admin_pb2.PollReleasesRequest(reason=_WHY)
        view: admin_pb2.ReleasesView = self.admin.PollReleases(
            request, timeout=_POLL_SECONDS
        )
        return view

    @property
    def _page(self) -> AliasFile:
        return AliasFile(self.registry, self.key.verifying_key())

    def anonymous_mib(self) -> float:
        """Returns the memory that is the server's own, not a file's, MiB."""
        return memory_mib(self.ranker.pid, "Anonymous:")

    def mapped_mib(self) -> float:
        """Returns what the server has mapped and touched of releases' files, MiB."""
        folders = (self.registry, self.registry.with_name(COMPLETE_DELTAS))
        return memory_mib(self.ranker.pid, "Pss:", folders)


@contextmanager
def release_world(
    served: ServedRelease,
    scratch: Path,
    *,
    is_delta: bool = False,
    flags: Sequence[str] = (),
    ranker_type: type[RankerUnderTest] = RankerUnderTest,
) -> Iterator[ReleaseWorld]:
    """Runs a server over a registry with one release.

    Args:
        served: whose artifacts and users; nothing of it is changed.
        scratch: for the registry, the store and the log.
        is_delta: as in ReleaseWorld.
        flags: more flags of ranker_main.
        ranker_type: what serves.
    """
    trained, registry = scratch / "trained", scratch / "registry"
    key = SigningKey.generate()
    shutil.copytree(served.release, trained)
    serial = publish_changed(registry, key, trained, seed=1, promote=True)
    own = ServedRelease(
        served.data, registry, registry / release_id_of(serial), served.user_state
    )
    # Of its own: what an earlier run packed would be found in the user's.
    compiled = f"--compiled_cache={scratch / 'compiled'}"
    flags = (f"--workers={WORKERS}", compiled, *flags)
    ranker = ranker_type(own, scratch / "ranker", CONFIG, flags)
    with closing(ranker), grpc.insecure_channel(ranker.admin_address) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        yield ReleaseWorld(registry, key, trained, ranker, stub, is_delta)


def publish_changed(
    registry: Path,
    key: SigningKey,
    trained: Path,
    *,
    seed: int,
    base: int | None = None,
    promote: bool = False,
) -> int:
    """Publishes with other prices at a share of the items; returns the serial."""
    path = trained / ITEM_COLUMNS_NAME
    columns = {name: np.array(column) for name, column in load_file(path).items()}
    prices = columns["number/price"]
    random = np.random.default_rng(seed)
    rows = random.choice(len(prices), max(int(CHANGED_SHARE * len(prices)), 1), False)
    prices[rows] *= random.uniform(0.9, 1.1, len(rows)).astype(prices.dtype)
    save_file(columns, path)
    metadata = parse_manifest((trained / MANIFEST_NAME).read_bytes()).metadata
    publisher = Publisher(registry, key, kept=_KEPT)
    directory = publisher.publish(trained, metadata, promote=promote, base=base)
    return int(directory.name[1:])


def memory_mib(pid: int, counter: str, below: Sequence[Path] = ()) -> float:
    """Returns a counter of smaps, of a process and its children, MiB.

    Args:
        pid: of the process.
        counter: such as "Pss:".
        below: counts only mappings of files below these folders; all when empty.
    """
    server = psutil.Process(pid)
    pids = [pid, *(child.pid for child in server.children(recursive=True))]
    return sum(_memory_kib(one, counter, below) for one in pids) / 1024


def _memory_kib(pid: int, counter: str, below: Sequence[Path]) -> int:
    total_kib, counts = 0, not below
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        # "Rss:  4 kB", or a mapping's "7f..-7f.. r--s 0 08:01 12  /its/file".
        name, *values = line.split()
        if not name.endswith(":"):
            counts = not below or any(f" {folder}/" in line for folder in below)
        elif counts and name == counter:
            total_kib += int(values[0])
    return total_kib
