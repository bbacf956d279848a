"""A chart is well-formed SVG that shows every value, inside its frame."""

from collections.abc import Callable, Mapping, Sequence
from xml.etree import ElementTree

import pytest

from stepwell.base.svg_charts import (
    HEIGHT,
    WIDTH,
    CurvePoint,
    Frame,
    area_chart,
    curve_chart,
    line_chart,
    stacked,
)

SVG = "{http://www.w3.org/2000/svg}"
Chart = Callable[[Frame, Mapping[str, Sequence[float]]], str]


@pytest.mark.parametrize("chart", [line_chart, area_chart])
def test_a_chart_over_seconds_stays_in_its_frame(chart: Chart) -> None:
    rows = {"a < b": [0.0, 5.0, 50.0], "c": [1.0, 2.0, 3.0]}
    shown = chart(Frame("x & y", limit=20.0, top=30.0, shade=(1.0, 2.0)), rows)
    for shape in ElementTree.fromstring(shown).iter():
        for pair in shape.get("points", "").split():
            x, y = map(float, pair.split(","))
            assert 64 <= x <= WIDTH - 12
            assert 26 <= y <= HEIGHT - 30
    assert "a &lt; b" in shown
    assert "x &amp; y" in shown
    ElementTree.fromstring(chart(Frame("empty"), {}))


def test_layers_lie_on_one_another() -> None:
    first, second = stacked([[1.0, 2.0], [3.0, 4.0]])
    assert first == [(0.0, 1.0), (1.0, 2.0), (1, 0.0), (0, 0.0)]
    assert second == [(0.0, 4.0), (1.0, 6.0), (1, 2.0), (0, 1.0)]


def test_a_chart_for_a_page_loads_nothing() -> None:
    assert "http" not in line_chart(Frame("t"), {"a": [1.0]})


def test_every_point_of_a_curve_is_drawn_and_says_what_it_is() -> None:
    named = {
        "a & b": [CurvePoint(0.9, 1000.0, "ef 10"), CurvePoint(0.99, 100.0, "ef 20")],
        "one": [CurvePoint(0.95, 500.0, "ef 10")],
        "none": [],
    }
    root = ElementTree.fromstring(curve_chart("t", ("x", "y"), named, log_y=True))
    said = [title.text for title in root.iter(f"{SVG}title")]
    assert said == ["ef 10: 0.9, 1000", "ef 20: 0.99, 100", "ef 10: 0.95, 500"]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "a & b" in texts
    assert "none" not in texts
    assert {"100", "200", "500", "1,000"} <= set(texts)


def test_a_higher_value_stands_higher_and_to_the_right() -> None:
    named = {"a": [CurvePoint(1.0, 1.0, ""), CurvePoint(2.0, 2.0, "")]}
    root = ElementTree.fromstring(curve_chart("t", ("x", "y"), named))
    low, high = root.iter(f"{SVG}circle")
    assert float(high.attrib["cx"]) > float(low.attrib["cx"])
    assert float(high.attrib["cy"]) < float(low.attrib["cy"])


def test_a_single_point_is_drawn() -> None:
    shown = curve_chart("t", ("x", "y"), {"a": [CurvePoint(3.0, 0.0, "p")]})
    assert shown.count("<circle") == 1


def test_no_points_are_an_error() -> None:
    with pytest.raises(ValueError, match="no curve has a point"):
        curve_chart("t", ("x", "y"), {"a": []})
