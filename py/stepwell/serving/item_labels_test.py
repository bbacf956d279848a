"""Labels: what is serialized once is what the message would have said."""

import struct
from dataclasses import dataclass

import pytest

from stepwell.schema.vocabulary import Vocabulary
from stepwell.serving.item_labels import ItemLabels
from stepwell_pb.v1 import recommend_pb2


@dataclass
class _Names:
    names: list[str]
    num_asked: int = 0

    def name_of_row(self, row: int) -> str:
        self.num_asked += 1
        return self.names[row]


@pytest.mark.parametrize("score", [0.0, -1.5, 3.25e8])
@pytest.mark.parametrize("name", ["", "Käse", "n" * 100, "n" * 20_000])
def test_a_label_and_a_score_are_an_item_of_a_response(name: str, score: float) -> None:
    labels = ItemLabels(Vocabulary.build(["milk"]), _Names([name]))
    wire = labels.of_row(0).wire + struct.pack("<f", score)
    for response in (recommend_pb2.RecommendResponse, recommend_pb2.RankResponse):
        (item,) = response.FromString(wire).items
        expected = recommend_pb2.RecommendedItem(item_id="milk", name=name, score=score)
        assert item == expected


def test_a_label_is_made_once() -> None:
    names = _Names(["a", "b"])
    labels = ItemLabels(Vocabulary.build(["x", "y"]), names)
    assert [labels.of_row(row).item_id for row in (1, 0, 1, 1)] == ["y", "x", "y", "y"]
    assert names.num_asked == 2
