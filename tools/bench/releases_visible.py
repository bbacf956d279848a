"""New items, from a table to an answer that knows them; of benchmark `releases`."""

import time
from pathlib import Path
from threading import Event

from bench.releases_world import ReleaseWorld, release_world
from bench.report import BenchRow, at_most
from bench.serving_processes import ServedRelease
from commands.update import UpdatePlan, update
from stepwell.client.attempts import ClientOptions
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.releases.manifest import (
    MANIFEST_NAME,
    ReleaseMetadata,
    parse_manifest,
    serial_of,
)
from stepwell.releases.publisher import Publisher
from stepwell.training.import_events_report import ImportReport

MAX_VISIBLE_S = 60.0
NUM_NEW = 100
_LOOK_AGAIN_S = 0.02
_PATIENT = ClientOptions(deadline_ms=5_000, retries=RetryOptions(max_attempts=1))


def visible_rows(
    served: ServedRelease, scratch: Path, num_times: int
) -> list[BenchRow]:
    """Returns the rows: deltas with new items, one on the other, nobody polled.

    Args:
        served: whose release is updated, in a registry of its own.
        scratch: for everything that is made.
        num_times: deltas, at most as many as a chain may be long.
    """
    made_s, seen_s, shares = [], [], []
    flags = (f"--delta_cache={scratch / 'deltas'}",)
    with (
        release_world(served, scratch, flags=flags) as world,
        RecommendClient(world.ranker.address, _PATIENT) as client,
    ):
        user_id = served.user_ids()[0]
        for number in range(1, num_times + 1):
            new = tuple(f"new-{number}-{place}" for place in range(NUM_NEW))
            began = time.monotonic()
            folder = _updated(world, scratch, new)
            made = time.monotonic()
            shares.append(_published(world, folder))
            while client.rank(user_id, new).unknown_item_ids:
                if time.monotonic() - made > 2 * MAX_VISIBLE_S:
                    raise RuntimeError(f"{new[0]} is still unknown")
                Event().wait(_LOOK_AGAIN_S)
            made_s.append(made - began)
            seen_s.append(time.monotonic() - made)
    about = f"{NUM_NEW} new items, {num_times} deltas one on the other"
    return [
        at_most(
            f"{about}: from publish to an answer that knows them, the longest, servers "
            "look every 5 s",
            max(seen_s),
            "s",
            MAX_VISIBLE_S,
        ),
        BenchRow(f"{about}: update before it, the longest", max(made_s), "s"),
        BenchRow(
            f"{about}: stored bytes of a delta, of the complete release's",
            max(shares),
            "share",
        ),
    ]


def _updated(world: ReleaseWorld, scratch: Path, new: tuple[str, ...]) -> Path:
    items = scratch / "items.csv"
    items.write_text("item_id,name\n" + "".join(f"{name},Brand new\n" for name in new))
    plan = UpdatePlan(
        items=items,
        registry=world.registry,
        cache=scratch / "own-deltas",
        out=scratch / "updated",
    )
    return update(plan, ImportReport()).folder


def _published(world: ReleaseWorld, folder: Path) -> float:
    """Publishes a delta on the newest release; returns its share of the bytes."""
    newest = max(path.name for path in world.registry.glob("v*"))
    directory = Publisher(world.registry, world.key).publish(
        folder, ReleaseMetadata.load(folder), base=serial_of(newest)
    )
    manifest = parse_manifest((directory / MANIFEST_NAME).read_bytes())
    return manifest.stored_bytes / manifest.total_bytes
