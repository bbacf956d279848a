"""Ed25519 keys of a registry. The only module that imports cryptography."""

from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from stepwell.base.errors import DataLossError, PermissionDeniedError
from stepwell.releases.durable_files import create_durably, make_folder

_PRIVATE_MODE = 0o600


class VerifyingKey:
    """The public half: tells whether a signature is ours. Concurrency: immutable."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    @classmethod
    def load(cls, path: Path) -> "VerifyingKey":
        """Reads a PEM file; DataLossError when it holds no Ed25519 public key."""
        return cls.from_pem(path.read_bytes())

    @classmethod
    def from_pem(cls, pem: bytes) -> "VerifyingKey":
        """Reads PEM text; DataLossError when it is no Ed25519 public key."""
        try:
            key = load_pem_public_key(pem)
        except ValueError as error:
            raise DataLossError(f"no public key: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise DataLossError(f"public key is {type(key).__name__}, must be Ed25519")
        return cls(key)

    def pem(self) -> bytes:
        """Returns the key as PEM text."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verify(self, message: bytes, signature: bytes) -> None:
        """Raises DataLossError when `signature` is not this key's on `message`."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature as error:
            raise DataLossError(
                "the signature does not match the trusted key"
            ) from error


class SigningKey:
    """The private half; it signs releases. Concurrency: immutable."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> "SigningKey":
        """Returns a new key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load_or_create(cls, path: Path) -> "SigningKey":
        """Reads the key in `path`; the first call makes one that only its owner reads.

        Raises:
            PermissionDeniedError: others may read the file.
            DataLossError: it holds no Ed25519 private key.
        """
        if not path.exists():
            cls.generate()._save(path)
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise PermissionDeniedError(
                f"{path} has mode {mode:04o}, a private key must have 0600"
            )
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise DataLossError(f"{path} holds no private key: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise DataLossError(f"{path} is {type(key).__name__}, must be Ed25519")
        return cls(key)

    def sign(self, message: bytes) -> bytes:
        """Returns the 64-byte signature of `message`."""
        return self._key.sign(message)

    def verifying_key(self) -> VerifyingKey:
        """Returns the public half."""
        return VerifyingKey(self._key.public_key())

    def _save(self, path: Path) -> None:
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        make_folder(path.parent)
        # On disk before it signs: a registry trusts the key of its first publish only.
        create_durably(path, pem, _PRIVATE_MODE)
