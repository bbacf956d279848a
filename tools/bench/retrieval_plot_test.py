"""A plot is an SVG that shows every point."""

import xml.etree.ElementTree as ElementTree

import pytest

from bench.retrieval_plot import PlotPoint, line_plot

SVG = "{http://www.w3.org/2000/svg}"


def test_every_point_is_drawn_and_says_what_it_is() -> None:
    curves = {
        "a & b": [PlotPoint(0.9, 1000.0, "ef 10"), PlotPoint(0.99, 100.0, "ef 20")],
        "one": [PlotPoint(0.95, 500.0, "ef 10")],
        "none": [],
    }
    root = ElementTree.fromstring(line_plot("t", ("x", "y"), curves, log_y=True))
    said = [title.text for title in root.iter(f"{SVG}title")]
    assert said == ["ef 10: 0.9, 1000", "ef 20: 0.99, 100", "ef 10: 0.95, 500"]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "a & b" in texts
    assert "none" not in texts
    assert {"100", "200", "500", "1,000"} <= set(texts)


def test_a_higher_value_stands_higher_and_to_the_right() -> None:
    curves = {"a": [PlotPoint(1.0, 1.0, ""), PlotPoint(2.0, 2.0, "")]}
    root = ElementTree.fromstring(line_plot("t", ("x", "y"), curves))
    low, high = root.iter(f"{SVG}circle")
    assert float(high.attrib["cx"]) > float(low.attrib["cx"])
    assert float(high.attrib["cy"]) < float(low.attrib["cy"])


def test_a_single_point_stands_in_the_middle() -> None:
    found = line_plot("t", ("x", "y"), {"a": [PlotPoint(3.0, 0.0, "p")]})
    assert found.count("<circle") == 1


def test_no_points_are_an_error() -> None:
    with pytest.raises(ValueError, match="no curve has a point"):
        line_plot("t", ("x", "y"), {"a": []})
