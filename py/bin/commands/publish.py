"""`./stepwell publish`: signs what was trained and hands it to the servers."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from project_state import DATA_SETS, DEFAULT_DATA_SET, ProjectState, project_root
from registry_command import admin_address, print_heard, release_serial, told
from stepwell.base.errors import NotFoundError, StepwellError
from stepwell.feedback.user_history_updater import CONSUMER, OFFSETS_VIEW
from stepwell.feedback.user_state_file import USER_STATE_NAME, UserStateFile
from stepwell.feedback.user_state_import import import_user_state
from stepwell.releases.archive import read_archive
from stepwell.releases.delta_publishing import default_base
from stepwell.releases.loader import trusted_key
from stepwell.releases.manifest import (
    METADATA_NAME,
    Manifest,
    ReleaseMetadata,
    parse_manifest,
    release_id_of,
)
from stepwell.releases.publisher import DEFAULT_KEPT, Publisher
from stepwell.releases.reduced_check import (
    ReducedFigures,
    ReducedLimits,
    check_reduced,
)
from stepwell.releases.signing import SigningKey
from stepwell.releases.verification import read_manifest
from stepwell.stores.key_value_store import KeyValueStore
from stepwell.stores.locations import open_key_value_store
from stepwell.stores.redaction import without_secrets

_STORE_TIMEOUT_MS = 10_000

_EXPLAINED = """\
Signs a trained release and hands it to the servers.

Two things happen, in this order:
  1. The folder is copied into the registry, hashed, signed and renamed into place:
     a server that watches the registry sees the release whole or not at all. It goes
     live, unless --no-promote has it wait for ./stepwell canary or promote.
  2. The users' state as of the end of training goes into the online store. Events
     logged since are folded in again by the server, each exactly once.

The signing key is made by the first publish, readable by you only. Keep it: a
registry accepts releases of its first key only."""


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """What to publish and where to.

    Attributes:
        trained: folder of artifacts with release_metadata.json.
        registry: where releases lie.
        signing_key: private key, made when missing.
        store: online store, a folder or a Redis URL.
        user_state: file of user histories; None publishes none.
        kept: releases that stay in the registry.
        reduced: what the reduced model must keep and may cost.
        base: serial of the release to store a delta on; None stores all.
        promote: make it live.
    """

    trained: Path
    registry: Path
    signing_key: Path
    store: str
    user_state: Path | None
    kept: int = DEFAULT_KEPT
    reduced: ReducedLimits = field(default_factory=ReducedLimits)
    base: int | None = None
    promote: bool = True


@dataclass(frozen=True, slots=True)
class Published:
    """What a publish did, or would do in a dry run.

    Attributes:
        total_bytes: of the whole release. stored_bytes: of what the registry holds;
            for a delta not known before it is made.
        base: of a delta, else None.
        reduced_ndcg_kept, reduced_cost: as ReducedFigures.
        is_live: it is what servers should serve.
        user_state_problem: why the release is there and its users' state is not.
    """

    release: str
    serial: int
    num_files: int
    total_bytes: int
    num_users: int
    store: str
    stored_bytes: int | None = None
    base: int | None = None
    reduced_ndcg_kept: float | None = None
    reduced_cost: float | None = None
    is_live: bool = True
    user_state_problem: str = ""
    dry_run: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `publish`."""
    parser.description = _EXPLAINED
    parser.add_argument(
        "release",
        nargs="?",
        type=Path,
        metavar="RELEASE",
        help="trained folder; default: the newest one of --data",
    )
    parser.add_argument(
        "--data",
        choices=DATA_SETS,
        default=DEFAULT_DATA_SET,
        help="data set whose folders are the defaults below (default: %(default)s)",
    )
    parser.add_argument("--registry", type=Path, metavar="DIR", help="the registry")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the signing key")
    parser.add_argument(
        "--store", metavar="WHERE", help="online store: a folder or redis://host:port/0"
    )
    parser.add_argument(
        "--user-state",
        type=Path,
        metavar="FILE",
        help=f"default: {USER_STATE_NAME} beside the release, where there is one",
    )
    parser.add_argument(
        "--keep",
        type=int,
        default=DEFAULT_KEPT,
        metavar="N",
        help="releases that stay in the registry (default: %(default)s)",
    )
    parser.add_argument(
        "--no-promote",
        action="store_true",
        help="publish it and leave what is live as it is",
    )
    _add_archive_arguments(parser)
    _add_delta_arguments(parser)
    limits = ReducedLimits()
    parser.add_argument(
        "--min-reduced-ndcg-kept",
        type=float,
        default=limits.min_ndcg_kept,
        metavar="SHARE",
        help="of the full model's NDCG@10, for the reduced one (default: %(default)s)",
    )
    parser.add_argument(
        "--max-reduced-cost",
        type=float,
        default=limits.max_cost,
        metavar="SHARE",
        help="of the full model's time, for the reduced one (default: %(default)s)",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything but the store, change nothing",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def _add_archive_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="archive",
        type=Path,
        metavar="FILE",
        help="what ./stepwell export wrote, in place of RELEASE; signed anew",
    )
    parser.add_argument(
        "--trusted-key",
        type=Path,
        metavar="FILE",
        help="public key that FILE is signed with (default: this registry's)",
    )


