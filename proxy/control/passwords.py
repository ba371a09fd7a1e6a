"""Passwords: what may be one, Argon2id in one slot, and the one-time password of a new administrator."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, TypeVarTuple

import trio

from .socket import ControlError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

_Made = TypeVar("_Made")
_Given = TypeVarTuple("_Given")
SHORTEST: Final = 12
LONGEST: Final = 128
_WAITING: Final = 8
"""Who waits for the slot, at most: what is beyond it would wait for more than a second."""
_FEWEST: Final = 5
"""Different characters that a password has, at least."""
_COMMON: Final = frozenset({
    "password", "passwort", "motdepasse", "contrasena", "qwerty", "qwertyuiop", "azerty", "qwertz", "letmein",
    "welcome", "iloveyou", "monkey", "dragon", "football", "baseball", "basketball", "superman", "batman",
    "princess", "sunshine", "master", "shadow", "starwars", "trustno", "whatever", "administrator", "admin",
    "root", "changeme", "default", "secret", "access", "login", "hello", "summer", "winter", "spring",
    "autumn",     "michael", "jennifer", "charlie", "computer", "internet",
    "samsung", "google", "facebook", "liverpool",
    "chelsea", "arsenal", "pokemon", "minecraft", "freedom", "mustang", "passw", "test", "guest", "user",
    "headrace", "gateway", "correcthorsebatterystaple", "thisisapassword", "letmeinplease", "opensesame",
})  # fmt: skip
"""Words that are the most used passwords, or with figures and signs around them become those."""
_RUNS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "1q2w3e4r5t6y7u8i9o0p",
    "qwertyuiopasdfghjklzxcvbnm",
    "qazwsxedcrfvtgbyhnujmikolp",
)
_LEET: Final = str.maketrans("013457@$!", "oieastasi")
_AROUND: Final = re.compile(r"^[^a-z]+|[^a-z]+$")
_SIGNS: Final = re.compile(r"^[^a-z0-9]+|[^a-z0-9]+$")


class Proof(NamedTuple):
    """Whether a password was right, and whether its hash is of other parameters than ours."""

    right: bool
    stale: bool = False


class BusyError(Exception):
    """Too many wait for a password to be hashed already."""


class Hashing:
    """Argon2id (OWASP: 19 MiB, two passes), one at a time in a thread: each holds a core for 70 ms.

    After each the core is others' for as long as it took: a flood of sign-ins would keep it from the models.
    """

    def __init__(self) -> None:
        self._slot = trio.CapacityLimiter(1)
        self._rests_until = -math.inf

    def statistics(self) -> tuple[int, int]:
        """Return how many are hashed now, and how many wait."""
        now = self._slot.statistics()
        return now.borrowed_tokens, now.tasks_waiting

    async def hash(self, password: str) -> str:
        """Return what is stored of a password. Raises BusyError."""
        return await self.alone(hash_password, password)

    async def prove(self, hashed: str | None, password: str) -> Proof:
        """Tell whether a password is the one; it takes as long where there is none. Raises BusyError."""
        return await self.alone(_proved, hashed, password)

    async def alone(self, work: Callable[[*_Given], _Made], *given: *_Given) -> _Made:
        """Call a function in a thread when it is its turn. Raises BusyError."""
        if self._slot.statistics().tasks_waiting >= _WAITING:
            raise BusyError
        async with self._slot:
            await trio.sleep_until(self._rests_until)
            begun = trio.current_time()
            try:
                return await trio.to_thread.run_sync(work, *given)
            finally:
                now = trio.current_time()
                self._rests_until = now + (now - begun)


def new_password() -> str:
    """Make a password of 128 bits, to be shown once."""
    return secrets.token_urlsafe(16)


def hash_password(password: str) -> str:
    """Return the Argon2id hash that is stored. It holds the CPU for 70 ms."""
    return _hasher().hash(password)


def check_password(password: str, email: str) -> None:
    """Raise ControlError for what cannot be a password: too short, too long, or easily guessed."""
    if not SHORTEST <= len(password) <= LONGEST or not password.isprintable():
        raise ControlError(f"a password has {SHORTEST} to {LONGEST} printable characters")
    if _is_common(password.casefold(), email.casefold()):
        raise ControlError("this password is one of the first that would be tried: take another")


def _is_common(plain: str, email: str) -> bool:
    words = {_AROUND.sub("", plain), _AROUND.sub("", _SIGNS.sub("", plain).translate(_LEET)), plain}
    words |= {word[: len(word) // 2] for word in words if word[: len(word) // 2] * 2 == word}
    if words & _COMMON or len(set(plain)) < _FEWEST:
        return True
    if any(plain in run * 2 or plain[::-1] in run * 2 for run in _RUNS):
        return True
    own = {email, *email.split("@")}
    return any(len(part) > 3 and part in plain and len(plain) - len(part) < _FEWEST for part in own)


def _proved(hashed: str | None, password: str) -> Proof:
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415 - see `_hasher`

    hasher = _hasher()
    try:
        hasher.verify(_nobodys() if hashed is None else hashed, password)
    except (VerificationError, InvalidHashError):
        return Proof(right=False)
    return Proof(right=hashed is not None, stale=hashed is not None and hasher.check_needs_rehash(hashed))


@cache
def _nobodys() -> str:
    """Return the hash that is tried where there is none, so that an unknown name takes no less time."""
    return hash_password(secrets.token_urlsafe(16))


@cache
def _hasher() -> PasswordHasher:
    # Only sign-in and the first start need it, and it costs start-up time and memory.
    from argon2 import PasswordHasher  # noqa: PLC0415

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
