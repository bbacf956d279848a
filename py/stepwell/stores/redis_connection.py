"""Connecting to Redis, and its errors as ours. The only module that imports redis."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stepwell.base.errors import (
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from stepwell.stores.redaction import without_secrets

Client = redis.Redis
WatchError = redis.WatchError


def connect(url: str, timeout_ms: int, max_connections: int = 16) -> Client:
    """Returns a client of `url` that connects on first use.

    Every call costs at most about `timeout_ms` for the connection and as much for the
    answer, and is tried once: retries belong to whoever knows the request's deadline.

    Raises:
        InvalidArgumentError: the URL is none of redis:, rediss: and unix:.
    """
    try:
        client: Client = redis.Redis.from_url(
            url,
            socket_timeout=timeout_ms / 1_000,
            socket_connect_timeout=timeout_ms / 1_000,
            max_connections=max_connections,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        # What the parser says quotes parts of the URL, such as its password.
        raise InvalidArgumentError(
            f"url is {without_secrets(url)!r}, must be redis://host:port/database, "
            "rediss: or unix:",
            "url",
        ) from None
    return client


@contextmanager
def redis_errors(what: str) -> Iterator[None]:
    """Turns errors of Redis inside the block into StepwellErrors that name `what`."""
    try:
        yield
    except redis.WatchError:
        raise
    except redis.OutOfMemoryError as error:
        raise ResourceExhaustedError(f"{what}: Redis is full: {error}") from error
    except redis.RedisError as error:
        raise UnavailableError(f"{what}: {error or type(error).__name__}") from error
