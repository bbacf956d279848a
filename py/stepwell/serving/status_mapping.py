"""Errors as gRPC statuses: the one table of this border."""

from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from stepwell.base.errors import (
    InvalidArgumentError,
    ResourceExhaustedError,
    StepwellError,
)

_DETAILS_KEY = "grpc-status-details-bin"
_PUSHBACK_KEY = "grpc-retry-pushback-ms"
_INTERNAL_TEXT = "internal error; the server's log has the cause under this request id"


@dataclass(frozen=True, slots=True)
class WireStatus:
    """What a failed call answers: code, text for people, trailing metadata."""

    code: grpc.StatusCode
    message: str
    metadata: tuple[tuple[str, str | bytes], ...] = ()


def wire_status(error: Exception) -> WireStatus:
    """Returns the status of an error.

    A StepwellError travels under its own code with google.rpc details: BadRequest for a
    bad field, RetryInfo and push-back for a shed request. Any other error is a bug: its
    text stays in the log.
    """
    if not isinstance(error, StepwellError):
        return WireStatus(grpc.StatusCode.INTERNAL, _INTERNAL_TEXT)
    code = grpc.StatusCode[error.code]
    details = _details(error)
    if not details:
        return WireStatus(code, str(error))
    status = status_pb2.Status(
        code=code.value[0], message=str(error), details=[_packed(d) for d in details]
    )
    metadata: list[tuple[str, str | bytes]] = [
        (_DETAILS_KEY, status.SerializeToString())
    ]
    if isinstance(error, ResourceExhaustedError):
        metadata.append((_PUSHBACK_KEY, str(error.retry_after_ms)))
    return WireStatus(code, str(error), tuple(metadata))


def _details(error: StepwellError) -> list[Message]:
    if isinstance(error, InvalidArgumentError):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=str(error)
        )
        return [error_details_pb2.BadRequest(field_violations=[violation])]
    if isinstance(error, ResourceExhaustedError) and error.retry_after_ms >= 0:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(error.retry_after_ms)
        return [error_details_pb2.RetryInfo(retry_delay=delay)]
    return []


def _packed(detail: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
