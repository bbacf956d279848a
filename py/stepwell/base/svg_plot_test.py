"""Scales place values, and plots draw what they are told."""

import pytest

from stepwell.base.svg_plot import Box, Plot, Scale, legend_across


@pytest.mark.parametrize(
    ("scale", "value", "share"),
    [
        (Scale(0.0, 10.0), 5.0, 0.5),
        (Scale(0.0, 10.0), -1.0, 0.0),
        (Scale(0.0, 10.0), 11.0, 1.0),
        (Scale(1.0, 100.0, logarithmic=True), 10.0, 0.5),
        (Scale(1.0, 100.0, logarithmic=True), 0.0, 0.0),
        (Scale.around([3.0, 3.0]), 3.0, 0.5),
        (Scale.around([0.0]), 0.0, 0.5),
    ],
)
def test_a_value_has_its_place_and_none_is_outside(
    scale: Scale, value: float, share: float
) -> None:
    assert scale.share(value) == pytest.approx(share)


@pytest.mark.parametrize(("highest", "high"), [(41.0, 45.0), (50.0, 50.0), (0.9, 0.9)])
def test_a_scale_from_zero_ends_at_a_round_number(highest: float, high: float) -> None:
    assert Scale.up_to(highest).high == pytest.approx(high)


def test_ticks_are_round_and_on_the_scale() -> None:
    assert Scale(0.0, 10.0).ticks() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert Scale(3.0, 60.0, logarithmic=True).ticks() == [5.0, 10.0, 20.0, 50.0]


def test_up_is_towards_the_top() -> None:
    plot = Plot(Box(10, 20, 100, 50), Scale(0.0, 1.0), Scale(0.0, 1.0))
    assert plot.place(0.0, 0.0) == (10, 70)
    assert plot.place(1.0, 1.0) == (110, 20)


def test_a_legend_ends_at_the_right_edge() -> None:
    parts = legend_across({"one": "#111", "a longer name": "#222"}, 700, 8)
    places = [float(part.split('"')[1]) for part in parts if part.startswith("<rect")]
    assert places[0] < places[1] < 700 - 7 * len("a longer name")


def test_a_logarithmic_scale_of_many_decades_marks_powers_of_ten_only() -> None:
    assert Scale(1.0, 1e7, logarithmic=True).ticks() == [10.0**d for d in range(8)]
    assert Scale(1.0, 10.0, logarithmic=True).ticks() == [1.0, 2.0, 5.0, 10.0]
