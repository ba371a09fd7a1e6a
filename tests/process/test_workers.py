"""Several processes: each may die, be replaced or be stopped, and nobody else notices; the money is exact."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.fakes.client import Client, chat, get, post, streaming
from tests.fakes.script import ENDLESS, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from .place import PROMPT, Place, Served, free_port, nano, price, wait_refused, wait_until
from .streams import BROKEN, Streams
from .tree import alive, eventually, killed, part, parts, serves

CHAT = "/v1/chat/completions"
GRANTED = nano("10000")


def place_for(
    path: Path, upstream: FaultyUpstream | None = None, *, drain: float = 5, more: str = ""
) -> Place:
    url = None if upstream is None else upstream.base_url
    return Place(path, drain=drain, upstream=url, more=f"workers = 2\n{more}")


async def test_one_gateway_of_several_processes(tmp_path: Path) -> None:
    place = place_for(tmp_path)
    async with place.serving() as gateway:
        assert {name: len(pids) for name, pids in parts(gateway).items()} == {
            "control": 1,
            "edge 0": 1,
            "edge 1": 1,
        }
        costs = []
        for _ in range(12):
            answer = await post(gateway.url, CHAT, chat("sim/echo", stream=False), key=gateway.starter_key)
            assert answer.status == 200, answer.body
            costs.append(nano(answer.headers["x-gateway-cost"]))
            generation = answer.headers["x-generation-id"]
        found = await get(gateway.url, f"/v1/generation?id={generation}", key=gateway.starter_key)
        assert found.json["data"]["id"] == generation
        ready = await get(gateway.url, "/readyz", headers={"x-request-id": "mine"})
        assert (ready.status, ready.json["ledger"], ready.headers["x-request-id"]) == (200, True, "mine")
        assert (await get(gateway.url, "/docs")).body.startswith(b"<!doctype html>")
        assert (await get(gateway.url, "/nowhere")).status == 404
        # The command line reaches the part that controls, and what it revokes no edge remembers.
        (key,) = await place.listed()
        await place.run("keys", "revoke", str(key["id"]))
        for _ in range(8):
            answer = await post(gateway.url, CHAT, chat("sim/echo"), key=gateway.starter_key)
            assert answer.status == 401
        children = [pid for pids in parts(gateway).values() for pid in pids]
        await gateway.stop()
    assert not any(map(alive, children))
    assert sorted(path.name for path in place.data.iterdir() if path.is_socket()) == []
    assert await place.balance() == (GRANTED - sum(costs), 0)
    assert (await place.verified())["open_holds"] == 0


@pytest.mark.fault("F84", "F85", "F86")
async def test_an_edge_that_is_killed_takes_its_own_streams_along_and_no_other(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    go_on = trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on),))
    place = place_for(tmp_path, upstream)
    async with place.serving() as gateway, trio.open_nursery() as nursery:
        streams = Streams(gateway.url, gateway.starter_key)
        for _ in range(24):
            nursery.start_soon(streams.run, 4)
        await wait_until(lambda: streams.waiting == 24)
        victim = part(gateway, "edge 0")
        doomed = {port for port in streams.ports if serves(victim, port)}
        assert 0 < len(doomed) < 24
        await killed(gateway, "edge 0")
        await eventually(place, lambda figures: figures["open_holds"] == 24 - len(doomed))
        go_on.set()
        await wait_until(lambda: None not in streams.ports.values())
        assert {port for port, whole in streams.ports.items() if not whole} == doomed
        # The others' sockets were never without somebody who accepts.
        upstream.default = Script()
        for _ in range(8):
            answer = await post(gateway.url, CHAT, chat(stream=False), key=gateway.starter_key)
            assert answer.status == 200
            streams.costs += nano(answer.headers["x-gateway-cost"])
        assert "edge 0 ended (SIGKILL): another takes its place" in gateway.err
        number = len(doomed)
        assert f"of the {number} requests it had open {number} cost what they had been sent" in gateway.err
        streams.costs += price(PROMPT, 4) * number
        assert await gateway.end(signal.SIGTERM) == 0
    ends = place.rows("SELECT count(*) FROM hold_end WHERE kind = 'settle' AND how = 'recovered'")
    assert ends == [(len(doomed),)]
    assert await place.balance() == (GRANTED - streams.costs, 0)
    assert (await place.verified())["open_holds"] == 0


KILLS = int(os.environ.get("HEADRACE_KILLS", "12"))


@dataclass
class Load:
    """Clients that ask again and again, each on one connection as long as it lasts."""

    url: str
    key: str
    kills: int = 0
    asked: int = 0
    failed_later: int = 0
    """Failures on connections that had outlived a kill: those are another edge's."""
    refused: int = 0
    costs: dict[str, int] = field(default_factory=dict)

    async def ask_on(self) -> None:
        while True:
            since = self.kills
            try:
                async with Client(self.url, self.key) as client:
                    while True:
                        before = self.kills
                        await client.request(CHAT, chat("sim/echo", stream=False))
                        answer = await client.whole()
                        self._count(answer.status, answer.headers, complete=answer.complete)
                        if not answer.complete:
                            raise EOFError
                        # Whatever lived before a kill and answers after it is on the other edge.
                        since = min(since, before)
            except BROKEN:
                self.failed_later += self.kills > since + 1

    def _count(self, status: int, headers: dict[str, str], *, complete: bool) -> None:
        self.asked += 1
        self.refused += status != 200
        if complete and status == 200:
            self.costs[headers["x-generation-id"]] = nano(headers["x-gateway-cost"])


