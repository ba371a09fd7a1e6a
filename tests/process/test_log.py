"""F105, S28: a real gateway's log: whose line it is, and what becomes of it where nobody reads."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from proxy.observe.sink import QUEUE
from tests.fakes.client import Client, chat, get, post
from tests.patience import LONG

from .place import Place, free_port, nano, wait_until

CHAT = "/v1/chat/completions"
SMALL = 4096
"""Bytes of a pipe, at least (F_SETPIPE_SZ, fcntl(2))."""


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, SMALL)
    try:
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


@asynccontextmanager
async def unread(place: Place, *args: str) -> AsyncIterator[tuple[trio.Process, str, str]]:
    """Run a gateway whose standard output and error are one pipe, of which the greeting alone is read."""
    line, options = place._how(("serve", *args))
    with pipe() as (reading, writing):
        process = await trio.lowlevel.open_process(line, stdout=writing, stderr=writing, **options)
        try:
            greeting = b""
            with trio.fail_after(LONG):
                while b"Hello, Headrace!" not in greeting:
                    await trio.lowlevel.wait_readable(reading)
                    greeting += os.read(reading, 4096)
            url = re.search(rb"serving on (\S+)\n", greeting)
            key = re.search(rb"^  key +(\S+) ", greeting, re.MULTILINE)
            assert url is not None
            assert key is not None
            yield process, url[1].decode(), key[1].decode()
        finally:
            with trio.CancelScope(shield=True):
                if process.poll() is None:
                    process.kill()
                await process.wait()


async def ask(url: str, key: str, times: int) -> None:
    """Ask so many times on one connection."""
    body = chat("sim/echo:ttft=0", stream=False, max_tokens=1)
    async with Client(url, key) as client:
        for _ in range(times):
            await client.request(CHAT, body)
            answer = await client.whole()
            assert answer.status == 200


async def ask_in_vain(url: str, key: str, times: int) -> None:
    """Ask for a model that there is not, a hundred times in a row: that is cheap, and a line each."""
    body = b'{"model":"none","messages":[{"role":"user","content":"x"}]}'
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    host, _, port = url.rpartition("/")[2].partition(":")
    stream = await trio.open_tcp_stream(host, int(port))
    async with stream:
        while times > 0:
            row = min(times, 100)
            times -= row
            await stream.send_all((head.encode() + body) * row)
            answers = b""
            while answers.count(b'"request_id"') < row:
                answers += await stream.receive_some()
            assert answers.count(b"HTTP/1.1 404 ") == row


@pytest.mark.fault("F105")
async def test_f105_a_log_that_nobody_reads_delays_no_request_and_is_counted(tmp_path: Path) -> None:
    port = free_port()
    place = Place(tmp_path, drain=1, more=f'[metrics]\nbind = "127.0.0.1:{port}"\n')
    async with unread(place) as (process, url, key):
        with trio.fail_after(300):
            await ask_in_vain(url, key, QUEUE + 400)
            await ask(url, key, 20)
            figures = (await get(f"http://127.0.0.1:{port}", "/metrics")).body.decode()
            found = re.search(r"^headrace_log_lines_dropped_total (\S+)$", figures, re.MULTILINE)
            assert found is not None
            # The pipe and the piece in hand hold a few of the lines, the queue most.
            assert 320 <= float(found[1]) <= 420
            assert (await get(url, "/healthz")).status == 200
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert await process.wait() == 0
            # Two seconds for the log and one for the drain, on a machine that is not busy.
            assert time.monotonic() - began < 60
    assert place.rows("SELECT count(*) FROM usage_record")[0][0] == 20
    assert (await place.verified())["open_holds"] == 0


@pytest.mark.fault("F105")
async def test_f105_several_processes_share_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    place = Place(tmp_path, drain=1)
    async with unread(place, "--workers", "2") as (process, url, key):
        with trio.fail_after(LONG):
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(ask, url, key, 40)
            # What the supervisor has to say finds no room either, and it goes on all the same.
            place.config.write_text("nonsense")
            process.send_signal(signal.SIGHUP)
            await ask(url, key, 10)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    assert place.rows("SELECT count(*) FROM usage_record")[0][0] == 170


@pytest.mark.parametrize("workers", [1, 2])
async def test_each_request_is_a_line_that_says_whose_it_is(tmp_path: Path, workers: int) -> None:
    place = Place(tmp_path)
    async with place.serving("--workers", str(workers)) as gateway:
        costs = {}
        for number in range(6):
            headers = {"X-Request-ID": f"label-{number}"}
            body = chat("sim/echo", stream=bool(number % 2), max_tokens=4)
            answer = await post(gateway.url, CHAT, body, key=gateway.starter_key, headers=headers)
            assert answer.status == 200
            costs[f"label-{number}"] = answer.headers.get("x-gateway-cost")
        refused = chat("sim/nothing-of-the-kind", stream=False)
        assert (await post(gateway.url, CHAT, refused, key=gateway.starter_key)).status == 404
        await gateway.stop()
        lines = [json.loads(line) for line in gateway.out.splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["event"] == "request"]
    by_label = {line["request_id"]: line for line in requests}
    assert len(requests) == 7
    for label, cost in costs.items():
        line = by_label[label]
        assert (line["status"], line["outcome"], line["provider"]) == (200, "ok", "sim")
        if cost is not None:
            assert round(float(line["cost_usd"]) * 1e9) == nano(cost)
    others = [line for line in requests if line["request_id"] not in costs]
    assert [(line["status"], line["outcome"], line["error"]) for line in others] == [
        (404, "refused", "model_not_found")
    ]
    if workers == 1:
        assert not any("worker" in line for line in lines)
    else:
        assert {line["worker"] for line in requests} <= {"edge 0", "edge 1"}
        assert {"edge 0", "edge 1"} <= {line["worker"] for line in lines}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a pseudo-terminal of Linux")
async def test_on_a_terminal_it_is_for_people(tmp_path: Path) -> None:
    place = Place(tmp_path)
    line, options = place._how(("serve",))
    ours, theirs = os.openpty()
    seen = b""

    def look() -> bool:
        nonlocal seen
        if os.get_blocking(ours):
            os.set_blocking(ours, False)
        try:
            seen += os.read(ours, 65_536)
        except BlockingIOError:
            return False
        return b"Hello, Headrace!" in seen

    process = await trio.lowlevel.open_process(line, stdout=theirs, stderr=theirs, **options)
    try:
        await wait_until(look, LONG)
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(LONG):
            assert await process.wait() == 0
        look()
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                process.kill()
            await process.wait()
        os.close(ours)
        os.close(theirs)
    assert b"drained" in seen
    assert b"{" not in seen.partition(b"Hello, Headrace!")[2].partition(b"\n")[2]
