"""Sealing: what must be kept, but not readable in the database. AES-256-GCM in two layers.

Each secret has a data key of its own, used once; a master key wraps the data key. Master keys have numbers
and live outside the database; the newest seals, all of them open. What a secret belongs to, its *context*,
is bound to both layers as associated data: a sealed secret copied to another row does not open there.

A sealed secret is `version (1 byte) | master (4) | nonce (12) | wrapped data key (48) | nonce (12) | text`,
where both ciphertexts end in their tags of 16 bytes. Nonces are random. The wrapping key is drawn from the
master key for each context, so that no key ever wraps as much as would make equal nonces likely (2**32,
NIST SP 800-38D 8.3).

The cryptography library is imported when something is first sealed or opened: many gateways never do.
"""

from __future__ import annotations

import hmac
import os
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Protocol

from .secrets import WeakSecretError, make_secret, read_secret

OVERHEAD: Final = 93
"""Bytes by which what is sealed is longer than what was."""
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BI")
_NONCE: Final = 12
_KEY: Final = 32
_TAG: Final = 16
_WRAPPED: Final = _NONCE + _KEY + _TAG
_FILE: Final = re.compile(r"master-([1-9][0-9]{0,8})")


class _Cipher(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...


class SealError(Exception):
    """Something does not open: it was altered, belongs to another context, or its master key is not here."""


class Keyring:
    """The master keys by their numbers. Its repr shows no key."""

    def __init__(self, masters: Mapping[int, bytes]) -> None:
        """`masters`: at least one key of at least 32 bytes; numbers are from 1."""
        self._masters = dict(masters)

    def __repr__(self) -> str:
        return f"<Keyring {sorted(self._masters)}>"

    @property
    def newest(self) -> int:
        """The number of the master key that seals."""
        return max(self._masters)

    def marks(self) -> dict[int, bytes]:
        """Return by number what a master key is known by: 16 bytes that tell nothing of it."""
        return {number: _mark(master) for number, master in self._masters.items()}

    def add(self, number: int, master: bytes) -> None:
        """Take in another master key, which seals from now on if its number is the highest."""
        self._masters[number] = master

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Seal something for a context; it is `OVERHEAD` bytes longer after that."""
        data_key, nonce = os.urandom(_KEY), os.urandom(_NONCE)
        text = _cipher(data_key).encrypt(nonce, plaintext, b"text:" + context)
        return self._wrapped(data_key, context) + nonce + text

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return what was sealed for this context.

        Raises:
            SealError: it does not open.
        """
        data_key, rest = self._unwrapped(sealed, context)
        return _opened(data_key, rest, b"text:" + context)

    def rewrap(self, sealed: bytes, context: bytes) -> bytes:
        """Wrap the data key by the newest master key; the sealed text itself stays as it is.

        Raises:
            SealError: it does not open.
        """
        data_key, rest = self._unwrapped(sealed, context)
        return self._wrapped(data_key, context) + rest

    def _wrapped(self, data_key: bytes, context: bytes) -> bytes:
        head, nonce = _HEAD.pack(_VERSION, self.newest), os.urandom(_NONCE)
        cipher = _cipher(_wrapping(self._masters[self.newest], context))
        return head + nonce + cipher.encrypt(nonce, data_key, head + context)

    def _unwrapped(self, sealed: bytes, context: bytes) -> tuple[bytes, bytes]:
        if len(sealed) < OVERHEAD or sealed[0] != _VERSION:
            raise SealError("not a sealed secret of a known version")
        master = self._masters.get(master_of(sealed))
        if master is None:
            raise SealError(f"master key {master_of(sealed)} is not here")
        head, wrapped = sealed[: _HEAD.size], sealed[_HEAD.size : _HEAD.size + _WRAPPED]
        data_key = _opened(_wrapping(master, context), wrapped, head + context)
        return data_key, sealed[_HEAD.size + _WRAPPED :]


def master_of(sealed: bytes) -> int:
    """Return the number of the master key that something was sealed with."""
    number: int = _HEAD.unpack_from(sealed)[1]
    return number


def open_keyring(
    directory: Path, *, given: Iterable[tuple[int, bytes]] = (), known: Mapping[int, bytes] | None = None
) -> Keyring:
    """Return the master keys `given` and those in the files `master-N` of a directory.

    Where there is none at all, the first is made. `known` are the marks of those that something was sealed
    with: each must be among them.

    Raises:
        WeakSecretError: a file may be read by others or is too short, or a known key is gone or another.
    """
    known = known or {}
    masters = {number: read_secret(path) for number, path in _files(directory).items()} | dict(given)
    if not masters and not known:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_secret(directory / "master-1")
        masters = {1: read_secret(directory / "master-1")}
    for number, mark in known.items():
        path = directory / f"master-{number}"
        if number not in masters:
            raise WeakSecretError(
                f"{path} is gone, and what the database keeps sealed rests on it: put it back"
            )
        if not hmac.compare_digest(_mark(masters[number]), mark):
            raise WeakSecretError(f"{path} is not the master key {number} that the database rests on")
    return Keyring(masters)


def make_master(directory: Path, keyring: Keyring) -> int:
    """Make the next master key, as a file, and add it to the ring; return its number. Raises OSError."""
    number = keyring.newest + 1
    path = directory / f"master-{number}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_secret(path)
    keyring.add(number, read_secret(path))
    return number


def _files(directory: Path) -> dict[int, Path]:
    found = ((_FILE.fullmatch(path.name), path) for path in directory.glob("master-*"))
    return {int(match[1]): path for match, path in found if match}


def _mark(master: bytes) -> bytes:
    return hmac.digest(master, b"headrace: mark of a master key", "sha256")[:16]


def _wrapping(master: bytes, context: bytes) -> bytes:
    return hmac.digest(master, b"headrace: wrapping key\0" + context, "sha256")


def _cipher(key: bytes) -> _Cipher:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - see the module

    return AESGCM(key)


def _opened(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see the module

    try:
        return _cipher(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
    except InvalidTag:
        raise SealError("altered, of another context, or sealed with another key") from None
