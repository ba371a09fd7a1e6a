"""`make torture`: a million operations of the bank, then a whole gateway, a process killed every second.

The gateway is tortured on SQLite, and on a PostgreSQL that is cut off and killed as well.

The bank's part ends at so many operations or after so many seconds, whichever comes first, and audits what
there is. Its directory is kept if it is given, and gone on with the next time. Ctrl-C ends either part early.
Exits 1 where anything disagrees.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from tests.fakes.postgres import Postgres, postgres

from . import bank, gateway
from .gateway import Paced


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.torture", description=__doc__)
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--gateway", type=float, default=120.0, help="seconds for the whole gateway")
    parser.add_argument("--postgres", type=float, default=120.0, help="seconds for it on PostgreSQL")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-torture-") as made:
        directory = (given.directory or Path(made)).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        worst = trio.run(torture_bank, directory, given) if given.operations else 0
        if given.gateway:
            (Path(made) / "gateway").mkdir()
            worst = max(worst, trio.run(torture_gateway, Path(made) / "gateway", given.gateway, given.seed))
        if given.postgres:
            (Path(made) / "shared").mkdir()
            with postgres(durable=True) as server:
                found = trio.run(torture_gateway, Path(made) / "shared", given.postgres, given.seed, server)
            worst = max(worst, found)
        return worst


async def torture_gateway(directory: Path, seconds: float, seed: int, server: Postgres | None = None) -> int:
    """Torture a whole gateway, and tell of it; return the exit status."""
    async with Paced() as upstream, stopping() as stop:
        run = gateway.Torture(directory, upstream, seed=seed, say=_say, server=server)
        found = await run.run(seconds=seconds, stop=stop)
    _say(f"{found.asked} requests: {found.whole} whole, {found.left} left early, {found.refused} refused")
    _say(f"{run.killer.kills} kills, {run.killer.pauses} pauses, {found.lives} supervisors")
    if server is not None:
        _say(f"the database was cut off or killed {run.outages} times")
    _say(f"holds of the dead: {found.recovered}; looked at while it ran: {found.looks} times")
    _say(f"{len(found.faults)} faults")
    for fault in found.faults:
        _say(fault)
    return 1 if found.faults else 0


async def torture_bank(directory: Path, given: argparse.Namespace) -> int:
    """Torture the bank, and tell of it; return the exit status."""
    run = bank.Torture(directory, clients=given.clients, seed=given.seed, say=_say)
    async with stopping() as stop:
        found = await run.run(operations=given.operations, seconds=given.seconds, stop=stop)
    course = run.course
    _say(f"{found.answers:,} operations answered, this time in {course.seconds:.0f} s")
    _say(f"{run.killer.kills} kills, {run.killer.pauses} pauses, {course.lives} supervisors")
    _say(f"{found.holds:,} holds ended, {found.open_holds} open; recovered: {found.recovered}")
    _say(f"ended after their client's death, or control's return, within {_spread(found.delays)}")
    _say(f"control was there again within {_spread(found.away)}")
    _say(f"{len(course.samples)} images audited, {sum(each.wrong for each in course.samples)} faults in them")
    _say(f"drift {found.drift} nano-USD, {found.wrong} faults")
    faults = [fault for each in (*course.samples, found) for fault in each.faults]
    for fault in faults:
        _say(fault)
    return 1 if faults or found.drift or found.open_holds else 0


@asynccontextmanager
async def stopping() -> AsyncIterator[trio.Event]:
    """Give what is set when we are asked to stop."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(_heed, stop)
        yield stop
        nursery.cancel_scope.cancel()


async def _heed(stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            stop.set()


def _spread(delays: Sequence[int]) -> str:
    if not delays:
        return "no time at all: there were none"
    ordered = sorted(delays)
    return (
        f"{max(ordered)} ms (median {statistics.median(ordered):.0f},"
        f" p99 {ordered[int(len(ordered) * 0.99)]}, of {len(ordered)})"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
