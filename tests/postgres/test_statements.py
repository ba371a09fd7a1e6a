"""Every statement that is a constant of ours is one that PostgreSQL can prepare on our schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import asyncpg

import proxy
from proxy.bank.postgres.speech import spoken
from proxy.bank.postgres.store import open_postgres
from tests.fakes.postgres import Postgres

STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s")
SQLITE = {"proxy.bank.sqlite", "proxy.bank.migrate", "proxy.bank.damage", "proxy.bank.book"}
"""What speaks to a file alone."""


def statements() -> Iterator[tuple[str, str]]:
    """Yield names and texts; templates, which have a brace, are tested where they are filled in."""
    for module in walk_packages(proxy.__path__, "proxy."):
        if module.name not in SQLITE and not module.name.endswith("__main__"):
            for name, value in vars(import_module(module.name)).items():
                for text in texts(value):
                    if STATEMENT.match(text) and "{" not in text:
                        yield f"{module.name}.{name}", text


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from texts(each)


async def test_every_statement_can_be_prepared(server: Postgres) -> None:
    refused, seen = [], set[str]()
    async with open_postgres(server.database(), 1) as store:

        async def prepare(db: Any) -> None:
            for name, text in statements():
                seen.add(name)
                try:
                    await db.prepare(spoken(text).sql)
                except asyncpg.PostgresError as error:
                    refused.append(f"{name}: {error}")

        await store.work(prepare)
    assert refused == []
    assert len(seen) > 100
