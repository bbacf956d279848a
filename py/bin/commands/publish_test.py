import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from commands import publish
from registry_command import Heard
from stepwell.base.errors import UnavailableError
from stepwell.feedback.user_history_updater import USER_HISTORY_VIEW
from stepwell.feedback.user_state_file import write_user_state
from stepwell.releases.archive import complete_release, write_archive
from stepwell.releases.loader import trusted_key
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.releases.source import DirectorySource
from stepwell.releases.verification import verify_release
from stepwell.schema.history_row import history_row
from stepwell.schema.user_history import UserHistory
from stepwell.schema.vocabulary import entity_keys
from stepwell.stores.lmdb_key_value_store import LmdbKeyValueStore


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one trained release of the generated data set."""
    monkeypatch.setenv("STEPWELL_ROOT", str(tmp_path))
    training = tmp_path / ".stepwell" / "generated" / "training"
    trained = training / "v001.tmp"
    trained.mkdir(parents=True)
    (trained / "index.hnsw").write_bytes(b"graph")
    ReleaseMetadata(
        data_watermark_seconds=9,
        embedding_space_hash="a" * 64,
        feature_schema_hash="b" * 64,
    ).save(trained)
    history = UserHistory.from_events(entity_keys(["milk"]), np.array([1]))
    write_user_state(
        training / "user_state.safetensors",
        [(f"u{number}", [history_row(history)]) for number in range(600)],
    )
    return tmp_path


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    publish.add_arguments(parser)
    return publish.run(parser.parse_args(["--data", "generated", *words]))


def test_publishes_the_newest_trained_release_and_the_users_state(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--json") == 0
    said = json.loads(capsys.readouterr().out)
    folder = root / ".stepwell" / "generated"
    assert said["release"] == str(folder / "registry" / "v000001")
    assert (said["serial"], said["num_files"], said["num_users"]) == (1, 1, 600)
    manifest = verify_release(Path(said["release"]), trusted_key(folder / "registry"))
    assert manifest.metadata.data_watermark_seconds == 9
    store = LmdbKeyValueStore(folder / "online.lmdb")
    blobs = store.get_many(USER_HISTORY_VIEW, ["u0", "u599", "u600"])
    store.close()
    assert [blob is not None for blob in blobs] == [True, True, False]


def test_the_second_publish_is_the_next_serial_of_the_same_key(root: Path) -> None:
    assert run() == 0
    assert run() == 0
    registry = root / ".stepwell" / "generated" / "registry"
    verify_release(registry / "v000002", trusted_key(registry))


def test_a_dry_run_says_what_would_happen_and_changes_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(root.rglob("*"))
    assert run("--dry-run", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["serial"], said["num_users"], said["dry_run"]) == (1, 600, True)
    assert sorted(root.rglob("*")) == before


def test_a_dry_run_refuses_what_a_publish_would(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = root / ".stepwell" / "generated" / "training" / "v001.tmp"
    assert run("--dry-run", "--no-promote") == 1
    assert "first release goes live" in capsys.readouterr().err
    for number in range(256):
        (trained / f"file{number}").write_bytes(b"x")
    for words in (("--dry-run",), ()):
        assert run(*words) == 1
        assert "at most 256 items" in capsys.readouterr().err
    (trained / "file0").unlink()
    assert run() == 0
    stranger = str(root / "stranger.key")
    assert run("--dry-run", "--key", stranger) == 1
    assert "another key" in capsys.readouterr().err
    assert not Path(stranger).exists()


def test_a_dry_run_of_an_archive_counts_what_a_publish_does(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--json") == 0
    registry = root / ".stepwell" / "generated" / "registry"
    with complete_release(registry, 1, trusted_key(registry)) as (directory, manifest):
        write_archive(directory, manifest, root / "v000001.tar")
    words = ("--from", str(root / "v000001.tar"), "--json")
    assert run(*words, "--dry-run") == 0
    assert run(*words) == 0
    _, dry, done = map(json.loads, capsys.readouterr().out.splitlines())
    assert dry == done | {"dry_run": True}
    assert (done["num_files"], done["total_bytes"]) == (1, 5)


def test_says_what_to_do_when_nothing_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEPWELL_ROOT", str(tmp_path))
    assert run() == 1
    assert "./stepwell train" in capsys.readouterr().err


def test_a_broken_user_state_stops_the_publish_before_anything_changes(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = root / ".stepwell" / "generated" / "training" / "user_state.safetensors"
    state.write_bytes(b"broken")
    assert run() == 1
    assert "user_state.safetensors" in capsys.readouterr().err
    assert not (root / ".stepwell" / "generated" / "registry").exists()


def test_a_store_that_is_down_is_one_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--store", "redis://127.0.0.1:1/0") == 1
    assert capsys.readouterr().err.startswith("publish: ")
    assert not (root / ".stepwell" / "generated" / "registry").exists()


def test_a_store_that_fails_later_is_said_and_the_server_hears_of_the_release(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def fails(*_: object) -> int:
        raise UnavailableError("connection reset")

    def hears(address: str, _: Path, reason: str) -> Heard:
        heard.append(reason)
        return Heard(address, "v000001", 0.0, ())

    monkeypatch.setattr(publish, "import_user_state", fails)
    monkeypatch.setattr(publish, "admin_address", lambda _: "unix:admin")
    monkeypatch.setattr(publish, "told", hears)
    assert run("--json") == 1
    said = capsys.readouterr()
    assert "v000001 is live; its users' state is missing: connection" in said.err
    assert json.loads(said.out)["user_state_problem"] == "connection reset"
    assert heard == ["published v000001"]


def test_the_stores_password_is_not_printed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    location = "redis://ann:secret@127.0.0.1:1/0"
    assert run("--store", location, "--dry-run") == 0
    assert run("--store", location) == 1
    printed = capsys.readouterr()
    assert "redis://***@127.0.0.1:1/0" in printed.out
    assert "secret" not in printed.out + printed.err


def _card(root: Path, ndcg: float, cost: int) -> None:
    trained = root / ".stepwell" / "generated" / "training" / "v001.tmp"
    content = {
        "quality": {"full": {"ndcg_at_10": 0.5}, "reduced": {"ndcg_at_10": ndcg}},
        "cost_us": {"full": {"p50": 1_000}, "reduced": {"p50": cost}},
    }
    (trained / "model_card.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("ndcg", "cost", "said", "flag"),
    [
        (0.44, 300, "keeps 0.880", ("--min-reduced-ndcg-kept", "0.88")),
        (0.49, 437, "costs 0.437", ("--max-reduced-cost", "0.44")),
    ],
)
def test_a_reduced_model_beyond_its_bars_is_refused_with_the_flag_that_allows_it(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    ndcg: float,
    cost: int,
    said: str,
    flag: tuple[str, str],
) -> None:
    _card(root, ndcg, cost)
    for words in (("--dry-run",), ()):
        assert run(*words) == 1
        refused = capsys.readouterr().err
        assert said in refused
        assert " ".join(flag) in refused
    assert not (root / ".stepwell" / "generated" / "registry").exists()
    assert run("--json", *flag) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["reduced_ndcg_kept"], told["reduced_cost"]) == (ndcg / 0.5, cost / 1e3)


def test_a_delta_lies_on_the_newest_release(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--delta") == 1
    assert "publish without --delta first" in capsys.readouterr().err
    assert run("--json") == 0
    assert run("--json", "--delta") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["base"], told["stored_bytes"], told["total_bytes"]) == (1, 0, 5)
    assert run("--base", "v000001") == 0
    assert "a delta on v000001, 0.00 MB stored" in capsys.readouterr().out


def test_a_base_that_is_not_there_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    for words in (("--dry-run",), ()):
        assert run("--base", "v000007", *words) == 1
        assert "the base v000007 is not in" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("--base", "newest")


def test_a_release_that_must_wait_is_not_live(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    assert run("--no-promote", "--json") == 0
    assert not json.loads(capsys.readouterr().out.splitlines()[-1])["is_live"]
    state = DirectorySource(root / ".stepwell" / "generated" / "registry").state()
    assert [version.serial for version in state.versions] == [1, 2]
    assert state.aliases is not None
    assert state.aliases.live == 1
