"""The signing key: made once, kept in the data directory, readable by its owner alone."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from joserfc.jwk import OctKey

from interop.errors import InteropError

KEY_FILE = "signing.key"
_BYTES = 32  # HS256 wants no more, RFC 7518 3.2 no less


class KeyFileError(InteropError):
    """The signing key cannot be used."""


class Keys:
    """The key that signs and checks every token and cookie. Replicas that share sessions share the file."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _BYTES:
            raise KeyFileError(f"the signing key is shorter than {_BYTES} bytes")
        self.key = OctKey.import_key(secret)

    @classmethod
    def load(cls, folder: Path) -> Keys:
        """The key of this data directory; made now if there is none. Safe when two processes start at once."""
        return cls(read_secret(folder / KEY_FILE))


def read_secret(path: Path) -> bytes:
    """The secret in this file, made now if there is none; KeyFileError where others can read it."""
    if not path.exists():
        _make(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyFileError(f"{path} can be read by others; make it private: chmod 600 {path}")
    try:
        return base64.urlsafe_b64decode(path.read_bytes().strip())
    except binascii.Error as error:
        raise KeyFileError(f"{path} does not hold a key; remove it, and what it signed is void") from error


def _make(path: Path) -> None:
    """Writes the whole key aside and links it into place: whoever comes second takes the first one's."""
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{path.name}.{secrets.token_hex(8)}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)
        except FileExistsError:
            return
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        aside.unlink()
