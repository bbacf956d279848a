import queue
import threading
from concurrent.futures import Future

import pytest

from stepwell.base.errors import ResourceExhaustedError, UnavailableError
from stepwell.stores.acknowledgements import Acknowledgements, Done
from stepwell.stores.event_log import AppendReceipt


class ScriptedLog:
    """A log whose batches end when the test says so; ticket n is the n-th batch."""

    def __init__(self) -> None:
        self.num_submitted = 0
        self.full = False
        self.ends: queue.Queue[list[Done]] = queue.Queue()
        self.on_submit: list[Done] = []
        self.closed = False

    def submit(self, ids: list[bytes], payloads: list[bytes]) -> int:
        if self.full:
            raise ResourceExhaustedError("full")
        self.num_submitted += 1
        if self.on_submit:
            self.ends.put(self.on_submit)
        return self.num_submitted

    def wait_done(self, timeout_s: float) -> list[Done]:
        if self.closed and self.ends.empty():
            return []
        return self.ends.get(timeout=10)

    def close(self) -> None:
        self.closed = True
        self.ends.put([])


@pytest.fixture
def log() -> ScriptedLog:
    return ScriptedLog()


def submitted(acknowledgements: Acknowledgements) -> "Future[AppendReceipt]":
    return acknowledgements.submit([b"a"], [b""])


def test_each_future_gets_the_receipt_of_its_own_ticket(log: ScriptedLog) -> None:
    acknowledgements = Acknowledgements(log)
    futures = [submitted(acknowledgements) for _ in range(3)]
    log.ends.put([(2, [20], 1, None), (1, [10, 11], 2, None)])
    log.ends.put([(3, [5], 0, None)])
    receipts = [future.result(timeout=10) for future in futures]
    assert receipts == [
        AppendReceipt((10, 11), 2),
        AppendReceipt((20,), 1),
        AppendReceipt((5,), 0),
    ]
    log.close()
    acknowledgements.close()


def test_an_error_reaches_its_future_and_no_other(log: ScriptedLog) -> None:
    acknowledgements = Acknowledgements(log)
    failed, stored = submitted(acknowledgements), submitted(acknowledgements)
    log.ends.put([(1, [], 0, UnavailableError("EIO")), (2, [0], 1, None)])
    with pytest.raises(UnavailableError, match="EIO"):
        failed.result(timeout=10)
    assert stored.result(timeout=10).num_stored == 1
    log.close()
    acknowledgements.close()


def test_a_batch_that_ends_before_its_ticket_is_known_is_acknowledged(
    log: ScriptedLog,
) -> None:
    acknowledgements = Acknowledgements(log)
    first = submitted(acknowledgements)
    log.on_submit = [(1, [0], 1, None), (2, [1], 1, None)]
    second = submitted(acknowledgements)
    assert first.result(timeout=10).offsets == (0,)
    assert second.result(timeout=10).offsets == (1,)
    log.close()
    acknowledgements.close()


def test_a_batch_under_way_cannot_be_cancelled(log: ScriptedLog) -> None:
    acknowledgements = Acknowledgements(log)
    future = submitted(acknowledgements)
    assert not future.cancel()
    log.ends.put([(1, [0], 1, None)])
    assert future.result(timeout=10).num_stored == 1
    log.close()
    acknowledgements.close()


def test_what_the_log_refuses_leaves_nothing_under_way(log: ScriptedLog) -> None:
    acknowledgements = Acknowledgements(log)
    num_threads = threading.active_count()
    log.full = True
    with pytest.raises(ResourceExhaustedError):
        submitted(acknowledgements)
    assert threading.active_count() == num_threads
    log.close()
    log.ends.get()
    acknowledgements.close()


def test_the_close_completes_what_the_log_hands_out_last(log: ScriptedLog) -> None:
    acknowledgements = Acknowledgements(log)
    future = submitted(acknowledgements)
    log.ends.put([(1, [0], 1, None)])
    log.close()
    acknowledgements.close()
    assert future.result(timeout=0).offsets == (0,)
