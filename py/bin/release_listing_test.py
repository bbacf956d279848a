"""The listing goes on whatever a release says of itself."""

from pathlib import Path

import pytest

from release_listing import ListedRelease, listed_releases
from stepwell.releases.manifest import MANIFEST_NAME, ReleaseMetadata
from stepwell.releases.publisher import Publisher
from stepwell.releases.signing import SigningKey

KEY = SigningKey.generate()
METADATA = ReleaseMetadata(
    data_watermark_seconds=0,
    embedding_space_hash="a" * 64,
    feature_schema_hash="b" * 64,
)
CARD = """{
    "format_version": 1,
    "quality": {"full": {"ndcg_at_10": 0.25, "targets": 9}, "reduced": {}},
    "cost_us": {"full": {"mean": 120, "p50": 100}, "other": {"mean": 1}}
}"""


def publish(root: Path, card: str, base: int | None = None) -> Path:
    trained = root / "trained"
    trained.mkdir(exist_ok=True)
    (trained / "weights").write_bytes(b"weights")
    (trained / "model_card.json").write_text(card)
    return Publisher(root / "registry", KEY).publish(trained, METADATA, base=base)


def listed(root: Path) -> ListedRelease:
    """The newest release's line."""
    return listed_releases(root / "registry")[1][0]


def test_figures_are_those_of_the_card_and_of_the_bases_where_a_delta_has_none(
    tmp_path: Path,
) -> None:
    publish(tmp_path, CARD)
    first = listed(tmp_path)
    assert first.ndcg == {"full": 0.25, "reduced": None}
    assert first.cost_us == {"full": 120}
    delta = publish(tmp_path, CARD, base=1)
    assert not (delta / "model_card.json").exists()
    second = listed(tmp_path)
    assert (second.ndcg, second.base) == (first.ndcg, "v000001")


@pytest.mark.parametrize(
    "card",
    ['{"quality": {"full": null}}', '{"cost_us": []}', "[]", "{", "[" * 100_000],
)
def test_a_card_that_says_something_else_is_a_note(tmp_path: Path, card: str) -> None:
    publish(tmp_path, card)
    found = listed(tmp_path)
    assert "model_card.json: " in found.problem
    assert found.total_bytes > 0


def test_a_delta_that_is_its_own_base_ends(tmp_path: Path) -> None:
    first = publish(tmp_path, CARD)
    delta = publish(tmp_path, CARD, base=1)
    (first / "model_card.json").unlink()
    (first / MANIFEST_NAME).write_bytes((delta / MANIFEST_NAME).read_bytes())
    assert listed(tmp_path).ndcg is None
