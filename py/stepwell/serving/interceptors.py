"""What every call passes: parsing, request id, metrics, and errors made statuses."""

import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from stepwell.base.errors import InvalidArgumentError, StepwellError
from stepwell.base.metric_names import GRPC_HANDLED, GRPC_HANDLING, VALIDATION_FAILURES
from stepwell.base.metrics import Metrics
from stepwell.serving.status_mapping import wire_status

REQUEST_ID_KEY = "x-request-id"
"""Metadata key under which an answer names its request, errors included."""

_log = structlog.get_logger(__name__)

Behaviour = Callable[[Any, "grpc.aio.ServicerContext[Any, Any]"], Awaitable[Any]]


if TYPE_CHECKING:
    _Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:  # generic in the stubs only
    _Interceptor = grpc.aio.ServerInterceptor


class BorderInterceptor(_Interceptor):
    """Stands before every unary method of the services it is told of.

    A request that is no message of its type (malformed, or a string that is not UTF-8)
    is the caller's mistake and answered as such. A StepwellError becomes its status;
    any other exception is logged whole and answered as INTERNAL.

    Args:
        metrics: counts calls by service, method and code, and times them.
        requests: message class of each method, "/package.Service/Method" -> class.
            Methods that are not listed, such as health checks, pass untouched.

    Concurrency: one event loop.
    """

    def __init__(self, metrics: Metrics, requests: dict[str, type[Message]]) -> None:
        self._metrics = metrics
        self._requests = requests

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], "Awaitable[grpc.RpcMethodHandler[Any, Any]]"
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any]":
        """Returns the method's handler, wrapped."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        behaviour: Any = handler and handler.unary_unary
        if behaviour is None or method not in self._requests:
            return handler
        given = dict(handler_call_details.invocation_metadata).get(REQUEST_ID_KEY, "")
        call = _Call(self._metrics, method, self._requests[method], _request_id(given))
        return grpc.unary_unary_rpc_method_handler(
            call.wrapped(behaviour),
            request_deserializer=None,  # bytes: we parse, and own the error
            response_serializer=handler.response_serializer,
        )


class _Call:
    """One call of a listed method."""

    def __init__(
        self,
        metrics: Metrics,
        method: str,
        request_type: type[Message],
        request_id: str,
    ) -> None:
        self._metrics = metrics
        _, service, self._method = method.split("/")
        self._service = service.rsplit(".", 1)[-1]
        self._request_type = request_type
        self._request_id = request_id

    def wrapped(self, behaviour: Behaviour) -> Behaviour:
        async def call(
            raw: bytes, context: "grpc.aio.ServicerContext[Any, Any]"
        ) -> Any:
            started = time.perf_counter()
            code = grpc.StatusCode.CANCELLED
            try:
                response = await behaviour(self._parsed(raw), context)
                code = grpc.StatusCode.OK
                return response
            except Exception as error:  # noqa: BLE001 - the border: none may pass
                status = self._status(error)
                code = status.code
                metadata = (*status.metadata, (REQUEST_ID_KEY, self._request_id))
                await context.abort(status.code, status.message, metadata)
            finally:
                self._count(code, time.perf_counter() - started)

        return call

    def _parsed(self, raw: bytes) -> Message:
        try:
            return self._request_type.FromString(raw)
        except DecodeError:
            name = self._request_type.DESCRIPTOR.full_name
            text = (
                f"request is {len(raw)} bytes that are no {name}: "
                "malformed, or a string that is not UTF-8"
            )
            raise InvalidArgumentError(text, "request") from None

    def _status(self, error: Exception) -> Any:
        if isinstance(error, InvalidArgumentError):
            # The field without its place in a list: labels must stay few.
            field = error.field.split("[")[0] or "unknown"
            self._metrics.add(VALIDATION_FAILURES, field)
        elif not isinstance(error, StepwellError):
            _log.error(
                "request failed",
                method=self._method,
                request_id=self._request_id,
                exc_info=error,
            )
        return wire_status(error)

    def _count(self, code: grpc.StatusCode, seconds: float) -> None:
        self._metrics.add(GRPC_HANDLED, self._service, self._method, code.name)
        self._metrics.observe(GRPC_HANDLING, seconds, self._service, self._method)


def _request_id(given: str | bytes) -> str:
    text = given.decode("ascii", "replace") if isinstance(given, bytes) else given
    return text[:256] or uuid.uuid4().hex