def _serves_anew(gateway: Served, times: int) -> bool:
    return gateway.out.count("edge 0 serves") == times


def _more(load: Load, than: int) -> bool:
    return load.asked > than


@pytest.mark.fault("F86", "F91")
async def test_edges_killed_again_and_again_under_load_disturb_no_other_edge(tmp_path: Path) -> None:
    place = place_for(tmp_path)
    slowest = 0.0
    async with place.serving() as gateway:
        load = Load(gateway.url, gateway.starter_key)
        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(load.ask_on)
            for _ in range(KILLS):
                asked = load.asked
                await wait_until(partial(_more, load, asked + 20))
                load.kills += 1
                begun = time.monotonic()
                await killed(gateway, "edge 0")
                slowest = max(slowest, time.monotonic() - begun)
                await wait_until(partial(_serves_anew, gateway, load.kills))
            nursery.cancel_scope.cancel()
        print(f"{KILLS} kills, {load.asked} requests, slowest respawn {slowest:.2f} s")  # noqa: T201
        assert (load.failed_later, load.refused) == (0, 0)
        await eventually(place, lambda figures: figures["open_holds"] == 0)
        assert await gateway.end(signal.SIGTERM) == 0
    settled = dict(place.rows("SELECT hold_id, cost FROM hold_end WHERE kind = 'settle'"))
    # What a client was told of costs what it was told, unless the edge died between the two.
    told = {name: cost for name, cost in load.costs.items() if name in settled}
    assert told == {name: settled[name] for name in told}
    assert len(load.costs) - len(told) <= 12 * KILLS
    assert await place.balance() == (GRANTED - sum(settled.values()), 0)


@pytest.mark.fault("F89", "F87")
async def test_streams_outlive_the_part_that_controls(tmp_path: Path, upstream: FaultyUpstream) -> None:
    go_on, finish = trio.Event(), trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on), (6, finish)))
    place = place_for(tmp_path, upstream)
    async with place.serving() as gateway, trio.open_nursery() as nursery:
        streams = Streams(gateway.url, gateway.starter_key)
        for _ in range(10):
            nursery.start_soon(streams.run, 4)
        await wait_until(lambda: streams.waiting == 10)
        # Half end while nobody is there to take their money, and half afterwards.
        control = part(gateway, "control")
        os.kill(control, signal.SIGSTOP)
        go_on.set()
        finish.set()
        await wait_until(lambda: None not in streams.ports.values(), 4)
        os.kill(control, signal.SIGKILL)
        refused = 0
        while (
            answer := await post(gateway.url, CHAT, chat(stream=False), key=gateway.starter_key)
        ).status != 200:
            assert (answer.status, answer.error["reason"], answer.headers["retry-after"]) == (
                503,
                "ledger",
                "1",
            )
            refused += 1
            await trio.sleep(0.02)
        assert refused > 0
        assert all(streams.ports.values())
        streams.costs += nano(answer.headers["x-gateway-cost"])
        await eventually(place, lambda figures: figures["open_holds"] == 0)
        assert await gateway.end(signal.SIGTERM) == 0
    # A request that was on its way when it died may or may not have been admitted; it is voided.
    assert place.rows("SELECT count(*) FROM hold_end WHERE kind = 'settle'") == [(11,)]
    assert place.rows("SELECT count(*) FROM hold_end WHERE captured > 0") == [(11,)]
    assert await place.balance() == (GRANTED - streams.costs, 0)


