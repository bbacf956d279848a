"""The ladder's and the breakers' constants as messages, and back: by field names."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from stepwell.base.errors import InvalidArgumentError
from stepwell.degradation.circuit_breaker import BreakerOptions, CircuitBreaker
from stepwell.degradation.controller import LadderController, LadderOptions
from stepwell_pb.v1 import admin_pb2, common_pb2

Options = TypeVar("Options")
Filled = TypeVar("Filled", bound=Message)


@dataclass(frozen=True, slots=True)
class Changed:
    """One constant's change; `path` such as "ladder.trim.low_ppm"."""

    path: str
    before: int
    after: int


def ladder_message(options: LadderOptions) -> admin_pb2.LadderConstants:
    """Returns every constant of the ladder."""
    return _filled(admin_pb2.LadderConstants(), options)


def breaker_message(options: BreakerOptions) -> admin_pb2.BreakerConstants:
    """Returns every constant of a breaker."""
    return _filled(admin_pb2.BreakerConstants(), options)


def with_constants(options: Options, constants: Message) -> Options:
    """Returns the options with what the message sets.

    Raises:
        InvalidArgumentError: a value is out of its range; names it.
    """
    said = {
        descriptor.name: _constant(options, constants, descriptor.name)
        for descriptor, _ in constants.ListFields()
    }
    # Dataclass fields all: the type checker cannot see that of a type variable.
    return replace(options, **said) if said else options  # type: ignore[type-var]


def changes(before: Any, after: Any, path: str) -> Iterator[Changed]:
    """Yields what differs between two options of one type, nested ones too."""
    for own in fields(before):
        old, new = getattr(before, own.name), getattr(after, own.name)
        below = f"{path}.{own.name}"
        if is_dataclass(old):
            yield from changes(old, new, below)
        elif old != new:
            yield Changed(below, old, new)


@dataclass(slots=True)
class PinnedState:
    """What operators changed on a server, for its processes that start later.

    Attributes:
        tier: the forced tier of the wire; TIER_UNSPECIFIED for none.
        constants: every constant that was set, the latest value of each.
    """

    tier: common_pb2.Tier = common_pb2.TIER_UNSPECIFIED
    constants: admin_pb2.SetLadderRequest = field(
        default_factory=admin_pb2.SetLadderRequest
    )

    def merge(self, request: admin_pb2.SetLadderRequest) -> None:
        """Takes over what a request sets."""
        self.constants.ladder.MergeFrom(request.ladder)
        # Merging messages replaces a map's entries whole.
        for name, constants in request.breakers.items():
            self.constants.breakers[name].MergeFrom(constants)

    def to_text(self) -> str:
        """Returns it as JSON, for a command line."""
        constants = json_format.MessageToDict(self.constants)
        return json.dumps({"tier": int(self.tier), "constants": constants})

    @classmethod
    def from_text(cls, text: str | None) -> "PinnedState":
        """Returns what `to_text` wrote; nothing is pinned where there is none."""
        if not text:
            return cls()
        said = json.loads(text)
        constants = json_format.ParseDict(
            said["constants"], admin_pb2.SetLadderRequest()
        )
        return cls(said["tier"], constants)


class LadderSettings:
    """The constants of one process's ladder and breakers, changed all or none.

    Concurrency: one thread at a time changes; requests go on meanwhile.
    """

    def __init__(
        self, ladder: LadderController, breakers: Mapping[str, CircuitBreaker]
    ) -> None:
        self._ladder = ladder
        self._breakers = breakers

    def apply(self, request: admin_pb2.SetLadderRequest) -> list[Changed]:
        """Changes what the request sets; returns what differs now.

        Raises:
            InvalidArgumentError: a value is out of its range, or a breaker has an
                unknown name; nothing was changed.
        """
        before = self._ladder.options
        after = with_constants(before, request.ladder)
        wanted = {
            name: with_constants(self._breaker(name).options, constants)
            for name, constants in request.breakers.items()
        }
        made = list(changes(before, after, "ladder"))
        if made:
            self._ladder.reconfigure(after)
        for name, options in wanted.items():
            former = self._breaker(name).reconfigure(options)
            made += changes(former, options, f"breakers.{name}")
        return made

    def former(
        self, request: admin_pb2.SetLadderRequest
    ) -> admin_pb2.SetLadderResponse:
        """Returns what is in force before a request is applied."""
        return admin_pb2.SetLadderResponse(
            previous_ladder=ladder_message(self._ladder.options),
            previous_breakers={
                name: breaker_message(self._breaker(name).options)
                for name in request.breakers
            },
        )

    def ladder(self) -> admin_pb2.LadderConstants:
        """Returns the ladder's constants in force."""
        return ladder_message(self._ladder.options)

    def breakers(self, now_us: int) -> list[admin_pb2.BreakerStatus]:
        """Returns every breaker's state and constants."""
        return [
            admin_pb2.BreakerStatus(
                name=name,
                state=breaker.state(now_us).name,
                constants=breaker_message(breaker.options),
            )
            for name, breaker in sorted(self._breakers.items())
        ]

    def _breaker(self, name: str) -> CircuitBreaker:
        if name not in self._breakers:
            names = ", ".join(sorted(self._breakers)) or "none"
            text = f"breakers is {name!r}, must be one of: {names}"
            raise InvalidArgumentError(text, "breakers")
        return self._breakers[name]


def _filled(message: Filled, options: Any) -> Filled:
    for own in fields(options):
        value = getattr(options, own.name)
        if is_dataclass(value):
            _filled(getattr(message, own.name), value)
        else:
            setattr(message, own.name, value)
    return message


def _constant(options: Any, constants: Message, name: str) -> Any:
    value = getattr(constants, name)
    if isinstance(value, Message):
        return with_constants(getattr(options, name), value)
    return value
