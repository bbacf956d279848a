"""What every call passes: parsing, request id, metrics, and errors made statuses."""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from stepwell.base.errors import InvalidArgumentError, StepwellError
from stepwell.base.metric_names import GRPC_HANDLED, GRPC_HANDLING, VALIDATION_FAILURES
from stepwell.base.metrics import CounterSeries, Metrics
from stepwell.serving.status_mapping import WireStatus, wire_status

REQUEST_ID_KEY = "x-request-id"
"""Metadata key under which a failed call names its request."""

_log = structlog.get_logger(__name__)

if TYPE_CHECKING:
    _Context = grpc.aio.ServicerContext[Any, Any]
    _Handler = grpc.RpcMethodHandler[Any, Any]
    _GenericHandler = grpc.GenericRpcHandler[Any, Any]
else:  # generic in the stubs only
    _GenericHandler = grpc.GenericRpcHandler


class Border(_GenericHandler):
    """Stands before every unary method of the services that are added to it.

    A request that is no message of its type (malformed, or a string that is not UTF-8)
    is the caller's mistake and answered as such. A StepwellError becomes its status;
    any other exception is logged whole and answered as INTERNAL. A servicer may return
    a message or its serialized bytes.

    To the generated `add_*Servicer_to_server` it is the server; to the server it is the
    one handler of these services. All is resolved before the first call: an interceptor
    would be asked at every one.

    Args:
        metrics: counts calls by service, method and code, and times them.

    Concurrency: one event loop. Cost: about 5 us a call.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._handlers: dict[str, _Handler] = {}

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "_Handler | None":
        """Returns the method's handler, None for a method of no service here."""
        return self._handlers.get(handler_call_details.method)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, "_Handler"]
    ) -> None:
        """Takes a service in, as generated code registers it."""
        for name, handler in method_handlers.items():
            method = _Method(self._metrics, service_name.split(".")[-1], name, handler)
            self._handlers[f"/{service_name}/{name}"] = (
                grpc.unary_unary_rpc_method_handler(method.answer)
            )

    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: "Sequence[_GenericHandler]"
    ) -> None:
        """The other way in which generated code registers the same handlers."""


class _Method:
    """One method of a service: bytes in, bytes out."""

    def __init__(
        self, metrics: Metrics, service: str, name: str, handler: "_Handler"
    ) -> None:
        self._metrics = metrics
        self._labels = (service, name)
        self._behaviour: Any = handler.unary_unary
        self._parse: Any = handler.request_deserializer
        self._seconds = metrics.histogram(GRPC_HANDLING, *self._labels)
        self._handled: dict[grpc.StatusCode, CounterSeries] = {}

    async def answer(self, raw: bytes, context: "_Context") -> bytes:
        """Returns the serialized response, or ends the call with a status."""
        started = time.perf_counter()
        code = grpc.StatusCode.CANCELLED
        try:
            response = await self._behaviour(self._parsed(raw), context)
            code = grpc.StatusCode.OK
            return response if type(response) is bytes else response.SerializeToString()
        except Exception as error:  # noqa: BLE001 - the border: none may pass
            request_id = _request_id(context)
            status = self._status(error, request_id)
            code = status.code
            metadata = (*status.metadata, (REQUEST_ID_KEY, request_id))
            await context.abort(status.code, status.message, metadata)
        finally:
            self._count(code, time.perf_counter() - started)

    def _parsed(self, raw: bytes) -> Any:
        try:
            return self._parse(raw)
        except DecodeError:
            name = self._parse.__self__.DESCRIPTOR.full_name
            text = (
                f"request is {len(raw)} bytes that are no {name}: "
                "malformed, or a string that is not UTF-8"
            )
            raise InvalidArgumentError(text, "request") from None

    def _status(self, error: Exception, request_id: str) -> WireStatus:
        if isinstance(error, InvalidArgumentError):
            # The field without its place in a list: labels must stay few.
            field = error.field.split("[")[0] or "unknown"
            self._metrics.add(VALIDATION_FAILURES, field)
        elif not isinstance(error, StepwellError):
            _log.error(
                "request failed",
                method=self._labels[1],
                request_id=request_id,
                exc_info=error,
            )
        return wire_status(error)

    def _count(self, code: grpc.StatusCode, seconds: float) -> None:
        handled = self._handled.get(code)
        if handled is None:
            handled = self._metrics.counter(GRPC_HANDLED, *self._labels, code.name)
            self._handled[code] = handled
        handled.add()
        self._seconds.observe(seconds)


def _request_id(context: "_Context") -> str:
    """The id that the caller gave the call, or a new one."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and value:
            text = value.decode("ascii", "replace") if type(value) is bytes else value
            return str(text)[:256]
    return uuid.uuid4().hex
