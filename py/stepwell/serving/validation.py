"""Checks requests against the table of limits, field by field, before any work."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from stepwell.base.errors import InvalidArgumentError
from stepwell.front.front import EntryLimit
from stepwell.serving.limits import LIMITS, Limit

_SHOWN_CHARS = 40

Holds = Callable[[Any], bool]
"""Whether a field's value is within its limit."""


@dataclass(frozen=True, slots=True)
class _Check:
    """One field's check; `limit` is None for an enum."""

    name: str
    may_be_absent: bool
    holds: Holds
    field: FieldDescriptor
    limit: Limit | None


def check_message(message: Message, prefix: str = "") -> None:
    """Checks every limited field and every enum of a message.

    Args:
        message: of a type named in LIMITS; other types pass.
        prefix: path of the message in its request, such as "events[3].".
    Raises:
        InvalidArgumentError: names the first field at fault, its value and its range.
    Concurrency: stateless. Cost: about 3 us, and 0.1 us an entry of a repeated field.
    """
    for check in _checks(message.DESCRIPTOR):
        if check.may_be_absent and not message.HasField(check.name):
            continue
        value = getattr(message, check.name)
        if not check.holds(value):
            raise _breach(check, value, prefix + check.name)


def entry_limits(message_type: type[Message]) -> tuple[EntryLimit, ...]:
    """Returns what the front must know to count a message's lists unparsed.

    Packed numbers are no entries of their own on the wire; they are not among them.
    """
    descriptor: Any = message_type.DESCRIPTOR
    fields = descriptor.fields_by_name
    return tuple(
        EntryLimit(fields[name].number, limit.high)
        for name, limit in LIMITS.get(descriptor.name, {}).items()
        if fields[name].is_repeated and not fields[name].is_packed
    )


def excess_error(
    message_type: type[Message], excess: tuple[int, int]
) -> InvalidArgumentError:
    """Returns what `check_message` would raise for a list that is too long.

    Args:
        message_type: of the message.
        excess: number of the field, and how many entries it has.
    """
    descriptor: Any = message_type.DESCRIPTOR
    number, num_entries = excess
    name = descriptor.fields_by_number[number].name
    return _too_many(name, num_entries, LIMITS[descriptor.name][name])


@cache
def _checks(descriptor: Descriptor) -> tuple[_Check, ...]:
    limits = LIMITS.get(descriptor.name, {})
    fields = descriptor.fields_by_name
    checks = [
        _Check(name, fields[name].has_presence, _holds(fields[name], limit),
               fields[name], limit)
        for name, limit in limits.items()
    ]  # fmt: skip
    for field in descriptor.fields:
        if field.enum_type is not None and not field.is_repeated:
            known = frozenset(field.enum_type.values_by_number)
            checks.append(_Check(field.name, False, known.__contains__, field, None))
    return tuple(checks)


def _holds(field: FieldDescriptor, limit: Limit) -> Holds:
    low, high = limit.low, limit.high
    if field.is_repeated:
        return _entries_hold(limit)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text_holds(limit)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: low <= len(value) <= high
    # No NaN is in any range.
    return lambda value: low <= value <= high


def _text_holds(limit: Limit) -> Holds:
    low, high = limit.low, limit.high

    def holds(value: str) -> bool:
        # An ASCII text has as many bytes as characters: no need to encode it.
        return low <= (len(value) if value.isascii() else len(value.encode())) <= high

    return holds


def _entries_hold(limit: Limit) -> Holds:
    low, high = limit.low, limit.high
    if limit.each is None:
        return lambda values: low <= len(values) <= high
    each = _text_holds(limit.each)
    return lambda values: low <= len(values) <= high and all(map(each, values))


def _breach(check: _Check, value: Any, path: str) -> InvalidArgumentError:
    limit, enum = check.limit, check.field.enum_type
    if limit is None:
        names = ", ".join(known.name for known in enum.values) if enum else ""
        text = f"{path} is {value}, must be one of: {names}"
        return InvalidArgumentError(text, path)
    if not check.field.is_repeated:
        return _out_of_range(path, _shown(value), limit)
    if limit.each is None or not limit.low <= len(value) <= limit.high:
        return _too_many(path, len(value), limit)
    holds = _text_holds(limit.each)
    # A map's entries are its keys.
    places = enumerate(value)
    place, entry = next((at, entry) for at, entry in places if not holds(entry))
    return _out_of_range(f"{path}[{place}]", _shown(entry), limit.each)


def _too_many(path: str, num_entries: int, limit: Limit) -> InvalidArgumentError:
    return _out_of_range(path, f"has {num_entries} entries", limit)


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"has {len(value)} bytes"
    if not isinstance(value, str):
        return f"is {value}"
    text = value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "..."
    return f"is {text!r} with {len(value.encode())} bytes"


def _out_of_range(path: str, what: str, limit: Limit) -> InvalidArgumentError:
    return InvalidArgumentError(f"{path} {what}, must be in {limit}", path)