@pytest.mark.fault("F90")
async def test_an_edge_that_stands_still_is_killed_and_its_streams_are_settled(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    upstream.default = Script(tokens=ENDLESS, gap=0.03)
    place = place_for(tmp_path, upstream)
    async with place.serving() as gateway, trio.open_nursery() as nursery:
        streams = Streams(gateway.url, gateway.starter_key)
        for _ in range(12):
            nursery.start_soon(streams.run, 4)
        await wait_until(lambda: streams.waiting == 12)
        victim = part(gateway, "edge 1")
        doomed = sum(serves(victim, port) for port in streams.ports)
        begun = time.monotonic()
        await killed(gateway, "edge 1", signal.SIGSTOP)
        assert time.monotonic() - begun > 4
        await eventually(place, lambda figures: figures["open_holds"] == 12 - doomed)
        assert "edge 1 shows no sign of life: it is killed" in gateway.err
        nursery.cancel_scope.cancel()
        await gateway.end(signal.SIGTERM)


def _reread(gateway: Served, times: int) -> bool:
    return gateway.out.count("settings were read anew") == times


@pytest.mark.fault("F100")
async def test_a_rolling_reload_loses_no_connection_and_takes_effect(tmp_path: Path) -> None:
    place = place_for(tmp_path, more="max_body = 8000000\n")
    config = place.config.read_text()
    failed: list[str] = []
    asked = 0

    async def ask(url: str, key: str) -> None:
        nonlocal asked
        asked += 1
        try:
            answer = await post(url, CHAT, chat("sim/echo", stream=False), key=key)
        except BROKEN as error:
            failed.append(repr(error))
        else:
            if answer.status != 200:
                failed.append(f"{answer.status} {answer.body!r}")

    async def pace(url: str, key: str, nursery: trio.Nursery) -> None:
        """200 requests a second, each on a connection of its own, whatever becomes of the others."""
        begun = trio.current_time()
        for number in range(10**6):
            await trio.sleep_until(begun + number / 200)
            nursery.start_soon(ask, url, key)

    async with place.serving() as gateway:
        async with trio.open_nursery() as asking, trio.open_nursery() as pacing:
            pacing.start_soon(pace, gateway.url, gateway.starter_key, asking)
            await trio.sleep(0.5)
            for number in range(3):
                before = parts(gateway)
                # One limit for the edges, and one that is the business of the part that controls.
                place.config.write_text(
                    config.replace("8000000", str(4000 + number))
                    + f"[plans.default]\nrpm = {90_000 + number}\n"
                )
                gateway.process.send_signal(signal.SIGHUP)
                await wait_until(partial(_reread, gateway, number + 1))
                assert parts(gateway)["control"] == before["control"]
                assert set(parts(gateway)["edge 1"]) != set(before["edge 1"])
            await trio.sleep(0.5)
            pacing.cancel_scope.cancel()
        assert failed == []
        assert asked > 200
        for _ in range(6):
            long = chat("sim/echo", stream=False, user="x" * 5000)
            assert (await post(gateway.url, CHAT, long, key=gateway.starter_key)).status == 413
        assert (await get(gateway.url, "/v1/key", key=gateway.starter_key)).json["data"]["rate_limit"][
            "requests"
        ] == 90_002
        # Settings that make no sense change nothing.
        place.config.write_text(config.replace("8000000", '"much"'))
        gateway.process.send_signal(signal.SIGHUP)
        await wait_until(lambda: "settings were not read anew" in gateway.err)
        assert (await post(gateway.url, CHAT, chat("sim/echo"), key=gateway.starter_key)).status == 200
        assert await gateway.end(signal.SIGTERM) == 0
    place.config.write_text(config)
    assert (await place.verified())["open_holds"] == 0


async def test_a_stop_in_the_midst_of_a_reload_is_nothing_to_complain_of(tmp_path: Path) -> None:
    async with Place(tmp_path).serving("--workers", "2") as gateway:
        gateway.process.send_signal(signal.SIGHUP)
        await wait_until(lambda: len(parts(gateway).get("edge 0", ())) > 1)
        await gateway.stop()


@pytest.mark.fault("F99")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_a_stop_lets_streams_finish_on_every_edge(
    tmp_path: Path, upstream: FaultyUpstream, how: signal.Signals
) -> None:
    go_on = trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on),))
    place = place_for(tmp_path, upstream, drain=10)
    async with place.serving() as gateway, trio.open_nursery() as nursery:
        streams = Streams(gateway.url, gateway.starter_key)
        for _ in range(12):
            nursery.start_soon(streams.run, 4)
        await wait_until(lambda: streams.waiting == 12)
        gateway.process.send_signal(how)
        await wait_refused(gateway.url)
        assert (await place.verified())["open_holds"] == 12
        go_on.set()
        with trio.fail_after(PATIENCE):
            assert await gateway.process.wait() == 0, gateway.err
        assert gateway.err == ""
    assert all(streams.ports.values())
    assert await place.balance() == (GRANTED - streams.costs, 0)


@pytest.mark.fault("F99")
async def test_a_stop_ends_within_its_limits(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=ENDLESS, gap=0.03)
    place = place_for(tmp_path, upstream, drain=1)
    await _stopped(place)
    place.config.write_text(place.config.read_text().replace("drain = 1", "drain = 60"))
    await _stopped(place, again=True)
    assert (await place.verified())["open_holds"] == 0
    assert place.rows("SELECT kind, how, count(*) FROM hold_end GROUP BY 1, 2") == [("settle", "relayed", 12)]


