"""`./stepwell publish`: signs what was trained and hands it to the servers."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from project_state import DATA_SETS, DEFAULT_DATA_SET, ProjectState, project_root
from registry_command import admin_address, print_heard, release_serial, told
from stepwell.base.errors import NotFoundError, StepwellError
from stepwell.feedback.user_state_file import USER_STATE_NAME, UserStateFile
from stepwell.feedback.user_state_import import import_user_state
from stepwell.releases.archive import read_archive
from stepwell.releases.delta_publishing import checked_base, default_base
from stepwell.releases.loader import trusted_key
from stepwell.releases.manifest import (
    METADATA_NAME,
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
from stepwell.releases.source import DirectorySource
from stepwell.releases.verification import read_manifest
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
        "--dry-run", action="store_true", help="check everything, change nothing"
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
    """Publishes; returns 1, with one line that says why, when that is refused."""
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
        fields = {name: getattr(published, name) for name in Published.__slots__}
        print(json.dumps(fields))
    else:
        _describe(published, console)
    if heard is not None:
        print_heard(heard, console)
    return int(heard is not None and bool(heard.problems))


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
    """Returns what `publish` would do; reads, checks and changes nothing."""
    ReleaseMetadata.load(plan.trained)
    reduced = check_reduced(plan.trained, plan.reduced)
    if plan.base is not None:
        checked_base(plan.registry, plan.base)
    files = [path for path in plan.trained.rglob("*") if path.is_file()]
    files = [path for path in files if path.name != METADATA_NAME]
    versions = DirectorySource(plan.registry).versions()
    serial = versions[-1].serial + 1 if versions else 1
    return Published(
        release=str(plan.registry / f"v{serial:06d}"),
        serial=serial,
        num_files=len(files),
        total_bytes=sum(path.stat().st_size for path in files),
        num_users=len(UserStateFile.load(plan.user_state)) if plan.user_state else 0,
        store=without_secrets(plan.store),
        base=plan.base,
        reduced_ndcg_kept=reduced.ndcg_kept,
        reduced_cost=reduced.cost,
        is_live=plan.promote,
        dry_run=True,
    )


def publish(plan: PublishPlan, console: Console) -> Published:
    """Publishes the release, then the users' state.

    Raises:
        StepwellError: with the reason; a refused release leaves registry and store as
            they were.
    """
    metadata = ReleaseMetadata.load(plan.trained)
    reduced = check_reduced(plan.trained, plan.reduced)
    # Read before anything is changed: a broken file must not follow a new release.
    state = UserStateFile.load(plan.user_state) if plan.user_state else None
    key = SigningKey.load_or_create(plan.signing_key)
    publisher = Publisher(plan.registry, key, plan.kept)
    directory = publisher.publish(
        plan.trained, metadata, promote=plan.promote, base=plan.base
    )
    num_users = _import_state(state, plan.store, console) if state is not None else 0
    manifest = parse_manifest(read_manifest(directory))
    return Published(
        release=str(directory),
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


def _import_state(state: UserStateFile, location: str, console: Console) -> int:
    store = open_key_value_store(location, _STORE_TIMEOUT_MS)
    columns = (
        TextColumn("user state"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("user state", total=len(state))
            return import_user_state(
                state, store, lambda number: progress.update(bar, completed=number)
            )
    finally:
        store.close()


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
