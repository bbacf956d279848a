"""A registry that is no folder: --registry=s3://bucket/registry."""

import hashlib
from pathlib import Path

from stepwell.base.user_cache import user_cache
from stepwell.releases.registry_mirror import RegistryMirror
from stepwell.releases.signing import VerifyingKey


def is_far(registry: str) -> bool:
    """True for a location that only fsspec opens."""
    return "://" in registry


def far_registry(
    url: str, cache: Path | None = None, key_file: Path | None = None
) -> RegistryMirror:
    """Returns the mirror of a far registry.

    Args:
        cache: its folder on this machine; None takes one of the user's own.
        key_file: public key; None takes the registry's own.
    Raises:
        NotFoundError: the location cannot be opened, or has no key.
    """
    key = VerifyingKey.load(key_file) if key_file is not None else None
    return RegistryMirror(url, cache or _own_folder(url), key)


def _own_folder(url: str) -> Path:
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    return user_cache() / "registries" / name
