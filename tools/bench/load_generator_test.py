"""The benchmark of the generator runs and has a row for each rate."""

import pytest

from bench import load_generator


def test_every_rate_has_a_cost_beside_the_peer_and_a_lateness(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load_generator, "RATES", (200.0,))
    monkeypatch.setattr(load_generator, "FLOOD_RATE", 1_000.0)
    monkeypatch.setattr(load_generator, "_QUICK_SECONDS", 0.5)
    cost, lateness, flood, _ = load_generator.measure(quick=True)
    assert cost["ours"] > 0
    assert cost["peers"][load_generator.PEER] > 0
    assert lateness["unit"] == "ms"
    assert 0 < flood["ours"] < 1
    assert flood["bar"] == "<= 0.85 share"
