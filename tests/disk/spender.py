"""A process on a disk that fails: spends, and writes which operations it was told are durable, or undecided.

python -m tests.disk.spender DIRECTORY ROUNDS WIDTH

The file `said` in the directory gets a line for each answer, as soon as it came: `+ op` is durable, `- op`
was refused for good. It ends with `end` where the process has come to its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio

from proxy.bank.desk import Desk
from proxy.bank.ops import BankUnavailableError, Op
from proxy.bank.record import Record
from proxy.bank.sqlite import open_sqlite
from tests.bank.kit import admit, grant, record, settle, void


class Spender:
    def __init__(self, desk: Desk, said: int) -> None:
        self.desk = desk
        self.said = said

    async def call(self, op: Op, record: Record | None = None) -> bool:
        try:
            await self.desk.call(op, record)
        except BankUnavailableError:
            self.say(f"- {op.op_id}")
            return False
        self.say(f"+ {op.op_id}")
        return True

    def say(self, line: str) -> None:
        os.write(self.said, f"{line}\n".encode())

    async def spend(self, name: str, rounds: int) -> None:
        for number in range(rounds):
            hold = f"{name}.{number}"
            if number % 5 == 0:
                await self.call(grant(1000, op=f"{hold}:grant"))
            if await self.call(admit(hold, 100)):
                await self.call(
                    void(hold) if number % 3 == 0 else settle(hold, 30 + number % 90), record(hold, 0)
                )


async def main(directory: Path, rounds: int, width: int) -> None:
    said = os.open(directory / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    async with open_sqlite(directory / "headrace.db") as store, trio.open_nursery() as nursery:
        if await store.account(1) is None:
            await store.create_account()
        desk = Desk(store)
        await nursery.start(desk.run)
        spender = Spender(desk, said)
        life = len((directory / "said").read_bytes())
        await spender.call(grant(1_000_000, op=f"life {life}"))
        async with trio.open_nursery() as spending:
            for number in range(width):
                spending.start_soon(spender.spend, f"{life}.{number}", rounds)
        nursery.cancel_scope.cancel()
    os.write(said, b"end\n")


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
