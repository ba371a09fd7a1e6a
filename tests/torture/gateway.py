"""A whole gateway under kills: streams through it, token by token, while a part of it dies each second.

A provider sends the next token when the client has read the one before: what is between them is one piece.
So a killed stream's bill may be one token beyond what its client has, and no other's may be anything beyond.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from proxy.control.socket import ControlError
from tests.fakes.client import Client, chat, text_of
from tests.fakes.postgres import Postgres
from tests.fakes.script import WORD, Script
from tests.fakes.three_way import Booked, Read, Tariff, all_disagreements
from tests.fakes.upstream import FaultyUpstream
from tests.process.place import INPUT, OUTPUT, Place, Served, free_port, wait_until
from tests.process.shared import SharedPlace
from tests.process.tree import figures_of

from .killer import ENDING, Killer
from .notes import Times

CHAT: Final = "/v1/chat/completions"
CREDITS: Final = "1000000"
EMAIL: Final = "user@localhost"
CLIENTS: Final = 24
TOKENS: Final = 12
SAID, COUNTED = 10, 5
"""Tokens of the question: by the provider, and by our own count."""
LIFE: Final = 20.0
"""Seconds, about, until it is the supervisor's turn."""
LOOK_EVERY: Final = 2.0
EVERY: Final = 2.5
"""Seconds between two kills where the database is hurt as well."""
OUTAGES: Final = (2.0, 6.0)
"""Seconds, from and to, between two of the database's."""
CUTS: Final = 0.5
"""How often its connections are cut, instead of all of it being killed."""
LONGEST: Final = 2.0
"""Seconds that it is away."""
_AGAIN: Final = 0.1
_BROKEN: Final = (OSError, EOFError, trio.BrokenResourceError)
TARIFF: Final = Tariff(SAID * INPUT + TOKENS * OUTPUT, lambda tokens: COUNTED * INPUT + tokens * OUTPUT)
_BOOKED: Final = """
SELECT e.request_id, e.hold_id, e.how, e.cost, u.cost
FROM hold_end e LEFT JOIN usage_record u ON u.generation_id = e.hold_id WHERE e.account IS NOT NULL
"""


async def wait_unheld(place: Place) -> None:
    """Wait until nothing is held in a ledger that is in order."""
    with trio.fail_after(ENDING):
        while True:
            with suppress(ControlError, OSError):
                figures = await figures_of(place)
                assert figures["ok"], figures
                if figures["open_holds"] == 0:
                    return
            await trio.sleep(_AGAIN)


class Paced(FaultyUpstream):
    """A provider whose clients say when they want the next token, and the end."""

    def __init__(self) -> None:
        super().__init__()
        self.pace: dict[str, trio.Semaphore] = defaultdict(lambda: trio.Semaphore(0))

    def _next_script(self, body: Any) -> Script:
        pace = self.pace[body["user"]]
        return Script(tokens=TOKENS, gap=pace, at=((TOKENS, pace),))

    def sent(self) -> dict[str, list[int]]:
        """Return how many tokens went out, attempt by attempt, of each request."""
        found: dict[str, list[int]] = defaultdict(list)
        for seen in self.requests:
            found[seen.json["user"]].append(seen.tokens_sent)
        return found


@dataclass
class Found:
    """What came of it."""

    asked: int = 0
    whole: int = 0
    left: int = 0
    refused: int = 0
    recovered: dict[str, int] = field(default_factory=dict)
    looks: int = 0
    lives: int = 0
    faults: list[str] = field(default_factory=list)


