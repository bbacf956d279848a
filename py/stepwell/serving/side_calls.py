"""Calls that the event loop answers: every method of the front that has no queue.

Feedback, health and reflection come to the loop through here. Their servicers are those
that a gRPC server would have; what a context would give them none of them asks for.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import Message

from stepwell.base.errors import (
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from stepwell.base.metrics import Metrics
from stepwell.front.call import Call
from stepwell.front.front import Front, Method, SideEvent, SideKind
from stepwell.serving.method_border import MethodBorder
from stepwell.serving.registered_methods import RegisteredMethods
from stepwell.serving.validation import entry_limits

if TYPE_CHECKING:
    from stepwell.serving.registered_methods import Handler


MAX_OPEN = 1_024
"""Side calls at a time: as many as the front has connections, each with a watch."""

MAX_OPEN_BYTES = 64 * 1024 * 1024
"""Of the requests of these calls: events wait here while the disk is slow."""

MAX_WAITING_MESSAGES = 64
"""Messages of one stream that its servicer has not come to."""

_RETRY_MS = 1_000
_OK = grpc.StatusCode.OK


class SideMethods(RegisteredMethods):
    """The methods that are answered on the side.

    Args:
        metrics: counts calls by service, method and code, and times them.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._methods: list[_SideMethod] = []

    def take_in(self, path: str, handler: "Handler", request: type[Message]) -> None:
        """Takes one method in, behind the others."""
        border = MethodBorder(self._metrics, path, request)
        self._methods.append(_SideMethod(path, handler, request, border))

    def options(self) -> list[Method]:
        """Returns what the front must know of each, in order."""
        return [method.options() for method in self._methods]

    def __getitem__(self, place: int) -> "_SideMethod":
        return self._methods[place]


class SideCalls:
    """Takes the front's side calls and answers each in a task of its own.

    Args:
        front: whose side events it takes; the only one to do so.
        methods: what is answered here.
        first: the front's number of the first of them; the others follow.

    Concurrency: one event loop. At most MAX_OPEN calls are under way, and at most
    MAX_OPEN_BYTES of their requests; one more is RESOURCE_EXHAUSTED.
    """

    def __init__(self, front: Front, methods: SideMethods, first: int) -> None:
        self._front = front
        self._methods = methods
        self._first = first
        self._open: dict[Call, _OpenCall] = {}
        self._held = _Held()

    def start(self) -> None:
        """Takes calls from here on, on the running loop."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._front.side_fd, self._take)

    def drain(self) -> None:
        """Takes nothing more of streams; what came is answered, then they end."""
        for opened in self._open.values():
            if opened.method.takes_many:
                opened.drain()

    async def close(self) -> None:
        """Takes nothing more and ends what is under way."""
        asyncio.get_running_loop().remove_reader(self._front.side_fd)
        ended = [opened.end() for opened in self._open.values()]
        await asyncio.gather(*ended, return_exceptions=True)

    def _take(self) -> None:
        for event in self._front.take_side():
            opened = self._open.get(event.call)
            if event.kind is SideKind.CANCELLED:
                if opened is not None:
                    opened.task.cancel()
            elif opened is not None:
                opened.follow(event)
            else:
                self._begin(event)

    def _begin(self, event: SideEvent) -> None:
        call = event.call
        if call.is_cancelled:
            return
        method = self._methods[call.method - self._first]
        if len(self._open) >= MAX_OPEN or not self._held.has_room(event.message):
            text = f"{len(self._open)} calls are under way"
            method.refuse(call, ResourceExhaustedError(text, _RETRY_MS))
            return
        opened = self._open[call] = _OpenCall(method, call, self._held)
        opened.follow(event)
        opened.task.add_done_callback(lambda _: self._ended(call))

    def _ended(self, call: Call) -> None:
        self._open.pop(call).messages.close()


@dataclass(slots=True)
class _Held:
    """Bytes of requests that are not done with, all calls together."""

    num_bytes: int = 0

    def has_room(self, message: bytes) -> bool:
        return self.num_bytes + len(message) <= MAX_OPEN_BYTES


class _Messages:
    """What a call has sent and its task has not come to.

    Of a stream a message is held until it is taken, of another call until that ends.
    """

    def __init__(self, held: _Held, are_many: bool) -> None:
        self._waiting: asyncio.Queue[bytes | UnavailableError | None] = asyncio.Queue()
        self._held = held
        self._are_many = are_many
        self._num_bytes = 0

    def __len__(self) -> int:
        return self._waiting.qsize()

    def put(self, message: bytes | UnavailableError | None) -> bool:
        """Adds a message, the caller's end (None) or the server's; False: too many."""
        if isinstance(message, bytes):
            is_full = len(self) >= MAX_WAITING_MESSAGES
            if is_full or not self._held.has_room(message):
                return False
            self._hold(len(message))
        self._waiting.put_nowait(message)
        return True

    async def next(self) -> bytes | None:
        """Returns the next message, None at the caller's end."""
        message = await self._waiting.get()
        if isinstance(message, UnavailableError):
            raise message
        if message is not None and self._are_many:
            self._hold(-len(message))
        return message

    def close(self) -> None:
        """Holds nothing any more."""
        self._hold(-self._num_bytes)

    def _hold(self, num_bytes: int) -> None:
        self._num_bytes += num_bytes
        self._held.num_bytes += num_bytes


