"""`./stepwell publish`: signs what was trained and hands it to the servers."""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from project_state import DATA_SETS, DEFAULT_DATA_SET, ProjectState, project_root
from stepwell.base.errors import NotFoundError, StepwellError
from stepwell.feedback.user_state_file import USER_STATE_NAME, UserStateFile
from stepwell.feedback.user_state_import import import_user_state
from stepwell.releases.manifest import METADATA_NAME, ReleaseMetadata
from stepwell.releases.publisher import DEFAULT_KEPT, Publisher
from stepwell.releases.signing import SigningKey
from stepwell.releases.source import DirectorySource
from stepwell.stores.locations import open_key_value_store
from stepwell.stores.redaction import without_secrets

_STORE_TIMEOUT_MS = 10_000

_EXPLAINED = """\
Signs a trained release and hands it to the servers.

Two things happen, in this order:
  1. The folder is copied into the registry, hashed, signed and renamed into place:
     a server that watches the registry sees the release whole or not at all.
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
    """

    trained: Path
    registry: Path
    signing_key: Path
    store: str
    user_state: Path | None
    kept: int = DEFAULT_KEPT


@dataclass(frozen=True, slots=True)
class Published:
    """What a publish did, or would do in a dry run."""

    release: str
    serial: int
    num_files: int
    total_bytes: int
    num_users: int
    store: str
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
        "--dry-run", action="store_true", help="check everything, change nothing"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line")


def run(args: argparse.Namespace) -> int:
    """Publishes; returns 1, with one line that says why, when that is refused."""
    console = Console(stderr=args.json)
    try:
        plan = plan_of(args)
        published = preview(plan) if args.dry_run else publish(plan, console)
    except (StepwellError, OSError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 1
    if args.json:
        fields = {name: getattr(published, name) for name in Published.__slots__}
        print(json.dumps(fields))
    else:
        _describe(published, console)
    return 0


def plan_of(args: argparse.Namespace) -> PublishPlan:
    """Returns the plan of the command's arguments, defaults filled in.

    Raises:
        NotFoundError: nothing was trained yet.
    """
    state = ProjectState(project_root(), args.data)
    trained = args.release or _newest_trained(state.training)
    beside = trained.parent / USER_STATE_NAME
    return PublishPlan(
        trained=trained,
        registry=args.registry or state.registry,
        signing_key=args.key or state.signing_key,
        store=args.store or str(state.online_store),
        user_state=args.user_state or (beside if beside.exists() else None),
        kept=args.keep,
    )


def preview(plan: PublishPlan) -> Published:
    """Returns what `publish` would do; reads, checks and changes nothing."""
    ReleaseMetadata.load(plan.trained)
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
        dry_run=True,
    )


def publish(plan: PublishPlan, console: Console) -> Published:
    """Publishes the release, then the users' state.

    Raises:
        StepwellError: with the reason; a refused release leaves registry and store as
            they were.
    """
    metadata = ReleaseMetadata.load(plan.trained)
    # Read before anything is changed: a broken file must not follow a new release.
    state = UserStateFile.load(plan.user_state) if plan.user_state else None
    key = SigningKey.load_or_create(plan.signing_key)
    directory = Publisher(plan.registry, key, plan.kept).publish(plan.trained, metadata)
    num_users = _import_state(state, plan.store, console) if state is not None else 0
    files = [path for path in directory.rglob("*") if path.is_file()]
    return Published(
        release=str(directory),
        serial=int(directory.name[1:]),
        num_files=len(files) - 1,
        total_bytes=sum(path.stat().st_size for path in files),
        num_users=num_users,
        store=without_secrets(plan.store),
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
    console.print(f"{published.num_users} users' state in {published.store}")
    if not published.dry_run:
        console.print("next: ./stepwell serve")
