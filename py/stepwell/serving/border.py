"""The border of a grpc.aio server's unary methods."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import Message

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
    """Stands before every unary method of the services that are added to it.

    Every call passes its method's MethodBorder. A servicer may return a message or its
    serialized bytes.

    To the server it is the one handler of these services. All is resolved before the
    first call: an interceptor would be asked at every one.

    Args:
        metrics: counts calls by service, method and code, and times them.

    Concurrency: one event loop. Cost: about 5 us a call.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._handlers: dict[str, Handler] = {}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Returns the method's handler, None for a method of no service here."""
        return self._handlers.get(handler_call_details.method)

    def take_in(self, path: str, handler: "Handler", request: type[Message]) -> None:
        """Takes one method in, behind its border."""
        border = MethodBorder(self._metrics, path, request)
        method = _Method(handler.unary_unary, border)
        self._handlers[path] = grpc.unary_unary_rpc_method_handler(method.answer)


class _Method:
    """One method of a service: bytes in, bytes out."""

    def __init__(self, behaviour: Any, border: MethodBorder[Message]) -> None:
        self._behaviour = behaviour
        self._border = border

    async def answer(self, raw: bytes, context: "_Context") -> bytes:
        """Returns the serialized response, or ends the call with a status."""
        started = time.perf_counter()

        def count(code: grpc.StatusCode) -> None:
            self._border.count(code, time.perf_counter() - started)

        try:
            response = await self._behaviour(self._border.parsed(raw), context)
            raw = response if type(response) is bytes else response.SerializeToString()
        except Exception as error:  # noqa: BLE001 - the border: none may pass
            status = self._border.failure(error, context.invocation_metadata() or ())
            # Before the caller knows: who looks at the counter then finds the call.
            count(status.code)
            await context.abort(status.code, status.message, status.metadata)
        except asyncio.CancelledError:
            count(grpc.StatusCode.CANCELLED)
            raise
        count(grpc.StatusCode.OK)
        return raw
