"""What is loaded by whom: a command that asks a running gateway is quick, a gateway has what it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

RARE = {"stripe", "argon2", "cryptography", "asyncpg", "opentelemetry", "jsonschema"}
"""What many gateways never need, or not before somebody asks for it."""


@pytest.mark.parametrize(
    ("module", "unneeded"),
    [
        ("proxy.cli, proxy.control.commands", RARE | {"trio", "aiosqlite", "httpx", "quart", "hypercorn"}),
        ("proxy.control.bank, proxy.control.serving", RARE | {"httpx", "quart", "hypercorn"}),
        ("proxy.app, proxy.workers", RARE | {"quart_schema"}),
    ],
)
def test_what_is_not_needed_is_not_loaded(module: str, unneeded: set[str]) -> None:
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "proxy" in done.stdout.split()
    assert not unneeded & set(done.stdout.split())
