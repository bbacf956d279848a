"""The latency histogram against an exact oracle: a sorted list."""

from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.latency_histogram import (
    NUM_BUCKETS,
    LatencyHistogram,
    WindowedHistogram,
    bucket_of,
    upper_edge_us,
)

LATENCIES = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=80)


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1))
def test_a_bucket_holds_its_value_within_a_32nd(latency_us: int) -> None:
    edge = upper_edge_us(bucket_of(latency_us))
    assert latency_us <= edge <= latency_us + latency_us // 32
    assert bucket_of(edge) == bucket_of(latency_us)


def test_buckets_tile_the_range_in_order() -> None:
    edges = [upper_edge_us(bucket) for bucket in range(NUM_BUCKETS)]
    assert edges == sorted(set(edges))
    assert edges[-1] == 2**32 - 1
    assert all(bucket_of(edge + 1) == i + 1 for i, edge in enumerate(edges[:-1]))


@settings(max_examples=60)
@given(LATENCIES, st.integers(1, 1000))
def test_a_quantile_equals_the_sorted_list_up_to_its_bucket(
    latencies: list[int], permille: int
) -> None:
    histogram = LatencyHistogram()
    for latency in latencies:
        histogram.record(latency)
    rank = -(-len(latencies) * permille // 1000)
    exact = sorted(latencies)[rank - 1]
    assert histogram.quantile_us(permille) == upper_edge_us(bucket_of(exact))
    assert histogram.mean_us() == sum(latencies) // len(latencies)


def test_an_empty_histogram_answers_zero() -> None:
    assert LatencyHistogram().quantile_us(950) == 0
    assert LatencyHistogram().mean_us() == 0


def test_values_out_of_range_are_clamped() -> None:
    assert bucket_of(-5) == 0
    assert bucket_of(2**40) == NUM_BUCKETS - 1


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 9999)), max_size=60))
def test_a_window_holds_the_samples_of_its_slices_only(
    events: list[tuple[int, int]],
) -> None:
    window = WindowedHistogram(window_us=4_000, num_slices=8)
    now_us, recorded = 0, []
    for pause_us, latency in events:
        now_us += pause_us
        window.record(latency, now_us)
        recorded.append((now_us // 500, latency))
        kept = [value for slot, value in recorded if slot > now_us // 500 - 8]
        assert len(window.at(now_us)) == len(kept)
        assert window.at(now_us).sum_us == sum(kept)


def test_a_window_is_empty_after_a_long_silence() -> None:
    window = WindowedHistogram(window_us=4_000_000)
    window.record(77, 1_000_000)
    assert len(window.at(4_900_000)) == 1
    assert len(window.at(5_100_000)) == 0
    assert window.at(5_100_000).quantile_us(950) == 0
