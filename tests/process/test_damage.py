"""A store that is broken: nothing is served from it, and `verify` says where."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from tests.fakes.client import chat, post, streaming
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream

from .place import Place

CHAT = "/v1/chat/completions"
PAGE = 4096
UNLOCK = "DROP TRIGGER journal_no_update"


async def used(path: Path, workers: int) -> Place:
    """A place whose gateway has served and has been stopped."""
    place = Place(path, more=f"workers = {workers}\n")
    async with place.serving() as gateway:
        for _ in range(3):
            answer = await post(gateway.url, CHAT, chat("sim/echo"), key=gateway.starter_key)
            assert answer.status == 200
        await gateway.stop(60)
    return place


def spoil(place: Place, table: str) -> None:
    """Write over the first page of a table, as a disk might that loses its mind."""
    file = place.data / "headrace.db"
    with closing(sqlite3.connect(file)) as database:
        ((root,),) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,))
    with file.open("r+b") as database:
        database.seek((root - 1) * PAGE)
        database.write(b"\xa5" * PAGE)


@pytest.mark.fault("F94")
@pytest.mark.parametrize("workers", [1, 2])
async def test_a_broken_page_is_found_at_the_start_and_named(tmp_path: Path, workers: int) -> None:
    place = await used(tmp_path, workers)
    await place.verified()
    spoil(place, "journal")
    served = await place.run("serve")
    assert (served.code, served.out) == (3, "")
    assert "Traceback" not in served.err
    first = served.err.splitlines()[0]
    assert re.fullmatch(
        r"headrace: \S+/headrace\.db: the database is damaged, and nothing is served from it: journal: .+",
        first,
    )
    done = await place.run("verify", "--json")
    assert (done.code, done.json["ok"]) == (1, False)
    assert done.json["file"]["detail"].startswith("journal: ")
    assert done.json["invariants"]["I10"]["detail"].startswith("the journal cannot be read beyond posting 0")
    told = await place.run("verify")
    assert (told.code, "file BROKEN the database's pages" in told.out) == (1, True)


@pytest.mark.fault("F94")
@pytest.mark.parametrize(
    ("statements", "served", "row"),
    [
        (
            ("UPDATE journal SET ref = 'x' WHERE seq = 4",),
            "posting 4 of the journal is not what was hashed",
            "posting 4 is not what was hashed",
        ),
        (
            ("DROP TRIGGER journal_no_delete", "DELETE FROM journal WHERE seq = 5"),
            "posting 5 of the journal is missing",
            "posting 6 follows 4",
        ),
        (
            ("DROP TRIGGER journal_no_delete", "DELETE FROM journal WHERE seq > 5"),
            "the journal ends at posting 5, its last head is at 8",
            "the journal ends at 5",
        ),
    ],
)
async def test_a_broken_chain_is_found_at_the_start_and_named(
    tmp_path: Path, statements: tuple[str, ...], served: str, row: str
) -> None:
    place = await used(tmp_path, 1)
    for sql in (UNLOCK, *statements):
        place.write(sql)
    done = await place.run("serve")
    assert (done.code, done.out) == (3, "")
    assert f"the database is damaged, and nothing is served from it: {served}\n" in done.err
    verified = await place.run("verify", "--json")
    assert verified.code == 1
    assert row in verified.json["invariants"]["I10"]["detail"]
    assert verified.json["file"] == {"ok": True, "detail": None}


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_hold_that_is_open_and_no_request_s_is_named(
    tmp_path: Path, upstream: FaultyUpstream, workers: int
) -> None:
    go_on = trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on),))
    place = Place(tmp_path, upstream=upstream.base_url, more=f"workers = {workers}\n")
    async with (
        place.serving() as gateway,
        streaming(gateway.url, CHAT, chat(), key=gateway.starter_key) as client,
    ):
        await client.payloads(4)
        await place.verified()
        # Nobody is ever to end it: as if a request had forgotten to.
        place.write("""
            INSERT INTO hold SELECT 'gen_leaked', account, key_id, project, 0, 0, day, worker, epoch, 77,
                opened_at, '', '', NULL, NULL FROM hold
        """)
        done = await place.run("verify", "--json")
        broken = [name for name, found in done.json["invariants"].items() if not found["ok"]]
        assert (done.code, done.json["ok"], broken) == (1, False, ["I14"])
        assert done.json["invariants"]["I14"]["detail"] == "hold gen_leaked is open, and no request's"
        go_on.set()
        assert (await client.payloads())[-1] == b"[DONE]"
