"""What is wrong with a feature's value, row or name: one class for each answer."""

import difflib
from collections.abc import Iterable

from stepwell.base.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)


class UnknownViewError(NotFoundError):
    """No view or service has this name; the message names the nearest one."""


class UnknownFeatureError(NotFoundError):
    """The view has no feature of this name; the message names the nearest one."""


class WrongTypeError(InvalidArgumentError):
    """The value is of another type, or of another number of values, than declared."""


class NotFiniteError(InvalidArgumentError):
    """The value is NaN or infinite."""


class OutOfRangeError(InvalidArgumentError):
    """The value lies outside the feature's range."""


class OversizedRowError(InvalidArgumentError):
    """The row has more bytes than a row may have."""


class SchemaMismatchError(FailedPreconditionError):
    """The row was written by another definition of its view.

    Attributes:
        view: the view's name.
        expected: schema key in hex of the definition that reads.
        actual: schema key in hex of the definition that wrote.
    """

    def __init__(self, view: str, expected: int, actual: int) -> None:
        self.view = view
        self.expected = f"{expected:016x}"
        self.actual = f"{actual:016x}"
        super().__init__(
            f"a row of {view} has schema {self.actual}, must be {self.expected}"
        )


def nearest(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns the text for an unknown name: what was meant, or all there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(names)}"
    return f"there is no {kind} {name!r}; {hint}"
