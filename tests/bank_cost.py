"""What the bank costs, on SQLite with FULL synchronisation and on PostgreSQL: `make bank-cost`. No asserts.

How many pairs of admit and settle a second, and how long an admit takes at 300 a second, beside what an fsync
takes on the same disk in the same run. Each request has the scopes, the limits and the record of a real one.
A database that machines share is also asked by two of them at once, each a process with accounts of its own.
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from proxy.bank.desk import Desk
from proxy.bank.ops import Admit, Admitted, Grant, Settle
from proxy.bank.postgres.store import open_postgres
from proxy.bank.record import Record, RecordedAttempt
from proxy.bank.sqlite import open_sqlite
from proxy.bank.store import Tables
from proxy.words.ids import new_generation_id
from proxy.words.money import MAX_NANO
from proxy.words.principal import Limits, Scope
from proxy.words.usage import Usage

from .fakes.postgres import postgres

ACCOUNTS = 100
CLIENTS = 400
PAIRS = 20_000
WARM = 1000
MACHINES = 1, 2
RATE, SECONDS = 300, 10
FSYNCS = 200
LIMITS = Limits(rpm=10**9, tokens_per_day=10**12, concurrency=10**6, cost_per_day=MAX_NANO // 2)


def admit(account: int) -> Admit:
    scopes = Scope("key", account, LIMITS), Scope("account", account, LIMITS)
    hold = new_generation_id()
    return Admit(f"{hold}:admit", hold, account, account, 1000, 50, time.time_ns() // 1_000_000, scopes)


def settle(opened: Admit) -> Settle:
    return Settle(f"{opened.hold_id}:end", opened.hold_id, 600, 40, time.time_ns() // 1_000_000)


def record(opened: Admit) -> Record:
    return Record(
        generation_id=opened.hold_id,
        request_id="req_0123456789ABCDEFGHJKMNPQRS",
        account=opened.account,
        key_id=opened.key_id,
        project=None,
        model="openai/gpt-4o-mini",
        provider="openai",
        upstream_model="gpt-4o-mini",
        usage=Usage(input=30, output=10),
        estimated=False,
        cost=600,
        price_version="v1",
        started_at=opened.at,
        first_token_ms=200,
        duration_ms=900,
        outcome="ok",
        stream=True,
        attempts=(RecordedAttempt("openai", "gpt-4o-mini", "ok", 200, 500, 1, 199, 899),),
    )


async def pairs_a_second(desk: Desk, pairs: int = PAIRS, first: int = 1) -> tuple[float, float]:
    """Return the pairs a second and the processor's share of one core that they took."""
    left = pairs

    async def client(account: int) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            opened = admit(account)
            assert isinstance(await desk.call(opened), Admitted)
            await desk.call(settle(opened), record(opened))

    started, busy = time.perf_counter(), cpu_seconds()
    async with trio.open_nursery() as nursery:
        for number in range(CLIENTS):
            nursery.start_soon(client, first + number % ACCOUNTS)
    seconds = time.perf_counter() - started
    return pairs / seconds, (cpu_seconds() - busy) / seconds


async def admits_at_a_rate(desk: Desk) -> list[float]:
    """Return how long each admit took from when it was due, in milliseconds; they come at random."""
    dice, took = random.Random(1), []

    async def request(due: float) -> None:
        opened = admit(dice.randint(1, ACCOUNTS))
        assert isinstance(await desk.call(opened), Admitted)
        took.append((trio.current_time() - due) * 1000)
        desk.submit(settle(opened), record(opened))

    due = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(RATE * SECONDS):
            due += dice.expovariate(RATE)
            await trio.sleep_until(due)
            nursery.start_soon(request, due)
    return took


def fsyncs(directory: Path) -> list[float]:
    """Return how long it takes to write a page and have it on the disk, in milliseconds."""
    took = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            file.write(bytes(4096))
            started = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - started) * 1000)
    return took


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def percentile(figures: Sequence[float], share: float) -> float:
    return sorted(figures)[min(int(len(figures) * share), len(figures) - 1)]


async def furnish(store: Tables, accounts: int) -> None:
    for _ in range(accounts):
        account = await store.create_account()
        await store.transact([Grant(f"g{account}", account, MAX_NANO // 1000, 0)], [None])


async def measure(store: Tables, disk: float) -> None:
    async with trio.open_nursery() as nursery:
        desk = Desk(store)
        await nursery.start(desk.run)
        took = await admits_at_a_rate(desk)
        rate, cores = await pairs_a_second(desk)
        told = desk.statistics()
        nursery.cancel_scope.cancel()
    middle, late = statistics.median(took), percentile(took, 0.99)
    print(f"admit, {RATE}/s  p50 {middle:.2f} ms (goal {1 + 2 * disk:.2f})  p99 {late:.2f} ms (goal 25)")
    print(f"admit+settle   {rate:.0f} a second (goal 5000), batches of {told.largest} at most")
    print(
        f"               {cores / rate * 1e6:.0f} µs of processor each, {rate / cores:.0f} a second of a core"
    )


async def machine(url: str, host: int) -> None:
    """Be one of several: say when ready, and do as many pairs after a line has come."""
    async with open_postgres(url, host) as store, trio.open_nursery() as nursery:
        desk = Desk(store)
        await nursery.start(desk.run)
        first = 1 + ACCOUNTS * (host - 1)
        await pairs_a_second(desk, WARM, first)
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        await pairs_a_second(desk, PAIRS, first)
        nursery.cancel_scope.cancel()


def together(url: str) -> float:
    """Return how many pairs a second two machines have in all, from when both begin to when the last ends."""
    command = [sys.executable, "-m", "tests.bank_cost", url]
    begun = [
        subprocess.Popen([*command, str(host)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for host in MACHINES
    ]
    for one in begun:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    started = time.perf_counter()
    for one in begun:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    for one in begun:
        assert one.wait() == 0
    return PAIRS * len(begun) / (time.perf_counter() - started)


async def on_sqlite(directory: Path, disk: float) -> None:
    async with open_sqlite(directory / "data" / "headrace.db") as store:
        await furnish(store, ACCOUNTS)
        await measure(store, disk)


async def on_postgres(url: str, disk: float) -> None:
    async with open_postgres(url, 1) as store:
        await furnish(store, ACCOUNTS * len(MACHINES))
        await measure(store, disk)


def main() -> None:
    with tempfile.TemporaryDirectory(dir=".", prefix=".bank-cost-") as name:
        disk = statistics.median(fsyncs(Path(name)))
        print(f"fsync          p50 {disk:.2f} ms")
        print("SQLite")
        trio.run(on_sqlite, Path(name), disk)
    print("PostgreSQL, on the same cores")
    with postgres(durable=True) as server:
        url = server.database()
        trio.run(on_postgres, url, disk)
        print(f"two machines   {together(url):.0f} a second in all (goal 5000)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        trio.run(machine, sys.argv[1], int(sys.argv[2]))
    else:
        main()
