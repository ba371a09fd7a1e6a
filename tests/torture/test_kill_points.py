"""Each step of a request, and a process killed on purpose just before it and just after it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from tests.fakes.client import Client, chat, text_of
from tests.fakes.script import WORD
from tests.fakes.three_way import Booked, Read, disagreements
from tests.process.place import NANO_PER_CREDIT, Place, Served, wait_until
from tests.process.tree import eventually, part, parts, serves

from .doomed import DOOM
from .gateway import CHAT, TARIFF, TOKENS, Paced, wait_unheld

ROOT = Path(__file__).parents[2]
GRANTED = 10_000 * NANO_PER_CREDIT
PATIENCE = 60
NAMED = {"X-Request-ID": "doomed"}
BROKEN = (OSError, EOFError, trio.BrokenResourceError)
ENDS = """
SELECT e.request_id, e.hold_id, e.kind, e.how, e.cost, u.cost
FROM hold_end e LEFT JOIN usage_record u ON u.generation_id = e.hold_id
"""


class DoomedPlace(Place):
    """A place whose gateway dies where it is told to."""

    def __init__(self, path: Path, upstream: Paced, workers: int, more: str = "") -> None:
        super().__init__(path, upstream=upstream.base_url, more=f"workers = {workers}\n{more}")
        self.doom = path / "doom"
        self.environ |= {DOOM: str(self.doom), "PYTHONPATH": str(ROOT)}

    def _how(self, args: tuple[str, ...]) -> tuple[list[str], dict[str, Any]]:
        command, options = super()._how(args)
        if args[0] == "serve":
            command = ["tests.torture.doomed" if word == "proxy" else word for word in command]
        return command, options


class Ended(NamedTuple):
    """How a request's hold ended."""

    hold: str
    kind: str
    how: str
    cost: int
    recorded: int | None


async def read_on(client: Client, upstream: Paced, name: str, read: Read, most: int | None = None) -> None:
    """Read an answer on, asking for each token when the one before has come, `most` of them or all."""
    with suppress(*BROKEN), trio.fail_after(PATIENCE):
        read.status = read.status or (await client.head()).status
        while (payload := await client.payload()) is not None:
            if payload == b"[DONE]" or text_of([payload]) != WORD:
                continue
            read.tokens += 1
            if read.tokens == most:
                return
            upstream.pace[name].release()
        read.whole = read.tokens == TOKENS and client.answer.complete and payload is None


async def asked(url: str, key: str, upstream: Paced, name: str, **headers: str) -> Read:
    """Make a request and read its answer as far as it comes."""
    read = Read()
    with suppress(*BROKEN):
        async with Client(url, key) as client:
            body = chat(user=name, max_tokens=TOKENS, usage=True)
            await client.request(CHAT, body, headers={"X-Request-ID": name, **headers})
            await read_on(client, upstream, name, read)
    return read


async def served(gateway: Served, key: str, upstream: Paced, name: str) -> Read:
    """Ask until somebody answers whole: who died is replaced."""
    with trio.fail_after(PATIENCE):
        for number in count():
            read = await asked(gateway.url, key, upstream, f"after-{name}-{number}")
            if read.whole:
                break
            await trio.sleep(0.05)
    return read


class Fate(NamedTuple):
    """What is to become of a request whose process dies at a point."""

    tokens: int
    """That come to its client."""
    hits: int
    """Requests that come to its provider."""
    kinds: set[str]
    """How its hold may end; none where there is to be no hold."""
    cost: int


FATES = {
    "open before": Fate(0, 0, set(), 0),
    "open after": Fate(0, 0, set(), 0),
    "send Admit": Fate(0, 0, {"void"}, 0),
    "sent before": Fate(0, 0, {"void"}, 0),
    "sent after": Fate(0, 0, {"void"}, 0),
    "streams before": Fate(0, 1, {"void"}, 0),
    "mark 4 before": Fate(0, 1, {"void", "settle"}, 0),
    "mark 4 after": Fate(0, 1, {"settle"}, TARIFF.part(1)),
    "mark 20 before": Fate(4, 1, {"settle"}, TARIFF.part(4)),
    "mark 20 after": Fate(4, 1, {"settle"}, TARIFF.part(5)),
    "done before": Fate(TOKENS, 1, {"settle"}, TARIFF.part(TOKENS)),
    "done after": Fate(TOKENS, 1, {"settle"}, TARIFF.whole),
    "send Settle": Fate(TOKENS, 1, {"settle"}, TARIFF.whole),
    "free doomed": Fate(TOKENS, 1, {"settle"}, TARIFF.whole),
}


