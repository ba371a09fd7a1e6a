"""Secrets kept in files beside the database, never in it: made on first start, mode 0600."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

_BYTES: Final = 32


class WeakSecretError(Exception):
    """A secret file is too short, others may read it, or it is gone."""


def read_or_make(directory: Path, name: str, *, used_by: Path | None) -> bytes:
    """Return the secret `name`, making it on first use: before there is a database that rests on it.

    Raises:
        WeakSecretError: it is shorter than 32 bytes, its mode lets others read it, or it is gone though
            `used_by` is there, whose keys nobody could recognise any more.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / name
    if not path.exists():
        if used_by is not None and used_by.exists():
            raise WeakSecretError(f"{path} is gone, and {used_by} rests on it: put it back")
        make_secret(path)
    return read_secret(path)


def make_secret(path: Path) -> None:
    """Make a file of 32 random bytes, mode 0600, unless there is one already.

    It is made whole under another name first: a crash must not leave half a secret behind.
    """
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_BYTES))
        file.flush()
        os.fsync(file.fileno())
    # A link, unlike a renaming, never takes the place of a secret that has come meanwhile.
    with suppress(FileExistsError):
        os.link(unfinished, path)
    unfinished.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_secret(path: Path) -> bytes:
    """Return what is in a secret's file. Raises WeakSecretError as `read_or_make`."""
    if path.stat().st_mode & 0o077:
        raise WeakSecretError(f"{path} may be read by others; its mode must be 0600")
    value = path.read_bytes()
    if len(value) < _BYTES:
        raise WeakSecretError(f"{path} is shorter than {_BYTES} bytes")
    return value
