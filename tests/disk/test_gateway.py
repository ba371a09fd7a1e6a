"""A gateway on a disk that fails: who asks is told so, who streams is not; the money is exact afterwards."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Final, Literal

import pytest
import trio

from tests.fakes.client import chat, post
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream
from tests.process.place import Place, Served, nano, wait_until
from tests.process.streams import Streams
from tests.process.tree import eventually

from .layer import Disk

CHAT: Final = "/v1/chat/completions"
GRANTED: Final = nano("10000")
STREAMS: Final = 8
PATIENCE: Final = 60
Trouble = Literal["EIO", "full", "locked"]


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """Mount a disk of 4 MB in memory there. Skips the test where nobody may mount."""
    path.mkdir(mode=0o700)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(path)],
        check=False,
        capture_output=True,
    )
    if done.returncode:
        pytest.skip("nobody may mount a disk here")
    try:
        yield
    finally:
        # Whoever was killed may have it open for a moment yet.
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@asynccontextmanager
async def troubled(trouble: Trouble, place: Place, disk: Disk) -> AsyncIterator[None]:
    """Have the store fail for the length of the block."""
    if trouble == "full":
        ballast = place.data / "ballast"
        fill(ballast)
        yield
        ballast.unlink()
    elif trouble == "locked":
        with closing(sqlite3.connect(place.data / "headrace.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
    else:
        disk.fault("EIO", "sync")
        yield
        assert disk.failed
        disk.cured()


def fill(ballast: Path) -> None:
    """Take all there is left of a disk, to the last byte."""
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 512, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue


async def refused(gateway: Served) -> None:
    """Ask, and be told by the contract's words that the ledger is away."""
    answer = await post(gateway.url, CHAT, chat(stream=False), key=gateway.starter_key)
    assert (answer.status, answer.error["type"], answer.error["reason"]) == (
        503,
        "service_unavailable",
        "ledger",
    )
    assert int(answer.headers["retry-after"]) >= 1


async def served_again(gateway: Served) -> int:
    """Ask until there is an answer; return its cost."""
    with trio.fail_after(PATIENCE):
        while True:
            answer = await post(gateway.url, CHAT, chat(stream=False), key=gateway.starter_key)
            if answer.status == 200:
                return nano(answer.headers["x-gateway-cost"])
            assert answer.status == 503
            await trio.sleep(0.05)


@pytest.mark.fault("F93")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("trouble", ["EIO", "full", "locked"])
async def test_streams_end_whole_while_the_store_fails_and_are_settled_when_it_works_again(
    tmp_path: Path, library: Path, upstream: FaultyUpstream, trouble: Trouble, workers: int
) -> None:
    go_on = trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on),))
    place = Place(tmp_path, upstream=upstream.base_url, more=f"workers = {workers}\n")
    disk = Disk(library, place.data, tmp_path / "control")
    place.environ |= disk.environ
    with small_disk(place.data) if trouble == "full" else nullcontext():
        async with place.serving() as gateway, trio.open_nursery() as nursery:
            streams = Streams(gateway.url, gateway.starter_key)
            for _ in range(STREAMS):
                nursery.start_soon(streams.run, 4)
            await wait_until(lambda: streams.waiting == STREAMS, PATIENCE)
            upstream.default = Script()
            async with troubled(trouble, place, disk):
                for _ in range(3):
                    await refused(gateway)
                go_on.set()
                await wait_until(lambda: None not in streams.ports.values(), PATIENCE)
                await refused(gateway)
                # Their ends wait, and their holds with them.
                assert (await place.verified())["open_holds"] == STREAMS
            begun = time.monotonic()
            streams.costs += await served_again(gateway)
            print(f"{trouble}: served again after {time.monotonic() - begun:.2f} s")  # noqa: T201
            await eventually(place, lambda figures: figures["open_holds"] == 0, PATIENCE)
            assert "the store fails" in gateway.err
            assert "the store works again" in gateway.out
            assert await gateway.end(signal.SIGTERM, PATIENCE) == 0
        assert all(streams.ports.values())
        settled = "SELECT count(*), sum(cost) FROM hold_end WHERE kind = 'settle'"
        assert place.rows(settled) == [(STREAMS + 1, streams.costs)]
        assert place.rows("PRAGMA integrity_check") == [("ok",)]
        assert await place.balance() == (GRANTED - streams.costs, 0)