ALONE = {
    "submit Admit": Fate(0, 0, set(), 0),
    "mark 20 after": FATES["mark 20 after"],
    "submit Settle": FATES["send Settle"],
}
"""Of a process that is its own ledger's: what is only submitted dies with it."""


class Scene:
    """A gateway, and what is known of the requests that were made of it."""

    def __init__(
        self, place: DoomedPlace, upstream: Paced, key: str, fates: Mapping[str, Fate] = FATES
    ) -> None:
        self.place = place
        self.upstream = upstream
        self.key = key
        self.fates = fates
        self.read: dict[str, Read] = {}

    async def hit(self, gateway: Served, point: str) -> None:
        """Make a request whose process dies at that point."""
        name = _name(point)
        self.place.doom.write_text(point)
        self.read[point] = await asked(gateway.url, self.key, self.upstream, name)
        await wait_until(lambda: not self.place.doom.exists(), PATIENCE)

    async def recovered(self, gateway: Served, point: str) -> None:
        """Wait until nothing is held, and somebody serves."""
        await wait_unheld(self.place)
        await served(gateway, self.key, self.upstream, _name(point))

    def amiss(self) -> dict[str, list[str]]:
        """Return what is not as it is to be, by point."""
        found: dict[str, list[Ended]] = {}
        for name, *rest in self.place.rows(ENDS):
            found.setdefault(name, []).append(Ended(*rest))
        sent = self.upstream.sent()
        amiss = {}
        for point, read in self.read.items():
            name = _name(point)
            said = list(_amiss(self.fates[point], read, found.get(name, []), sent.get(name, [])))
            if said:
                amiss[point] = [*said, f"{read} {found.get(name)} {sent.get(name)}"]
        return amiss


def _name(point: str) -> str:
    """Return what a request is called whose process dies at a point."""
    return "doomed" if point == "free doomed" else point.replace(" ", "-")


def _amiss(fate: Fate, read: Read, ends: list[Ended], sent: list[int]) -> Iterator[str]:
    booked = [Booked(end.hold, end.how, end.cost, end.recorded) for end in ends]
    yield from disagreements(read, booked, sent, TARIFF)
    if read.tokens != fate.tokens:
        yield f"{fate.tokens} tokens were to come"
    if len(sent) != fate.hits:
        yield f"{fate.hits} requests were to come to the provider"
    if {end.kind for end in ends} - fate.kinds or (fate.kinds and len(ends) != 1):
        yield f"its hold was to end as {fate.kinds}"
    if sum(end.cost for end in ends) != fate.cost:
        yield f"it was to cost {fate.cost}"


async def balanced(place: Place) -> None:
    """Nothing is held, every invariant holds, and the account has paid what its holds ended at."""
    assert (await place.verified())["open_holds"] == 0
    ((paid,),) = place.rows("SELECT COALESCE(sum(captured + overrun), 0) FROM hold_end")
    assert await place.balance() == (GRANTED - paid, 0)


@pytest.mark.fault("F84", "F85", "F86", "F87", "F88")
async def test_an_edge_is_killed_at_every_step(tmp_path: Path) -> None:
    async with Paced() as upstream:
        place = DoomedPlace(tmp_path, upstream, 2)
        async with place.serving() as gateway:
            scene = Scene(place, upstream, gateway.starter_key)
            for point in FATES:
                await scene.hit(gateway, point)
                await scene.recovered(gateway, point)
            await gateway.end(signal.SIGTERM, PATIENCE)
        assert scene.amiss() == {}
    await balanced(place)


@pytest.mark.fault("F84", "F85", "F86", "F87", "F88")
async def test_a_gateway_of_one_process_is_killed_at_every_step(tmp_path: Path) -> None:
    async with Paced() as upstream:
        place = DoomedPlace(tmp_path, upstream, 1)
        scene: Scene | None = None
        for point in ALONE:
            async with place.serving() as gateway:
                scene = scene or Scene(place, upstream, gateway.starter_key, ALONE)
                await scene.hit(gateway, point)
                with trio.fail_after(PATIENCE):
                    await gateway.process.wait()
        async with place.serving() as gateway:
            assert scene is not None
            await scene.recovered(gateway, point)
            await gateway.end(signal.SIGTERM, PATIENCE)
        assert scene.amiss() == {}
    await balanced(place)