class _OpenCall:
    """A call under way: its task, and the messages that the task has not come to."""

    def __init__(self, method: "_SideMethod", call: Call, held: "_Held") -> None:
        self.method = method
        self.messages = _Messages(held, method.takes_many)
        self._call = call
        self.task = asyncio.ensure_future(method.answer(call, self.messages))

    def follow(self, event: SideEvent) -> None:
        """Passes a message on, or that none will follow."""
        is_message = event.kind is SideKind.MESSAGE
        if self.messages.put(event.message if is_message else None):
            return
        text = f"{len(self.messages)} messages wait for their answers"
        self.method.refuse(self._call, ResourceExhaustedError(text, _RETRY_MS))
        self.task.cancel()

    def drain(self) -> None:
        """Lets its servicer find that the server drains, behind what has come."""
        self.messages.put(UnavailableError("the server drains"))

    def end(self) -> "asyncio.Future[None]":
        """Ends it, because the server does; returns what is done when it has ended."""
        # Here and not in the task, which may not have begun.
        self._call.fail(grpc.StatusCode.UNAVAILABLE.value[0], "the server drains")
        self.task.cancel()
        return self.task


class _SideMethod:
    """One method: what the front gives of a call in, its answer or its status out."""

    def __init__(
        self,
        path: str,
        handler: "Handler",
        request: type[Message],
        border: MethodBorder[Message],
    ) -> None:
        self.path = path
        self.takes_many = bool(handler.request_streaming)
        self._sends_many = bool(handler.response_streaming)
        self._behaviour: Any = (
            handler.stream_stream or handler.unary_stream or handler.unary_unary
        )
        self._request = request
        self._border = border

    def options(self) -> Method:
        """Returns what the front must know of it."""
        if self.takes_many or self._sends_many:
            return Method(self.path, streaming=True)
        return Method(self.path, entry_limits=entry_limits(self._request))

    async def answer(self, call: Call, messages: _Messages) -> None:
        """Answers a call; whatever goes wrong becomes its status."""
        started = time.perf_counter()
        code = grpc.StatusCode.CANCELLED
        try:
            if self._sends_many:
                await self._stream(call, messages)
            else:
                self._border.check_entries(call)
                response = await self._behaviour(await self._only(messages), None)
                call.answer(response.SerializeToString())
            code = _OK
        except Exception as error:  # noqa: BLE001 - the border: none may pass
            code = self.refuse(call, error)
        finally:
            self._border.count(code, time.perf_counter() - started)

    def refuse(self, call: Call, error: Exception) -> grpc.StatusCode:
        """Ends a call with the status of an error; returns its code."""
        status = self._border.failure(error, call.metadata)
        call.fail(status.code.value[0], status.message, status.metadata)
        return status.code

    async def _stream(self, call: Call, messages: _Messages) -> None:
        asked: Any = self._all(messages) if self.takes_many else None
        responses = self._behaviour(asked or await self._only(messages), None)
        async with aclosing(responses):
            async for response in responses:
                call.send(response.SerializeToString())
        call.fail(_OK.value[0], "")

    async def _only(self, messages: _Messages) -> Message:
        raw = await messages.next()
        if raw is None:
            raise InvalidArgumentError("request is missing: none was sent", "request")
        return self._border.parsed(raw)

    async def _all(self, messages: _Messages) -> AsyncIterator[Message]:
        while (raw := await messages.next()) is not None:
            yield self._border.parsed(raw)
