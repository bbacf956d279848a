"""Dependencies killed at 0.7 of capacity: no request may fail. And O7's Redis."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.ladder_faults import KillableRedis
from bench.ladder_plan import TRIGGER_LOAD, Chaos, Lengths, trigger_run
from bench.ladder_runs import Played, Rig, keep, play, search_options, sought_anew
from bench.report import BenchRow
from bench.serving_processes import RankerUnderTest, ServedRelease
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
    """Returns the rows of a Redis that restarts, and one for each kill."""
    users = served.user_ids()
    played = Played()
    _play_restart(rig, served, lengths, scratch, played)
    with running(served, rig.config, scratch) as parts:
        own = _rig_of(rig, parts.ranker.address, users, lengths)
        _play_kills(own, parts, users, lengths, played)
    return played.rows


def _rig_of(rig: Rig, address: str, users: list[str], lengths: Lengths) -> Rig:
    """Returns the rig of another server, whose C0 is sought."""
    options = search_options(lengths, rig.tick)
    return sought_anew(replace(rig, address=address), users, [Tier.FULL], options)


def _play_restart(
    rig: Rig, served: ServedRelease, lengths: Lengths, scratch: Path, played: Played
) -> None:
    """O7's Redis: a ranker as under the other triggers, but for its store.

    With shards on the same cores FULL is late before anything is away.
    """
    users = served.user_ids()
    with ExitStack() as stack:
        store = KillableRedis(scratch / "restarted-redis")
        stack.callback(store.kill)
        folder, flags = scratch / "redis-ranker", ("--workers=2",)
        ranker = RankerUnderTest(served, folder, rig.config, flags, store.url)
        stack.enter_context(closing(ranker))
        own = _rig_of(rig, ranker.address, users, lengths)
        rate = TRIGGER_LOAD * own.capacity.full
        load = Setting(rate, 1.0, users, seed=_SEED - 10)
        away = trigger_run("Redis away", store.away(), lengths, load)
        play(own, [away], lengths, played)


def _play_kills(
    rig: Rig, parts: Dependencies, users: list[str], lengths: Lengths, played: Played
) -> None:
    """Each kill adds to those before it, Redis is the last."""
    first, second = parts.shards
    kills = (
        ("one of two shards of the index", first.kill),
        ("the other shard: no retrieval service", second.kill),
        ("Redis", parts.redis.kill),
    )
    rate = LOAD * rig.capacity.full
    for number, (what, kill) in enumerate(kills):
        setting = Setting(rate, lengths.turn, users, seed=_SEED + 10 * number)
        at_s = lengths.turn / 3
        name, faults = f"killed at {LOAD:g} x: {what}", ((at_s, "SIGKILL"),)
        _play(rig, Chaos(name, "", setting, faults=faults), At(at_s, kill), played)


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