class Torture:
    """One run."""

    def __init__(
        self,
        directory: Path,
        upstream: Paced,
        *,
        seed: int,
        say: Callable[[str], None],
        server: Postgres | None = None,
    ) -> None:
        """Make it; with a `server` the store is a database of that, which dies and comes back as well."""
        self.place = (
            Place(directory, upstream=upstream.base_url)
            if server is None
            else SharedPlace(directory, server, upstream=upstream.base_url)
        )
        self.outages = 0
        self._server = server
        self.found = Found()
        self._upstream = upstream
        self._chance = random.Random(seed)
        every = 1.0 if server is None else EVERY
        self.killer = Killer(self._chance, Times(directory), every)
        self._say = say
        self._url = f"http://127.0.0.1:{free_port()}"
        self._read: dict[str, Read] = {}
        self._over = False

    async def run(self, *, seconds: float, stop: trio.Event) -> Found:
        """Torture so long, or until told to stop; then wait until all is quiet, and compare."""
        await self.place.run("accounts", "create", EMAIL, "--credits", CREDITS)
        key = await self.place.value("keys", "create", EMAIL)
        self.found.lives = lives = max(2, round(seconds / LIFE))
        for life in range(1, lives + 1):
            async with self._serving() as served, trio.open_nursery() as nursery:
                self._over = False
                for number in range(CLIENTS):
                    nursery.start_soon(self._ask_on, f"{life}-{number}", key)
                with trio.move_on_after(seconds / lives):
                    await self._hurt(served, stop)
                self._over = True
                nursery.start_soon(self._end, served, nursery, life == lives or stop.is_set())
            if stop.is_set():
                break
        await self._compare()
        return self.found

    async def _end(self, served: Served, clients: trio.Nursery, last: bool) -> None:
        """Kill the supervisor while clients read; of the last, wait until they and their holds have ended."""
        if not last:
            await self.killer.behead(served)
            return
        await wait_until(lambda: len(clients.child_tasks) == 1, ENDING)
        await wait_unheld(self.place)
        await self.killer.stop(served)

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[Served]:
        async with self.place.serving(
            "--workers", "2", "--bind", self._url.removeprefix("http://")
        ) as served:
            yield served

    async def _hurt(self, served: Served, stop: trio.Event) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.killer.run, served)
            if self._server is not None:
                nursery.start_soon(self._outages, self._server)
            while not stop.is_set():
                with trio.move_on_after(LOOK_EVERY):
                    await stop.wait()
                await self._look()
            nursery.cancel_scope.cancel()

    async def _outages(self, server: Postgres) -> None:
        """Cut the database's connections, or kill all of it and start it again, until cancelled."""
        while True:
            await trio.sleep(self._chance.uniform(*OUTAGES))
            self.outages += 1
            if self._chance.random() < CUTS:
                await trio.to_thread.run_sync(server.hang_up)
                continue
            await trio.to_thread.run_sync(server.stop)
            try:
                await trio.sleep(self._chance.uniform(0, LONGEST))
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(server.start)

    async def _look(self) -> None:
        """Have the invariants checked while everything runs, if there is somebody to ask."""
        with suppress(ControlError, OSError):
            figures = await figures_of(self.place)
            self.found.looks += 1
            broken = [name for name, invariant in figures["invariants"].items() if not invariant["ok"]]
            if broken or figures["drift_nanousd"]:
                self.found.faults.append(f"while all runs, {broken} do not hold: {figures}")
            self._say(
                f"{len(self._read)} requests, {self.killer.kills} kills, {figures['open_holds']} holds open"
            )

    # Clients.

    async def _ask_on(self, number: str, key: str) -> None:
        asked = 0
        while not self._over:
            asked += 1
            name = f"{number}-{asked}"
            read = self._read[name] = Read()
            with suppress(*_BROKEN):
                async with Client(self._url, key) as client:
                    with trio.fail_after(ENDING):
                        await self._ask(client, name, read)
            if not read.whole:
                await trio.sleep(_AGAIN)

    async def _ask(self, client: Client, name: str, read: Read) -> None:
        """Read an answer token by token; one in five clients leaves amid it."""
        most = self._chance.randrange(TOKENS) if self._chance.random() < 0.2 else None
        body = chat(user=name, max_tokens=TOKENS, usage=True)
        await client.request(CHAT, body, headers={"X-Request-ID": name})
        read.status = (await client.head()).status
        if read.status != 200:
            await client.whole()
            return
        while (payload := await client.payload()) is not None:
            if payload == b"[DONE]":
                continue
            if b'"error"' in payload:
                read.error = json.loads(payload)["error"]["code"]
            elif text_of([payload]) == WORD:
                read.tokens += 1
                if read.tokens == most:
                    read.left = True
                    client.close(self._chance.choice(["fin", "rst"]))
                    return
                self._upstream.pace[name].release()
        read.whole = client.answer.complete and read.error is None and read.tokens == TOKENS

    # What is left.

    async def _compare(self) -> None:
        figures = await self.place.verified()
        if figures["open_holds"]:
            self.found.faults.append(f"{figures['open_holds']} holds are open after all is quiet")
        booked: dict[str, list[Booked]] = defaultdict(list)
        for name, *end in self.place.rows(_BOOKED):
            booked[name].append(Booked(*end))
        found = self.found
        found.faults += all_disagreements(self._read, booked, self._upstream.sent(), TARIFF)
        posted, held = await self.place.balance(EMAIL)
        spent = sum(end.cost for ends in booked.values() for end in ends)
        if (posted, held) != (int(CREDITS) * 1_000_000 - spent, 0):
            found.faults.append(f"{posted} posted and {held} held, after {spent} was spent")
        found.asked = len(self._read)
        found.whole = sum(read.whole for read in self._read.values())
        found.left = sum(read.left for read in self._read.values())
        found.refused = sum(read.status not in {200, None} for read in self._read.values())
        ends = [end for each in booked.values() for end in each if end.how == "recovered"]
        found.recovered = {
            "paid": sum(end.cost > 0 for end in ends),
            "free": sum(end.cost == 0 for end in ends),
        }
