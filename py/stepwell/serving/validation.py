"""Checks requests against the table of limits, field by field, before any work."""

import math
from typing import Any

from google.protobuf.message import Message

from stepwell.base.errors import InvalidArgumentError
from stepwell.serving.limits import LIMITS, Limit

_SHOWN_CHARS = 40


def check_message(message: Message, prefix: str = "") -> None:
    """Checks every limited field and every enum of a message.

    Args:
        message: of a type named in LIMITS; other types pass.
        prefix: path of the message in its request, such as "events[3].".
    Raises:
        InvalidArgumentError: names the first field at fault, its value and its range.
    Concurrency: stateless. Cost: about 10 us, and 0.2 us an entry of a repeated field.
    """
    for name, limit in LIMITS.get(message.DESCRIPTOR.name, {}).items():
        _check_field(message, name, limit, prefix)
    for field in message.DESCRIPTOR.fields:
        enum = field.enum_type
        if enum is not None and not field.is_repeated:
            number, path = getattr(message, field.name), prefix + field.name
            if number not in enum.values_by_number:
                names = ", ".join(value.name for value in enum.values)
                text = f"{path} is {number}, must be one of: {names}"
                raise InvalidArgumentError(text, path)


def _check_field(message: Message, name: str, limit: Limit, prefix: str) -> None:
    field = message.DESCRIPTOR.fields_by_name[name]
    if field.has_presence and not message.HasField(name):
        return
    value, path = getattr(message, name), prefix + name
    if field.is_repeated:
        _check_entries(value, path, limit)
    elif isinstance(value, str):
        _check_text(value, path, limit)
    elif isinstance(value, bytes):
        if not limit.low <= len(value) <= limit.high:
            raise _breach(path, f"has {len(value)} bytes", limit)
    elif not (math.isfinite(value) and limit.low <= value <= limit.high):
        raise _breach(path, f"is {value}", limit)


def _check_entries(values: Any, path: str, limit: Limit) -> None:
    if not limit.low <= len(values) <= limit.high:
        raise _breach(path, f"has {len(values)} entries", limit)
    if limit.each is not None:
        for place, value in enumerate(values):
            # A short ASCII text has as many bytes as characters: no need to encode it.
            if not (
                value.isascii() and limit.each.low <= len(value) <= limit.each.high
            ):
                _check_text(value, f"{path}[{place}]", limit.each)


def _check_text(value: str, path: str, limit: Limit) -> None:
    num_bytes = len(value.encode())
    if not limit.low <= num_bytes <= limit.high:
        shown = value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "..."
        raise _breach(path, f"is {shown!r} with {num_bytes} bytes", limit)


def _breach(path: str, what: str, limit: Limit) -> InvalidArgumentError:
    return InvalidArgumentError(f"{path} {what}, must be in {limit}", path)
