"""The loop of the generator's own process: calls leave when due, answers are noted.

It sleeps in select() on its epoll descriptor, because that wakes to the microsecond and
epoll's own timeout does not. Nothing is parsed while it runs.
"""

import errno
import heapq
import random
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

from header_blocks import decoded
from http2_connection import UNAVAILABLE, Connection
from lanes import Lane
from stepwell.base.errors import UnavailableError
from stepwell.base.retry_budget import RetryBudget
from stepwell.client.failures import Failure
from stepwell.client.retry_policy import retry_delay_us

_CONNECT_SECONDS = 10.0
_BACKOFF_SECONDS = 0.1
# A wake-up costs more than a call. Where calls come this close, several are sent and
# read at each; what that adds to latency counts against the server.
_CLOSE_SECONDS = 0.000_25
_TICK_SECONDS = 0.000_4
_HEAD_START_SECONDS = 0.05
_DEADLINE_EXCEEDED = 4
_UNKNOWN = 2
# A server that stops cancels what reaches it before its word that it stops is heard.
_RETRIED = (1, UNAVAILABLE)
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT


@dataclass(slots=True)
class Outcomes:
    """What came of each call, in order of the schedule; seconds from the start.

    Attributes:
        sent_s: when the first attempt left; 0 when none did.
        done_s: when the answer was there or the call was given up.
        blocks: last headers of the answer, b"" where there were none.
        bodies: the answer with gRPC's prefix.
        local_status: gRPC code where the caller itself knows it, -1 where `blocks`
            does.
        attempts: how often it was sent.
        cpu_s, seconds: processor and wall time of the run.
    """

    sent_s: list[float]
    done_s: list[float]
    blocks: list[bytes]
    bodies: list[bytes]
    local_status: list[int]
    attempts: list[int]
    cpu_s: float = 0.0
    seconds: float = 0.0

    @classmethod
    def of(cls, size: int) -> "Outcomes":
        """Returns room for `size` calls."""
        zeros = [0.0] * size
        nothing = [b""] * size
        return cls(zeros, zeros[:], nothing, nothing[:], [_UNKNOWN] * size, [0] * size)


@dataclass(slots=True)
class _Route:
    """A lane as the loop wants it."""

    lane: Lane
    messages: list[bytes]
    budget: RetryBudget | None
    waiting: deque[int] = field(default_factory=deque)

    @classmethod
    def of(cls, lane: Lane) -> "_Route":
        messages = [b"\0" + len(m).to_bytes(4, "big") + m for m in lane.requests]
        retries = lane.retries
        budget = None
        if retries is not None:
            budget = RetryBudget(retries.budget_permille, retries.budget_tokens)
        return cls(lane, messages, budget)


