"""Listeners of gRPC's own servers: what they read at most, and where they listen."""

import grpc

from stepwell.base.errors import UnavailableError, check_range
from stepwell.serving.limits import MAX_MESSAGE_BYTES, MAX_METADATA_BYTES

CHANNEL_OPTIONS = (
    # A second server on the same port must fail, not share it in silence.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
)
"""Of every server."""


def bound(server: "grpc.aio.Server", host: str, port: int) -> int:
    """Lets a server listen; returns the port, which is a free one where 0 is asked.

    Raises:
        InvalidArgumentError: the port is none.
        UnavailableError: it is taken.
    """
    # gRPC would take the number modulo 65,536 and listen there without a word.
    check_range("port", port, 0, 65_535)
    try:
        return server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise UnavailableError(f"cannot listen on {host}:{port}: {error}") from error
