"""The real Prometheus scrapes a gateway under load: every query has an answer, and alerts fire and clear."""

from __future__ import annotations

import importlib
import os
import re
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio
from prometheus_client import CollectorRegistry, start_http_server

from tests.fakes.client import get
from tests.fakes.upstream import FaultyUpstream
from tests.process.place import Place, Served, free_port
from tests.process.tree import killed, part

from .kit import Asked, dashboards, panel_queries, rules, variables
from .load import Load, place_for
from .prometheus import Prometheus, scraping

WITHIN = 90
"""Seconds in which what has to happen does, on however busy a machine."""
_THRESHOLD = re.compile(r"\s*(?:==|>|<)\s*-?[\d.e]+$")


async def eventually(condition: Callable[[], Awaitable[object]], what: object) -> None:
    """Wait until something is so."""
    with trio.move_on_after(WITHIN):
        while not await condition():  # noqa: ASYNC110 - another process sets no events of ours
            await trio.sleep(0.5)
        return
    pytest.fail(f"not within {WITHIN} s: {what() if callable(what) else what}")


async def answered(prometheus: Prometheus, queries: list[Asked]) -> None:
    """Expect every query to have data, sooner or later."""
    left = queries

    async def none_left() -> bool:
        nonlocal left
        left = [query for query in left if not _has_data(await prometheus.query(query.expr))]
        return not left

    await eventually(none_left, lambda: left)


def _has_data(series: list[dict[str, object]]) -> bool:
    return any(each["value"][1] != "NaN" for each in series)  # type: ignore[index]


async def fires(prometheus: Prometheus, *alerts: str) -> None:
    """Expect alerts to fire, each with texts that hold what they are about."""
    seen: set[str] = set()

    async def all_seen() -> bool:
        for name, found in (await prometheus.firing()).items():
            for alert in found:
                text = alert["annotations"]["description"]
                assert text, name
                assert "{{" not in text, name
                assert "error" not in text.lower() or "rror" in rules("alerts")[name]["expr"], text
            seen.add(name)
        return seen >= set(alerts)

    await eventually(all_seen, lambda: set(alerts) - seen)


async def clears(prometheus: Prometheus, *alerts: str) -> None:
    """Expect alerts to fire no more."""

    async def gone() -> bool:
        return not set(alerts) & set(await prometheus.firing())

    await eventually(gone, alerts)


def left_sides() -> list[Asked]:
    """Return what alerts compare with their thresholds: that has to be there also while all is well."""
    found = []
    for name, rule in rules("alerts").items():
        for side in rule["expr"].split(" and "):
            bare = _THRESHOLD.sub("", side)
            assert bare != side, name
            found.append(Asked(name, bare))
    return found


@asynccontextmanager
async def staged(tmp_path: Path, kept: Path) -> AsyncIterator[tuple[Place, Prometheus, int]]:
    """Run a Prometheus, and have a gateway to be begun."""
    port = free_port()
    async with FaultyUpstream() as first, FaultyUpstream() as second:
        place = place_for(tmp_path, first, second, port)
        async with scraping(kept, {"headrace": port}) as prometheus:
            yield place, prometheus, port


async def loaded(place: Place, gateway: Served, key: str) -> Load:
    """Return clients of a gateway, with a key that has credits and one that has none."""
    await place.run("accounts", "create", "poor@example.com")
    return Load(gateway, key, await place.value("keys", "create", "poor@example.com"))