def _add_delta_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--delta",
        action="store_true",
        help="store what differs from another release only",
    )
    parser.add_argument(
        "--base",
        type=release_serial,
        metavar="ID",
        help="that release, such as v000004 (default: the newest; implies --delta)",
    )


def run(args: argparse.Namespace) -> int:
    """Publishes; returns 1, with one line that says why, when that is refused.

    Also where the release is there, and its users' state or a server does not follow.
    """
    console = Console(stderr=args.json)
    heard = None
    try:
        with _trained(args) as trained:
            plan = plan_of(args, trained)
            published = preview(plan) if args.dry_run else publish(plan, console)
    except (StepwellError, OSError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 1
    address = "" if args.dry_run or args.no_promote else admin_address(args)
    if address:
        what = f"published {release_id_of(published.serial)}"
        heard = told(address, plan.registry, what)
    if args.json:
        print(json.dumps(asdict(published)))
    else:
        _describe(published, console)
    if heard is not None:
        print_heard(heard, console)
    if problem := published.user_state_problem:
        name = release_id_of(published.serial)
        state = "live" if published.is_live else "published"
        print(
            f"publish: {name} is {state}; its users' state is missing: {problem}; "
            "to bring it: publish again",
            file=sys.stderr,
        )
    return int(bool(problem) or (heard is not None and bool(heard.problems)))


@contextmanager
def _trained(args: argparse.Namespace) -> Iterator[Path]:
    """The folder to publish: RELEASE, what the archive holds, or the newest trained.

    Raises:
        DataLossError: the archive is damaged, or of another key.
        NotFoundError: nothing was trained yet.
    """
    state = ProjectState(project_root(), args.data)
    if args.archive is None:
        yield args.release or _newest_trained(state.training)
        return
    key = trusted_key(args.registry or state.registry, args.trusted_key)
    with TemporaryDirectory(prefix="stepwell-") as folder:
        directory = read_archive(args.archive, key, Path(folder))
        parse_manifest(read_manifest(directory)).metadata.save(directory)
        yield directory


def plan_of(args: argparse.Namespace, trained: Path) -> PublishPlan:
    """Returns the plan of the command's arguments, defaults filled in."""
    state = ProjectState(project_root(), args.data)
    beside = trained.parent / USER_STATE_NAME
    registry = args.registry or state.registry
    base = args.base
    if args.delta and base is None:
        base = default_base(registry)
    return PublishPlan(
        trained=trained,
        registry=registry,
        signing_key=args.key or state.signing_key,
        store=args.store or str(state.online_store),
        user_state=args.user_state or (beside if beside.exists() else None),
        kept=args.keep,
        reduced=ReducedLimits(args.min_reduced_ndcg_kept, args.max_reduced_cost),
        base=base,
        promote=not args.no_promote,
    )


def preview(plan: PublishPlan) -> Published:
    """Returns what `publish` would do; reads, checks and changes nothing.

    Raises:
        StepwellError: `publish` would be refused, with the reason. The store is not
            asked, for to open one is to make it.
    """
    metadata = ReleaseMetadata.load(plan.trained)
    reduced = check_reduced(plan.trained, plan.reduced)
    num_users = len(UserStateFile.load(plan.user_state)) if plan.user_state else 0
    has_key = plan.signing_key.exists()
    load = SigningKey.load_or_create
    key = load(plan.signing_key) if has_key else SigningKey.generate()
    manifest = Publisher(plan.registry, key, plan.kept).check(
        plan.trained, metadata, promote=plan.promote, base=plan.base
    )
    done = _published(plan, manifest, reduced, num_users)
    stored_bytes = done.stored_bytes if plan.base is None else None
    return replace(done, stored_bytes=stored_bytes, dry_run=True)


def publish(plan: PublishPlan, console: Console) -> Published:
    """Publishes the release, then the users' state.

    Raises:
        StepwellError: with the reason; a refused release leaves registry and store as
            they were. An error after the release is there is in what is returned.
    """
    metadata = ReleaseMetadata.load(plan.trained)
    reduced = check_reduced(plan.trained, plan.reduced)
    with _state_import(plan, console) as import_state:
        key = SigningKey.load_or_create(plan.signing_key)
        directory = Publisher(plan.registry, key, plan.kept).publish(
            plan.trained, metadata, promote=plan.promote, base=plan.base
        )
        num_users, problem = 0, ""
        try:
            num_users = import_state()
        except (StepwellError, OSError) as error:
            problem = str(error)
    manifest = parse_manifest(read_manifest(directory))
    done = _published(plan, manifest, reduced, num_users)
    return replace(done, user_state_problem=problem)


def _published(
    plan: PublishPlan, manifest: Manifest, reduced: ReducedFigures, num_users: int
) -> Published:
    return Published(
        release=str(plan.registry / manifest.release_id),
        serial=manifest.serial,
        num_files=len(manifest.files),
        total_bytes=manifest.total_bytes,
        num_users=num_users,
        store=without_secrets(plan.store),
        stored_bytes=manifest.stored_bytes,
        base=plan.base,
        reduced_ndcg_kept=reduced.ndcg_kept,
        reduced_cost=reduced.cost,
        is_live=plan.promote,
    )


@contextmanager
def _state_import(plan: PublishPlan, console: Console) -> Iterator[Callable[[], int]]:
    """Gives what puts the users' state into the store and returns how many they are.

    File and store are read first: neither a broken file nor a store that does not
    answer may follow a new release.
    """
    if plan.user_state is None:
        yield lambda: 0
        return
    state = UserStateFile.load(plan.user_state)
    with closing(open_key_value_store(plan.store, _STORE_TIMEOUT_MS)) as store:
        store.get_many(OFFSETS_VIEW, [CONSUMER])
        yield lambda: _import_state(state, store, console)


def _import_state(state: UserStateFile, store: KeyValueStore, console: Console) -> int:
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("user state", total=len(state))
        return import_user_state(
            state, store, lambda number: progress.update(bar, completed=number)
        )


def _newest_trained(training: Path) -> Path:
    found = [path.parent for path in training.glob(f"*/{METADATA_NAME}")]
    if not found:
        raise NotFoundError(
            f"nothing was trained in {training} yet; run: ./stepwell train"
        )
    return max(found, key=lambda path: (path / METADATA_NAME).stat().st_mtime_ns)


def _describe(published: Published, console: Console) -> None:
    verb = "would publish" if published.dry_run else "published"
    size = f"{published.total_bytes / 1e6:.1f} MB"
    console.print(
        f"{verb} [bold]{published.release}[/bold]: {published.num_files} files, {size}"
    )
    if published.base is not None:
        stored = published.stored_bytes
        kept = "" if stored is None else f", {stored / 1e6:.2f} MB stored"
        console.print(f"a delta on {release_id_of(published.base)}{kept}")
    figures = ReducedFigures(published.reduced_ndcg_kept, published.reduced_cost)
    console.print(figures.describe())
    console.print(f"{published.num_users} users' state in {published.store}")
    if not published.dry_run:
        name = release_id_of(published.serial)
        trial = f"./stepwell canary {name} --percent 5"
        console.print(f"next: {'./stepwell serve' if published.is_live else trial}")
