"""The error tree: every error Stepwell raises on purpose, with the code it bears.

One class a gRPC status code, so that the border needs one table, no `if`. The code is
for machines and the text is for people; nobody may parse the text.
"""


class StepwellError(Exception):
    """Base of every deliberate error; `code` is the gRPC status name it maps to."""

    code = "INTERNAL"


class InvalidArgumentError(StepwellError, ValueError):
    """The caller sent a value outside its documented range.

    Attributes:
        field: name of the offending field as the caller knows it, "" when unknown.
    """

    code = "INVALID_ARGUMENT"

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NotFoundError(StepwellError, LookupError):
    """The named thing does not exist."""

    code = "NOT_FOUND"


class AlreadyExistsError(StepwellError):
    """The named thing exists and may not be replaced."""

    code = "ALREADY_EXISTS"


class FailedPreconditionError(StepwellError):
    """The system is not in the state the call needs, such as no live release."""

    code = "FAILED_PRECONDITION"


class ResourceExhaustedError(StepwellError):
    """Shed on purpose: a bounded queue, budget or disk is full.

    Attributes:
        retry_after_ms: push-back for the caller in milliseconds; negative where to
            come again is of no use.
    """

    code = "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class DeadlineExceededError(StepwellError, TimeoutError):
    """The time allowed is over; the work was not started or was abandoned."""

    code = "DEADLINE_EXCEEDED"


class CancelledError(StepwellError):
    """Nobody waits for the answer any more; the work was not started or abandoned."""

    code = "CANCELLED"


class DataLossError(StepwellError):
    """Stored bytes do not match their checksum, size or signature."""

    code = "DATA_LOSS"


class UnavailableError(StepwellError, ConnectionError):
    """A dependency did not answer; an idempotent read may be retried."""

    code = "UNAVAILABLE"


class PermissionDeniedError(StepwellError):
    """The caller is known and may not do this."""

    code = "PERMISSION_DENIED"


_CALLERS_OWN = frozenset({InvalidArgumentError.code, CancelledError.code})


def is_callers_own(error: Exception) -> bool:
    """Whether an error says nothing of how we do: a bad request, or nobody waits."""
    return isinstance(error, StepwellError) and error.code in _CALLERS_OWN


def check_range(field: str, value: int, low: int, high: int) -> int:
    """Returns `value` when low <= value <= high.

    Raises:
        InvalidArgumentError: names the field, the value and the range.
    """
    if not low <= value <= high:
        raise InvalidArgumentError(
            f"{field} is {value}, must be in [{low}, {high}]", field
        )
    return value
