"""The border of a grpc.aio server's methods."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.message import Message

from stepwell.base.errors import UnavailableError
from stepwell.base.metrics import Metrics
from stepwell.serving.method_border import MethodBorder
from stepwell.serving.registered_methods import RegisteredMethods

if TYPE_CHECKING:
    from stepwell.serving.registered_methods import Handler

    _Context = grpc.aio.ServicerContext[Any, Any]
    _GenericHandler = grpc.GenericRpcHandler[Any, Any]
else:  # generic in the stubs only
    _GenericHandler = grpc.GenericRpcHandler


class Border(RegisteredMethods, _GenericHandler):
    """Stands before every method of the services that are added to it.

    Every call passes its method's MethodBorder. A servicer may return a message or its
    serialized bytes. A method takes and gives one message, or a stream of them.

    To the server it is the one handler of these services. All is resolved before the
    first call: an interceptor would be asked at every one.

    Args:
        metrics: counts calls by service, method and code, and times them.
        max_message_bytes: of a request; a larger one that the server has read
            nevertheless is RESOURCE_EXHAUSTED. None leaves that to the server.

    Concurrency: one event loop. Cost: about 5 us a call.
    """

    def __init__(self, metrics: Metrics, max_message_bytes: int | None = None) -> None:
        self._metrics = metrics
        self._max_message_bytes = max_message_bytes
        self._handlers: dict[str, Handler] = {}
        self._draining = asyncio.Event()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Returns the method's handler, None for a method of no service here."""
        return self._handlers.get(handler_call_details.method)

    def take_in(self, path: str, handler: "Handler", request: type[Message]) -> None:
        """Takes one method in, behind its border."""
        limit = self._max_message_bytes
        border = MethodBorder(self._metrics, path, request, limit)
        if handler.stream_stream is not None:
            stream = _Stream(handler.stream_stream, border, self._draining)
            taken = grpc.stream_stream_rpc_method_handler(stream.answer)
        else:
            method = _Method(handler.unary_unary, border)
            taken = grpc.unary_unary_rpc_method_handler(method.answer)
        self._handlers[path] = taken

    def drain(self) -> None:
        """Reads no further message of any stream; what was read is answered."""
        self._draining.set()


class _Method:
    """One method of a service: bytes in, bytes out."""

    def __init__(self, behaviour: Any, border: MethodBorder[Message]) -> None:
        self._behaviour = behaviour
        self._border = border

    async def answer(self, raw: bytes, context: "_Context") -> bytes:
        """Returns the serialized response, or ends the call with a status."""
        started = time.perf_counter()
        try:
            response = await self._behaviour(self._border.parsed(raw), context)
            raw = _serialized(response)
        except Exception as error:  # noqa: BLE001 - the border: none may pass
            await _fail(self._border, error, context, started)
        except asyncio.CancelledError:
            _count(self._border, grpc.StatusCode.CANCELLED, started)
            raise
        _count(self._border, grpc.StatusCode.OK, started)
        return raw


class _Stream:
    """One method whose requests and responses are streams of bytes."""

    def __init__(
        self, behaviour: Any, border: MethodBorder[Message], draining: asyncio.Event
    ) -> None:
        self._behaviour = behaviour
        self._border = border
        self._draining = draining

    async def answer(
        self, raws: AsyncIterator[bytes], context: "_Context"
    ) -> AsyncIterator[bytes]:
        """Yields the serialized responses, or ends the call with a status."""
        started = time.perf_counter()
        try:
            asked = self._behaviour(self._requests(raws), context)
            async with aclosing(asked) as responses:
                async for response in responses:
                    yield _serialized(response)
        except Exception as error:  # noqa: BLE001 - the border: none may pass
            await _fail(self._border, error, context, started)
        except (asyncio.CancelledError, GeneratorExit):
            _count(self._border, grpc.StatusCode.CANCELLED, started)
            raise
        _count(self._border, grpc.StatusCode.OK, started)

    async def _requests(self, raws: AsyncIterator[bytes]) -> AsyncIterator[Message]:
        """Yields the messages that come before the server drains.

        Raises:
            InvalidArgumentError: bytes that are no message.
            UnavailableError: the server drains; the producer goes on elsewhere.
        """
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            while (raw := await _first_of(anext(raws, None), draining)) is not None:
                yield self._border.parsed(raw)
        finally:
            draining.cancel()


async def _first_of(
    message: Awaitable[bytes | None], draining: "asyncio.Future[Any]"
) -> bytes | None:
    """Returns a message when it has come; raises UnavailableError at the drain."""
    reading = asyncio.ensure_future(message)
    try:
        both = (reading, draining)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            raise UnavailableError("the server drains")
        return reading.result()
    finally:
        reading.cancel()


async def _fail(
    border: MethodBorder[Message], error: Exception, context: "_Context", started: float
) -> NoReturn:
    """Ends a call with the status of an error."""
    status = border.failure(error, context.invocation_metadata() or ())
    # Before the caller knows: who looks at the counter then finds the call.
    _count(border, status.code, started)
    await context.abort(status.code, status.message, status.metadata)


def _count(
    border: MethodBorder[Message], code: grpc.StatusCode, started: float
) -> None:
    border.count(code, time.perf_counter() - started)


def _serialized(response: Any) -> bytes:
    raw: bytes = response if type(response) is bytes else response.SerializeToString()
    return raw
