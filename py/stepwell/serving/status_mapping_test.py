"""Each error class as it travels."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from stepwell.base import errors
from stepwell.serving.status_mapping import wire_status


def _details(error: Exception) -> status_pb2.Status:
    metadata = dict(wire_status(error).metadata)
    raw = metadata["grpc-status-details-bin"]
    assert isinstance(raw, bytes)
    return status_pb2.Status.FromString(raw)


@pytest.mark.parametrize(
    "kind",
    [
        c
        for c in vars(errors).values()
        if isinstance(c, type) and c.__module__ == errors.__name__
    ],
)
def test_every_error_has_its_own_code(kind: type[errors.StepwellError]) -> None:
    status = wire_status(kind("what happened"))
    assert status.code.name == kind.code
    assert status.message == "what happened"


def test_a_bad_field_is_named_in_a_bad_request() -> None:
    status = _details(errors.InvalidArgumentError("k is 0, must be in [1, 500]", "k"))
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    assert bad.field_violations[0].field == "k"
    assert bad.field_violations[0].description == "k is 0, must be in [1, 500]"
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_a_shed_request_says_when_to_come_back() -> None:
    error = errors.ResourceExhaustedError("queue is full", retry_after_ms=120)
    retry = error_details_pb2.RetryInfo()
    assert _details(error).details[0].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 120
    assert dict(wire_status(error).metadata)["grpc-retry-pushback-ms"] == "120"


def test_a_bug_tells_the_caller_nothing_of_itself() -> None:
    status = wire_status(KeyError("secret"))
    assert status.code is grpc.StatusCode.INTERNAL
    assert "secret" not in status.message