async def test_every_query_has_an_answer_and_alerts_fire_and_clear(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = tmp_path_factory.mktemp("prometheus")
    async with staged(tmp_path, kept) as (place, prometheus, port):
        async with place.serving() as gateway, trio.open_nursery() as nursery:
            load = await loaded(place, gateway, gateway.starter_key)
            nursery.start_soon(load.run)
            nursery.start_soon(load.until_revoked, place)
            await _killed_at_work(gateway, load, prometheus)
            await fires(prometheus, "HeadraceRestarts")
            queries = [
                query for name in dashboards() if name != "bench.json" for query in panel_queries(name)
            ]
            queries += [Asked(name, rule["expr"]) for name, rule in rules("recording").items()]
            await answered(prometheus, queries + left_sides())
            assert await prometheus.unhealthy() == []
            for board in dashboards():
                for series, label in variables(board):
                    if board != "bench.json":
                        offered = await prometheus.label_values(series, label)
                        assert {"first", "second"} <= set(offered) or {"good", "hedged"} <= set(offered)
            await fires(prometheus, "HeadraceFailing", "HeadraceBreakerOpen", "HeadraceUsageInconsistent")
            await fires(prometheus, "HeadraceHedgeWaste")
            load.dear = True
            await fires(prometheus, "HeadraceLosingMoney")
            nursery.start_soon(load.crowd, 200)
            await fires(prometheus, "HeadraceShedding", "HeadraceFirstTokenSlow")
            await _stopped_for_a_moment(gateway)
            await fires(prometheus, "HeadraceLoopLate")
            with _locked(place):
                await fires(prometheus, "HeadraceLedgerDown")
            await clears(prometheus, "HeadraceLedgerDown")
            nursery.cancel_scope.cancel()
        await fires(prometheus, "HeadraceDown")
        async with place.serving() as gateway:
            await clears(prometheus, *rules("alerts"))
            assert (await get(f"http://127.0.0.1:{port}", "/metrics")).status == 200
            assert (await place.verified())["open_holds"] == 0
            await gateway.end(signal.SIGTERM)


async def _killed_at_work(gateway: Served, load: Load, prometheus: Prometheus) -> None:
    """Kill an edge that has requests open, so that they are recovered."""

    async def at_work() -> bool:
        return bool(await prometheus.query("sum(headrace_requests_running) > 10"))

    async def crowds() -> None:
        while True:
            await load.crowd(20)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(crowds)
        await eventually(at_work, "both edges are at work")
        await killed(gateway, "edge 0")
        await answered(prometheus, [Asked("recovered", "headrace_holds_recovered_total > 0")])
        nursery.cancel_scope.cancel()


async def _stopped_for_a_moment(gateway: Served) -> None:
    """Have an edge stand still, as a machine that swaps would."""
    for _ in range(3):
        pid = part(gateway, "edge 1")
        os.kill(pid, signal.SIGSTOP)
        await trio.sleep(1)
        os.kill(pid, signal.SIGCONT)
        await trio.sleep(0.3)


class _locked:  # noqa: N801 - it reads as what it does
    """Keep the ledger's database to oneself for the length of the block."""

    def __init__(self, place: Place) -> None:
        self._database = sqlite3.connect(place.data / "headrace.db", isolation_level=None, timeout=60)

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        with closing(self._database):
            self._database.execute("ROLLBACK")


async def test_a_measurement_that_runs_is_shown(tmp_path: Path) -> None:
    try:
        metrics = importlib.import_module("bench.driver.metrics")
    except ImportError:
        pytest.skip("measurements cannot be scraped here")
    live, registry = metrics.Live(), CollectorRegistry(auto_describe=False)
    registry.register(live)
    labels = {"target": "a", "outcome": "ok", "run": "r", "loop": "open"}

    def measure() -> None:
        for kind, change in ((metrics.COUNTERS, live.count), (metrics.GAUGES, live.set)):
            for name, (wanted, _) in kind.items():
                change(name, 1, *[labels[label] for label in wanted])
        for name in metrics.HISTOGRAMS:
            live.observe(name, "a", [0.01])

    async def go_on() -> None:
        while True:
            measure()
            await trio.sleep(0.5)

    port = free_port()
    measure()
    server, thread = start_http_server(port, "127.0.0.1", registry)
    try:
        async with (
            scraping(tmp_path, {"headrace-bench": port}) as prometheus,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(go_on)
            await answered(prometheus, list(panel_queries("bench.json")))
            for series, label in variables("bench.json"):
                assert await prometheus.label_values(series, label) == ["a"]
            nursery.cancel_scope.cancel()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
