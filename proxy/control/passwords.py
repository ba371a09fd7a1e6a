"""Passwords: Argon2id, and the one-time password of a new administrator."""

from __future__ import annotations

import secrets


def new_password() -> str:
    """Make a password of 128 bits, to be shown once."""
    return secrets.token_urlsafe(16)


def hash_password(password: str) -> str:
    """Return the Argon2id hash that is stored (OWASP: 19 MiB, two passes). It holds the CPU for 70 ms."""
    # Only sign-in and the first start need it, and it costs start-up time and memory.
    from argon2 import PasswordHasher  # noqa: PLC0415

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(password)
