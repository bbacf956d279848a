from pathlib import Path

from stepwell.releases.live_release import live_release
from stepwell.releases.manifest import ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.rollout import Rollout
from stepwell.releases.signing import SigningKey

METADATA = ReleaseMetadata(
    data_watermark_seconds=0,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)


def test_is_what_the_aliases_say_and_not_the_newest(tmp_path: Path) -> None:
    trained, registry = tmp_path / "trained", tmp_path / "registry"
    trained.mkdir()
    (trained / "model").write_bytes(b"weights")
    assert live_release(registry) is None
    key = SigningKey.generate()
    for _ in range(3):
        Publisher(registry, key).publish(trained, METADATA)
    served = []
    rollout = Rollout(registry, key)
    for change in (lambda: None, rollout.rollback, lambda: rollout.pin(1)):
        change()
        live = live_release(registry)
        assert live is not None
        served.append(live.directory.name)
    assert served == ["v000003", "v000002", "v000001"]
    (registry / "aliases.json").unlink()
    newest = live_release(registry)
    assert newest is not None
    assert newest.serial == 3
