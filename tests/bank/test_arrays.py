"""Columns as arrays' texts: PostgreSQL itself reads back what was written."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
import trio
import trio_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.bank.postgres.arrays import Kind, column, columns, mark
from tests.fakes.postgres import Postgres

LARGE = 2**63 - 1
TEXTS: list[str | None] = [
    "",
    "NULL",
    "null",
    '"',
    "\\",
    '","',
    "{a,b}",
    " a ",
    "\n\t",
    "'; --",
    "é€𝄞",
    "a,b",
]


@pytest.fixture(scope="module")
def url(server: Postgres) -> str:
    """A database in which nothing is kept."""
    return server.database()


async def read_back(url: str, kind: Kind, values: list[Any]) -> list[Any]:
    async def ask() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            rows = await connection.fetch(f"SELECT * FROM unnest({mark(1, kind)})", column(values, kind))  # noqa: S608
            return [row[0] for row in rows]
        finally:
            connection.terminate()

    async with trio_asyncio.open_loop():
        found: list[Any] = await trio_asyncio.aio_as_trio(ask)()
    return found


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bigint", []),
        ("bigint", [0, None, -1, LARGE, -LARGE - 1, True, False]),
        ("bigint", [None]),
        ("text", []),
        ("text", TEXTS),
        ("text", [None, *TEXTS, None]),
        ("text", ["plain", "", "words"]),
        ("text", [""]),
        ("text", [None]),
        ("bytea", []),
        ("bytea", [b"", None, bytes(range(256)), b"\\x00", b'"']),
    ],
)
async def test_what_was_written_is_read(url: str, kind: Kind, values: list[Any]) -> None:
    assert await read_back(url, kind, values) == values


@settings(max_examples=20)
@given(st.lists(st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"))))
def test_a_texts_marks_do_not_end_it(url: str, values: list[str | None]) -> None:
    assert trio.run(read_back, url, "text", values) == values


def test_no_rows_are_empty_columns() -> None:
    assert columns([], ("text", "bigint")) == ["{}", "{}"]
    assert columns([("a", 1), ("b", None)], ("text", "bigint")) == ['{"a","b"}', "{1, NULL}"]
    with pytest.raises(ValueError, match="shorter"):
        columns([(1, 2)], ("bigint",))
