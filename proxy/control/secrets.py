"""Secrets kept in files beside the database, never in it: made on first start, mode 0600."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

_BYTES: Final = 32


class WeakSecretError(Exception):
    """A secret file is too short, or others may read it."""


def read_or_make(directory: Path, name: str) -> bytes:
    """Return the secret `name`, making it on first use.

    Raises:
        WeakSecretError: it is shorter than 32 bytes or its mode lets others read it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / name
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    value = secrets.token_bytes(_BYTES)
    with os.fdopen(descriptor, "wb") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())
    return value


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise WeakSecretError(f"{path} may be read by others; its mode must be 0600")
    value = path.read_bytes()
    if len(value) < _BYTES:
        raise WeakSecretError(f"{path} is shorter than {_BYTES} bytes")
    return value
