"""gRPC failures as errors of base.errors: the one table of the client's border."""

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from stepwell.base import errors

DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"

_ERRORS: dict[str, type[errors.StepwellError]] = {
    error.code: error
    for error in (
        errors.NotFoundError,
        errors.AlreadyExistsError,
        errors.FailedPreconditionError,
        errors.DeadlineExceededError,
        errors.DataLossError,
        errors.UnavailableError,
        errors.PermissionDeniedError,
    )
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One attempt that gave no answer.

    Attributes:
        error: what the caller sees when there is no further attempt.
        code: gRPC status name.
        pushback_ms: the server's wish, milliseconds until the next attempt; negative
            asks for none; None when it said nothing.
    """

    error: errors.StepwellError
    code: str
    pushback_ms: int | None = None


def failure_of(error: grpc.RpcError) -> Failure:
    """Returns the typed form of what grpc or grpc.aio raised."""
    code = error.code().name
    if code == "CANCELLED":
        # Who cancels here sees no such error: the server took the call and ended
        # without an answer, as one does that is being stopped.
        code = errors.UnavailableError.code
    text = f"{code}: {error.details() or 'no details'}"
    pairs: Any = error.trailing_metadata() or ()
    metadata: dict[str, str | bytes] = dict(pairs)
    pushback_ms = _pushback_ms(metadata.get(PUSHBACK_KEY))
    return Failure(_error(code, text, metadata.get(DETAILS_KEY)), code, pushback_ms)


def _error(code: str, text: str, packed: object) -> errors.StepwellError:
    details = _details(packed)
    if code == errors.InvalidArgumentError.code:
        return errors.InvalidArgumentError(text, _field(details))
    if code == errors.ResourceExhaustedError.code:
        return errors.ResourceExhaustedError(text, _retry_after_ms(details))
    return _ERRORS.get(code, errors.StepwellError)(text)


def _details(packed: object) -> status_pb2.Status:
    status = status_pb2.Status()
    if isinstance(packed, bytes):
        try:
            status.ParseFromString(packed)
        except DecodeError:
            return status_pb2.Status()
    return status


def _field(status: status_pb2.Status) -> str:
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(bad) and bad.field_violations:
            return str(bad.field_violations[0].field)
    return ""


def _retry_after_ms(status: status_pb2.Status) -> int:
    info = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return int(info.retry_delay.ToMilliseconds())
    return 0


def _pushback_ms(value: object) -> int | None:
    if value is None:
        return None
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError):
        return -1  # what cannot be read means "do not retry" (gRFC A6)