async def _stopped(place: Place, *, again: bool = False) -> None:
    """Stop a gateway in the midst of streams without end, long before a minute of draining is over."""
    key = place.path / "key"
    async with place.serving() as gateway:
        if not key.exists():
            key.write_text(gateway.starter_key)
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(_told_of_the_end, gateway.url, key.read_text())
            await trio.sleep(0.5)
            gateway.process.send_signal(signal.SIGTERM)
            if again:
                await wait_refused(gateway.url)
                gateway.process.send_signal(signal.SIGTERM)
            with trio.fail_after(PATIENCE):
                assert await gateway.process.wait() == 0, gateway.err
        assert gateway.err == ""


async def _told_of_the_end(url: str, key: str) -> None:
    async with streaming(url, CHAT, chat(), key=key) as client:
        payloads = await client.payloads()
        assert json.loads(payloads[-1])["error"]["reason"] == "draining"
        assert client.answer.complete


@pytest.mark.fault("F101")
async def test_a_supervisor_that_is_killed_leaves_no_orphan_and_cuts_no_stream(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    go_on = trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on),))
    place = place_for(tmp_path, upstream, drain=10)
    place.config.write_text(place.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{free_port()}"))
    async with place.serving() as gateway, trio.open_nursery() as nursery:
        streams = Streams(gateway.url, gateway.starter_key)
        for _ in range(12):
            nursery.start_soon(streams.run, 4)
        await wait_until(lambda: streams.waiting == 12)
        left = [pid for pids in parts(gateway).values() for pid in pids]
        await gateway.kill()
        await wait_refused(gateway.url)
        go_on.set()
        await wait_until(lambda: not any(map(alive, left)), 10)
        assert all(streams.ports.values())
    assert await place.balance() == (GRANTED - streams.costs, 0)
    assert (await place.verified())["open_holds"] == 0
    async with place.serving() as gateway:
        assert (await get(gateway.url, "/readyz")).status == 200
        await gateway.stop()


async def test_the_tree_s_metrics_are_those_of_one_gateway(tmp_path: Path) -> None:
    scraped = f"http://127.0.0.1:{free_port()}"
    place = place_for(tmp_path, more=f'[metrics]\nbind = "{scraped[7:]}"\n')
    async with place.serving() as gateway:
        await _counted(gateway, scraped, 10, 10)
        await killed(gateway, "edge 0")
        # What the dead have counted stays, so that no counter ever falls.
        await _counted(gateway, scraped, 6, 16)
        await killed(gateway, "control")
        await _counted(gateway, scraped, 4, 20)
        for kind in ("edge", "control"):
            pattern = rf'^headrace_worker_restarts_total{{part="{kind}",why="died"}} (\S+)$'
            assert await _figure(scraped, pattern) == 1
        await gateway.end(signal.SIGTERM)


async def _counted(gateway: Served, scraped: str, more: int, total: int) -> None:
    for _ in range(more):
        with trio.fail_after(PATIENCE):
            while await _asked(gateway) == 503:  # noqa: ASYNC110 - another process sets no events of ours
                await trio.sleep(0.05)
    seen: list[float] = []
    with trio.fail_after(PATIENCE):
        while not seen or seen[-1] != total:
            await trio.sleep(0.1)
            seen.append(await _figure(scraped, r'^headrace_requests_total{error="",outcome="ok"} (\S+)$'))
    assert seen == sorted(seen)


async def _asked(gateway: Served) -> int:
    return (await post(gateway.url, CHAT, chat("sim/echo"), key=gateway.starter_key)).status


async def _figure(scraped: str, pattern: str) -> float:
    text = (await get(scraped, "/metrics")).body.decode()
    found = re.search(pattern, text, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


@pytest.mark.parametrize("spoil", ["port", "pepper"])
async def test_what_cannot_start_says_why_and_leaves_nothing(tmp_path: Path, spoil: str) -> None:
    place = place_for(tmp_path)
    port = free_port()
    place.config.write_text(place.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
    breaking: dict[str, Callable[[], object]] = {
        "pepper": lambda: (place.data / "secrets" / "pepper").touch(0o600),
        "port": lambda: None,
    }
    (place.data / "secrets").mkdir(parents=True)
    breaking[spoil]()
    with trio.socket.socket() as other:
        await other.bind(("127.0.0.1", port if spoil == "port" else 0))
        done = await place.run("serve", within=20)
    assert (done.code, done.out) == (1, "")
    assert {"port": "Address already in use", "pepper": "is shorter than"}[spoil] in done.err
    assert "Traceback" not in done.err