class CallLoop:
    """Makes the calls of one schedule over many connections.

    Args:
        address: host:port of the server.
        lanes: kinds of calls.
        num_connections: opened before the first call, each call takes the next.

    Concurrency: one thread; one `run` in its life.
    """

    def __init__(
        self, address: str, lanes: Sequence[Lane], num_connections: int = 64
    ) -> None:
        host, _, port = address.rpartition(":")
        self._where = (host.strip("[]"), int(port))
        self._address = address
        self._routes = [_Route.of(lane) for lane in lanes]
        self._num_connections = num_connections
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Connection] = {}
        self._ready: list[Connection] = []
        self._turn = 0
        self._reconnect_s: list[float] = []
        self._random = random.Random(1)
        self._reset(0)

    def _reset(self, size: int) -> None:
        self._outcomes = Outcomes.of(size)
        self.bodies = self._outcomes.bodies
        self._known_blocks: dict[bytes, bytes] = {}
        self._home: list[tuple[Connection, int] | None] = [None] * size
        self._resent: set[int] = set()
        self._unplaced: deque[int] = deque()
        self._retries: list[tuple[float, int]] = []
        self._num_open = 0
        self._start = self._now = 0.0

    def prepare(self, due_s: list[float], lane: list[int]) -> None:
        """Takes the schedule, and connects.

        Args:
            due_s: ascending seconds from the start.
            lane: number of each call's lane.
        Raises:
            UnavailableError: nobody answers at the address.
        """
        self._reset(len(due_s))
        self._due, self._lane = due_s, lane
        turns = [cycle(route.messages) for route in self._routes]
        self._messages = [next(turns[number]) for number in lane]
        for _ in range(self._num_connections):
            self._connect()
        limit = time.perf_counter() + _CONNECT_SECONDS
        while len(self._ready) < self._num_connections:
            if self._reconnect_s or time.perf_counter() > limit:
                raise UnavailableError(f"nobody answers at {self._address}")
            self._handle_events(0.1)

    def run(self, start: float | None = None) -> Outcomes:
        """Makes the calls and returns once each has an answer or was given up.

        Args:
            start: time.perf_counter() from which the schedule counts; default: soon.
        """
        self._start = start or time.perf_counter() + _HEAD_START_SECONDS
        cpu = time.process_time()
        due, size, sent = self._due, len(self._due), 0
        while sent < size or self._num_open:
            now = self._now = time.perf_counter() - self._start
            while sent < size and due[sent] <= now:
                self._first_attempt(sent)
                sent += 1
            wake_s = self._housekeeping(now)
            if sent < size and due[sent] < wake_s:
                wake_s = due[sent]
            patience_s = wake_s - (time.perf_counter() - self._start)
            if 0 < patience_s < _CLOSE_SECONDS:
                time.sleep(_TICK_SECONDS)
                patience_s = 0.0
            self._handle_events(patience_s)
        self._outcomes.seconds = time.perf_counter() - self._start
        self._outcomes.cpu_s = time.process_time() - cpu
        self._close()
        return self._outcomes

    def _first_attempt(self, call: int) -> None:
        route = self._routes[self._lane[call]]
        self._num_open += 1
        self._outcomes.sent_s[call] = time.perf_counter() - self._start
        route.waiting.append(call)
        if route.budget is not None:
            route.budget.on_first_attempt()
        self._attempt(call)

    def _attempt(self, call: int) -> None:
        self._outcomes.attempts[call] += 1
        self._place(call)

    def _place(self, call: int) -> None:
        """Sends a call on the next connection that has room."""
        route = self._routes[self._lane[call]]
        message = self._messages[call]
        ready = self._ready
        for _ in range(len(ready)):
            self._turn += 1
            connection = ready[self._turn % len(ready)]
            if connection.has_room(len(message)):
                break
        else:
            self._wait_for_room(call)
            return
        left_s = self._due[call] + route.lane.deadline_ms / 1e3 - self._now
        stream = connection.begin(call, route.lane.method, message, int(left_s * 1e6))
        self._home[call] = (connection, stream)
        if connection.wants_write and not connection.closed:
            self._watch(connection)

    def _wait_for_room(self, call: int) -> None:
        # As the product's client: calls wait while a connection is on its way, else
        # they fail at once; a second attempt waits for as long as the call has.
        if self._by_descriptor or self._outcomes.attempts[call] > 1:
            self._unplaced.append(call)
        else:
            self._failed(call, UNAVAILABLE)

    def _housekeeping(self, now: float) -> float:
        """Gives up what is overdue, retries, reconnects; returns when to come again."""
        wake_s = now + 0.5
        for route in self._routes:
            wake_s = min(wake_s, self._expire(route, now))
        while self._retries and self._retries[0][0] <= now:
            _, call = heapq.heappop(self._retries)
            if not self._outcomes.done_s[call]:
                self._attempt(call)
        if self._retries:
            wake_s = min(wake_s, self._retries[0][0])
        while self._reconnect_s and self._reconnect_s[0] <= now:
            self._reconnect_s.pop(0)
            self._connect()
        if self._reconnect_s:
            wake_s = min(wake_s, self._reconnect_s[0])
        if self._unplaced and self._ready:
            waiting, self._unplaced = self._unplaced, deque()
            for call in waiting:
                if not self._outcomes.done_s[call]:
                    self._place(call)
        return wake_s

    def _expire(self, route: _Route, now: float) -> float:
        """Gives up what is overdue in a lane; returns when the next call will be."""
        done, waiting = self._outcomes.done_s, route.waiting
        span = route.lane.deadline_ms / 1e3
        while waiting:
            call = waiting[0]
            if not done[call]:
                if self._due[call] + span > now:
                    return self._due[call] + span
                home = self._home[call]
                if home is not None:
                    home[0].cancel(home[1])
                self._finish(call, _DEADLINE_EXCEEDED)
            waiting.popleft()
        return now + 1.0

    def _finish(self, call: int, local_status: int) -> None:
        self._outcomes.done_s[call] = time.perf_counter() - self._start
        self._outcomes.local_status[call] = local_status
        self._home[call] = None
        self._num_open -= 1

    def on_end(self, call: int, block: bytes) -> None:
        """Notes an answer, or tries again."""
        block = self._known_blocks.setdefault(block, block)
        self._outcomes.blocks[call] = block
        if self._routes[self._lane[call]].budget is None:
            self._finish(call, -1)
            return
        status, pushback_ms = status_of(block)
        if not self._tried_again(call, status, pushback_ms):
            self._finish(call, -1)

    def on_lost(self, call: int, unseen: bool) -> None:
        """Notes that there will be no answer, or tries again."""
        if unseen and call not in self._resent:
            self._resent.add(call)  # the server never saw it: no attempt is counted
            self._unplaced.append(call)
            return
        self._failed(call, UNAVAILABLE)

    def _failed(self, call: int, status: int) -> None:
        if not self._tried_again(call, status, None):
            self._finish(call, status)

    def _tried_again(self, call: int, status: int, pushback_ms: int | None) -> bool:
        route = self._routes[self._lane[call]]
        if route.budget is None or route.lane.retries is None:
            return False
        if status not in _RETRIED:
            return False
        left_s = self._due[call] + route.lane.deadline_ms / 1e3 - self._now
        failure = Failure(UnavailableError(""), "UNAVAILABLE", pushback_ms)
        delay_us = retry_delay_us(
            failure,
            self._outcomes.attempts[call],
            int(left_s * 1e6),
            self._random.random(),
            route.lane.retries,
        )
        if delay_us is None or not route.budget.try_spend():
            return False
        self._outcomes.bodies[call] = b""
        heapq.heappush(self._retries, (self._now + delay_us / 1e6, call))
        return True

    def _connect(self) -> None:
        family = socket.AF_INET6 if ":" in self._where[0] else socket.AF_INET
        plug = socket.socket(family, socket.SOCK_STREAM)
        plug.setblocking(False)
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(plug, self._address, self)
        if plug.connect_ex(self._where) not in (0, errno.EINPROGRESS):
            plug.close()
            self._reconnect_s.append(self._now + _BACKOFF_SECONDS)
            return
        self._by_descriptor[plug.fileno()] = connection
        self._epoll.register(plug.fileno(), _WRITE)

    def _watch(self, connection: Connection) -> None:
        mask = _READ | _WRITE if connection.wants_write else _READ
        self._epoll.modify(connection.socket.fileno(), mask)

    def _handle_events(self, patience_s: float) -> None:
        if patience_s > 0:
            select.select([self._epoll], [], [], patience_s)
        for descriptor, mask in self._epoll.poll(0):
            connection = self._by_descriptor.get(descriptor)
            if connection is None:
                continue
            if mask & _WRITE:
                self._on_writable(connection)
            if mask & ~_WRITE and not connection.closed:
                connection.on_readable()
                if connection.draining and not connection.streams:
                    connection.close()
                elif connection.wants_write:
                    self._watch(connection)

    def _on_writable(self, connection: Connection) -> None:
        plug = connection.socket
        if not connection.wants_write and not connection.ready:  # just connected
            if plug.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                connection.close()
                return
            connection.open()
        else:
            connection.on_writable()
        if not connection.closed:
            self._watch(connection)

    def on_ready(self, connection: Connection) -> None:
        """Takes a connection among those that calls go to."""
        self._ready.append(connection)

    def on_leaving(self, connection: Connection) -> None:
        """Calls no longer go to a connection; another one is made in its place."""
        if connection in self._ready:
            self._ready.remove(connection)
        if connection.closed:
            self._by_descriptor.pop(connection.socket.fileno(), None)
        if connection.draining and not connection.closed:
            self._reconnect_s.insert(0, self._now)
        elif not connection.draining:
            self._reconnect_s.append(self._now + _BACKOFF_SECONDS)
        if not self._by_descriptor:
            waiting, self._unplaced = self._unplaced, deque()
            for call in waiting:
                if self._outcomes.attempts[call] > 1:
                    self._unplaced.append(call)
                elif not self._outcomes.done_s[call]:
                    self._failed(call, UNAVAILABLE)

    def _close(self) -> None:
        # No call is open any more, so nothing is lost and nothing comes of this.
        for connection in list(self._by_descriptor.values()):
            connection.close()
        self._epoll.close()


def status_of(block: bytes) -> tuple[int, int | None]:
    """Returns gRPC code and push-back (ms) of an answer's last headers."""
    try:
        headers = decoded(block)
        status = int(headers.get("grpc-status", _UNKNOWN))
        pushback = headers.get("grpc-retry-pushback-ms")
        return status, int(pushback) if pushback is not None else None
    except ValueError:
        return _UNKNOWN, None