@pytest.mark.fault("F89")
@pytest.mark.parametrize("point", ["commit before", "commit after"])
async def test_the_ledgers_owner_is_killed_inside_a_commit(tmp_path: Path, point: str) -> None:
    """The end of a stream is in that commit: it waits at the edge, and is taken once."""
    async with Paced() as upstream:
        place = DoomedPlace(tmp_path, upstream, 2)
        async with place.serving() as gateway:
            key = gateway.starter_key
            read = Read()
            async with Client(gateway.url, key) as client:
                upstream.pace["doomed"].release()
                await client.request(CHAT, chat(user="doomed", max_tokens=TOKENS, usage=True), headers=NAMED)
                await upstream.wait_tokens(2)
                before = part(gateway, "control")
                place.doom.write_text(point)
                await read_on(client, upstream, "doomed", read)
            await wait_until(lambda: not place.doom.exists(), PATIENCE)
            await wait_until(lambda: before not in parts(gateway).get("control", [before]), PATIENCE)
            await served(gateway, key, upstream, "doomed")
            await wait_unheld(place)
            # One that is admitted in such a commit is told that the ledger cannot say, and pays nothing.
            place.doom.write_text(point)
            refused = await asked(gateway.url, key, upstream, "refused")
            await wait_until(lambda: not place.doom.exists(), PATIENCE)
            await served(gateway, key, upstream, "refused")
            await wait_unheld(place)
            await gateway.end(signal.SIGTERM, PATIENCE)
    assert (read.tokens, read.whole) == (TOKENS, True)
    assert (refused.status, refused.tokens) == (503, 0)
    ends = place.rows("SELECT request_id, kind, how, cost FROM hold_end WHERE account IS NOT NULL")
    assert ("doomed", "settle", "usage", TARIFF.whole) in ends
    assert {end[1:] for end in ends if end[0] == "refused"} <= {("void", "unsent", 0)}
    assert place.rows("PRAGMA integrity_check") == [("ok",)]
    await balanced(place)


class Stream(NamedTuple):
    """One that has begun, and the process it is served by."""

    name: str
    client: Client
    edge: int
    read: Read


def _served(edges: list[int], port: int) -> bool:
    return any(serves(pid, port) for pid in edges)


async def one_each(gateway: Served, key: str, upstream: Paced, stack: AsyncExitStack) -> list[Stream]:
    """Begin a stream at each of two edges, and read four tokens of it."""
    found: dict[int, Stream] = {}
    edges = [part(gateway, "edge 0"), part(gateway, "edge 1")]
    with trio.fail_after(PATIENCE):
        for number in count():
            name = f"stream-{number}"
            client = await stack.enter_async_context(Client(gateway.url, key))
            body = chat(user=name, max_tokens=TOKENS, usage=True)
            await client.request(CHAT, body, headers={"X-Request-ID": name})
            assert client._raw is not None
            port = client._raw.socket.getsockname()[1]
            await wait_until(partial(_served, edges, port))
            stream = Stream(name, client, next(pid for pid in edges if serves(pid, port)), Read())
            if found.setdefault(stream.edge, stream) is not stream:
                client.close()
                continue
            await read_on(client, upstream, name, stream.read, 4)
            if len(found) == 2:
                break
    return list(found.values())


@pytest.mark.fault("F90")
async def test_an_edge_that_stood_still_for_too_long_is_shut_out(tmp_path: Path) -> None:
    """What it had open is ended while it stands; when it wakes up it settles nothing, and ends."""
    async with Paced() as upstream, AsyncExitStack() as stack:
        place = DoomedPlace(tmp_path, upstream, 2, "lease = 1\n")
        gateway = await stack.enter_async_context(place.serving())
        stopped, other = await one_each(gateway, gateway.starter_key, upstream, stack)
        os.kill(stopped.edge, signal.SIGSTOP)
        try:
            await eventually(place, lambda figures: figures["open_holds"] == 1, PATIENCE)
            upstream.pace[other.name].release()
            await read_on(other.client, upstream, other.name, other.read)
            await wait_unheld(place)
        finally:
            with suppress(ProcessLookupError):
                os.kill(stopped.edge, signal.SIGCONT)
        await wait_until(lambda: [stopped.edge] not in parts(gateway).values(), PATIENCE)
        await read_on(stopped.client, upstream, stopped.name, stopped.read)
        await served(gateway, gateway.starter_key, upstream, "stopped")
        assert await gateway.end(signal.SIGTERM, PATIENCE) == 0
        assert "is silent: it is shut out" in gateway.err
    assert (other.read.tokens, other.read.whole) == (TOKENS, True)
    assert (stopped.read.tokens, stopped.read.whole) == (4, False)
    ends = [Ended(*rest) for name, *rest in place.rows(ENDS) if name == stopped.name]
    assert [(end.kind, end.how, end.cost) for end in ends] == [("settle", "recovered", TARIFF.part(4))]
    await balanced(place)
