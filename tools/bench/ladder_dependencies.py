"""Dependencies killed at 0.7 of capacity: no request may fail. And O7's Redis."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.ladder_faults import KillableRedis
from bench.ladder_plan import TRIGGER_LOAD, Chaos, Lengths, trigger_run
from bench.ladder_runs import BUDGET_MS, Played, Rig, keep, play
from bench.report import BenchRow
from bench.serving_processes import RankerUnderTest, ServedRelease
from capacity import Capacity, CapacityOptions, capacity_of
from generator import At, generate
from scenarios import SCENARIOS, Setting
from server_process import ServerProcess, server_process
from slo import Finding
from stepwell.client.types import Tier
from stepwell.embeddings.label_shards import LabelShards
from stepwell.index.ann_index import HnswIndex
from stepwell.index.split import split_index
from stepwell.retrieval.artifacts import INDEX_FILE

if TYPE_CHECKING:
    # The build takes dependencies from imports: the child is started from its file.
    import retrieval_main  # noqa: F401

LOAD = 0.7
NUM_SHARDS = 2
_SEED = 5_000


@dataclass(frozen=True, slots=True)
class Dependencies:
    """A ranker whose state and index are in other processes."""

    ranker: RankerUnderTest
    redis: KillableRedis
    shards: tuple[ServerProcess, ...]


def dependency_rows(
    rig: Rig, served: ServedRelease, lengths: Lengths, scratch: Path
) -> list[BenchRow]:
    """Returns the rows of a Redis that restarts, and one for each kill.

    Each kill adds to those before it, Redis is the last.
    """
    users = served.user_ids()
    played = Played()
    with running(served, rig.config, scratch) as parts:
        step_s = lengths.capacity_step
        options = CapacityOptions(
            budget_ms=BUDGET_MS,
            seconds_a_step=step_s,
            progress=lambda _: rig.tick(step_s),
        )
        full = capacity_of(parts.ranker.address, users, Tier.FULL, options)
        capacity = Capacity(full, rig.capacity.reduced, rig.capacity.popular)
        own = replace(rig, address=parts.ranker.address, capacity=capacity)
        load = Setting(TRIGGER_LOAD * full, 1.0, users, seed=_SEED - 10)
        away = trigger_run("Redis away", parts.redis.away(), lengths, load)
        play(own, [away], lengths, played)
        first, second = parts.shards
        kills = (
            ("one of two shards of the index", first.kill),
            ("the other shard: no retrieval service", second.kill),
            ("Redis", parts.redis.kill),
        )
        for number, (what, kill) in enumerate(kills):
            setting = Setting(
                LOAD * full, lengths.turn, users, seed=_SEED + 10 * number
            )
            at_s = lengths.turn / 3
            chaos = Chaos(
                f"killed at {LOAD:g} x: {what}",
                "",
                setting,
                faults=((at_s, "SIGKILL"),),
            )
            _play(own, chaos, At(at_s, kill), played)
    return played.rows


def _play(rig: Rig, one: Chaos, kill: At, played: Played) -> None:
    """A kill is for good: the run is not repeated."""
    work = SCENARIOS[one.scenario].build(one.setting)
    run = generate(rig.address, work.schedule, work.lanes, events=[kill])
    failed = int((~run.ok()).sum())
    reasons = ", ".join(sorted(run.reason_counts())) or "no reason"
    rig.tick(one.setting.seconds)
    what = f"failed of {len(run):,} requests ({reasons}), requests"
    keep(rig, one, run, [Finding(what, failed, 0, at_most=True)], played)


@contextmanager
def running(
    served: ServedRelease, config: Mapping[str, Any], scratch: Path
) -> Iterator[Dependencies]:
    """A ranker of two processes, Redis, and two shards of the release's index."""
    paths = [scratch / f"shard-{number}" for number in range(NUM_SHARDS)]
    split_index(
        HnswIndex.open(served.release / INDEX_FILE),
        LabelShards(NUM_SHARDS).of_labels,
        paths,
    )
    with ExitStack() as stack:
        store = KillableRedis(scratch / "redis")
        stack.callback(store.kill)
        shards = tuple(
            stack.enter_context(
                server_process(
                    "retrieval_main",
                    [
                        f"--index={path}",
                        f"--shard={number}",
                        f"--num_shards={NUM_SHARDS}",
                        "--port=0",
                    ],
                )
            )
            for number, path in enumerate(paths)
        )
        addresses = ",".join(shard.address for shard in shards)
        flags = ("--workers=2", f"--retrieval_shards={addresses}")
        ranker = RankerUnderTest(served, scratch / "ranker", config, flags, store.url)
        stack.enter_context(closing(ranker))
        yield Dependencies(ranker, store, shards)
