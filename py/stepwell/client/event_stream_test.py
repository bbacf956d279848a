"""Streams of the two clients against a scripted server: what is sent, again, or not."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from stepwell.base.errors import InvalidArgumentError, UnavailableError
from stepwell.client.async_client import AsyncRecommendClient
from stepwell.client.attempts import ClientOptions
from stepwell.client.conftest import Refusal, Script
from stepwell.client.event_stream import EventStream
from stepwell.client.retry_policy import RetryOptions
from stepwell.client.sync_client import RecommendClient
from stepwell.client.types import Event, EventType, Stored

GONE = Refusal(grpc.StatusCode.UNAVAILABLE, "the server drains")
BAD = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "events[0].value is nan")
OPTIONS = ClientOptions(deadline_ms=20_000, retries=RetryOptions(backoff_us=100))


def batch(*names: str) -> list[Event]:
    return [Event(name, "u", "milk", EventType.CLICK) for name in names]


def arrived(script: Script) -> list[str]:
    """Ids of all events that reached the server, repeats among them."""
    return [event.event_id for request in script.requests for event in request.events]


@contextmanager
def stream_to(script: Script, max_unanswered: int = 16) -> Iterator[EventStream]:
    with (
        RecommendClient(script.address, OPTIONS) as client,
        client.event_stream(max_unanswered) as stream,
    ):
        yield stream


def test_sums_the_answers_and_keeps_the_order(script: Script) -> None:
    with stream_to(script) as stream:
        stream.send(batch("a", "b"))
        stream.send(batch("c"))
        assert stream.flush() == Stored(3, 0)
        stream.send(batch("d"))
        assert stream.flush() == Stored(4, 0)
    assert arrived(script) == ["a", "b", "c", "d"]


def test_leaving_the_stream_waits_for_the_last_answer(script: Script) -> None:
    with stream_to(script) as stream:
        stream.send(batch("a"))
    assert arrived(script) == ["a"]


def test_a_stream_without_a_batch_makes_no_call(script: Script) -> None:
    with stream_to(script) as stream:
        assert stream.flush() == Stored(0, 0)
    assert script.requests == []


def test_no_more_batches_are_under_way_than_it_may_have(script: Script) -> None:
    with stream_to(script, max_unanswered=2) as stream:
        for name in "abcde":
            stream.send(batch(name))
            assert stream.num_unanswered <= 2
    assert arrived(script) == list("abcde")


def test_what_has_no_answer_is_sent_again_when_the_server_goes(script: Script) -> None:
    with stream_to(script) as stream:
        stream.send(batch("a"))
        stream.flush()
        script.refusals = [GONE, GONE]
        stream.send(batch("b"))
        stream.send(batch("c"))
        assert stream.flush() == Stored(3, 0)
    # What had its answer is not.
    names = arrived(script)
    assert names.count("a") == 1
    assert names.count("b") == 3
    assert names[-2:] == ["b", "c"]


def test_a_server_that_stays_away_is_an_error_that_keeps_the_batches(
    script: Script,
) -> None:
    with stream_to(script) as stream:
        script.always = GONE
        stream.send(batch("a"))
        with pytest.raises(UnavailableError, match="drains"):
            stream.flush()
        script.always = None
        assert stream.flush() == Stored(1, 0)


def test_a_refused_batch_is_given_up_and_those_behind_it_are_sent(
    script: Script,
) -> None:
    with stream_to(script) as stream:
        script.refusals = [BAD]
        stream.send(batch("bad"))
        stream.send(batch("good"))
        with pytest.raises(InvalidArgumentError, match="value is nan"):
            stream.flush()
        assert stream.flush() == Stored(1, 0)
    assert arrived(script)[-1] == "good"
    assert arrived(script).count("bad") == 1


def test_a_window_of_nothing_is_an_error(script: Script) -> None:
    with (
        RecommendClient(script.address) as client,
        pytest.raises(InvalidArgumentError, match="max_unanswered is 0"),
    ):
        client.event_stream(0)


async def test_the_async_stream_sends_again_and_gives_up_alike(script: Script) -> None:
    async with (
        AsyncRecommendClient(script.address, OPTIONS) as client,
        client.event_stream(max_unanswered=2) as stream,
    ):
        for name in "abc":
            await stream.send(batch(name))
        assert await stream.flush() == Stored(3, 0)
        script.refusals = [GONE]
        await stream.send(batch("d"))
        assert await stream.flush() == Stored(4, 0)
        script.always = BAD
        await stream.send(batch("bad"))
        await stream.send(batch("good"))
        with pytest.raises(InvalidArgumentError, match="value is nan"):
            await stream.flush()
        script.always = None
        assert await stream.flush() == Stored(5, 0)
    assert arrived(script)[:3] == ["a", "b", "c"]
    assert arrived(script)[-1] == "good"
