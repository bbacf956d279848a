"""What a front serves, within which bounds, and what it counts."""

from dataclasses import dataclass
from typing import NamedTuple


class EntryLimit(NamedTuple):
    """How many entries a repeated field may have.

    Attributes:
        field: number of a repeated field of strings, bytes or messages.
        max_entries: of more the call brings `Call.excess` and no message.
    """

    field: int
    max_entries: int


@dataclass(frozen=True, slots=True)
class Method:
    """One method, and the fields of its message that are looked at before a parser.

    Attributes:
        path: "/package.Service/Method".
        queued: its calls go to the admission queue, else to the side.
        streaming: messages come one by one; not for queued ones.
        priority_field: number of an enum: 0 unspecified, 1 the most urgent, to 3. Of
            this and of the others below 0 says that the message has none.
        deadline_ms_field: number of an int32.
        key_field: number of the string whose hash decides who gives way.
        forced_field: number of an enum; not 0: the request asks for one tier.
        entry_limits: at most 4, not for streaming ones. Entries are counted before
            anything is allocated for them.
    """

    path: str
    queued: bool = False
    streaming: bool = False
    priority_field: int = 0
    deadline_ms_field: int = 0
    key_field: int = 0
    forced_field: int = 0
    entry_limits: tuple[EntryLimit, ...] = ()


@dataclass(frozen=True, slots=True)
class FrontOptions:
    """Bounds of a front; checked when it is made.

    Attributes:
        host: a name or an address.
        port: 0: the system chooses.
        shared_port: several processes listen on it.
        max_message_bytes: of a request.
        max_metadata_bytes: of all fields of a request's head, 32 for each entry beside
            its letters.
        max_connections: more are closed at once.
        max_streams_per_connection: calls that one connection may have open.
        max_partial_bytes_per_connection: of requests that have not come whole.
        max_partial_bytes: the same of all connections.
        max_unread_bytes: answers of one connection that its caller has not read.
        max_side_events: calls and messages that nobody has taken from the side.
        max_connection_age_ms: then it is asked to come again; 0: never. 10 % more or
            less by chance.
        connection_age_grace_ms: for calls under way after that.
        default_deadline_us: of a queued call that brings none, from its arrival.
        max_deadline_us: of every queued call at most; by then a request must also
            have come whole.
        preface_timeout_ms: for a connection's first bytes and for a request's head.
        keepalive_ms: of silence, then a PING.
        keepalive_timeout_ms: for its answer.
    """

    host: str = "127.0.0.1"
    port: int = 0
    shared_port: bool = False
    max_message_bytes: int = 256 << 10
    max_metadata_bytes: int = 8 << 10
    max_connections: int = 1_024
    max_streams_per_connection: int = 1024
    max_partial_bytes_per_connection: int = 8 << 20
    max_partial_bytes: int = 256 << 20
    max_unread_bytes: int = 32 << 20
    max_side_events: int = 4_096
    max_connection_age_ms: int = 0
    connection_age_grace_ms: int = 60_000
    default_deadline_us: int = 200_000
    max_deadline_us: int = 60_000_000
    preface_timeout_ms: int = 10_000
    keepalive_ms: int = 60_000
    keepalive_timeout_ms: int = 20_000


@dataclass(frozen=True, slots=True)
class FrontCounters:
    """Counts since the front was made; all but the two of now only grow.

    Attributes:
        num_calls: heads of requests that are gRPC's.
        num_open: calls without an end, now.
        num_connections: now.
        num_accepted: connections that are served here, whoever took them from the port.
        num_rejected: connections over the limit.
        num_refused_overload: by priority.
        num_refused_late: no answer would make the deadline.
        num_expired: had not come whole by its deadline.
        num_too_large: messages over the limit.
        num_metadata_too_large: heads over the limit.
        num_unknown_method: UNIMPLEMENTED.
        num_malformed: what is no gRPC.
        num_cancelled: the caller went before the end.
        bytes_in: of all connections.
        bytes_out: the same.
        num_given: connections given to siblings.
        num_adopted: of the accepted and rejected ones, those that siblings gave.
        num_unusable: what siblings gave and was no connection; it was closed.
    """

    num_calls: int
    num_open: int
    num_connections: int
    num_accepted: int
    num_rejected: int
    num_refused_overload: tuple[int, int, int]
    num_refused_late: int
    num_expired: int
    num_too_large: int
    num_metadata_too_large: int
    num_unknown_method: int
    num_malformed: int
    num_cancelled: int
    bytes_in: int
    bytes_out: int
    num_given: int
    num_adopted: int
    num_unusable: int
