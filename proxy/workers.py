"""The same parts as in `app`, joined in several processes: one that controls, and those at the edge.

The process that was started supervises (`process.supervisor`) and forks the others. Before it does, it takes
the data directory and opens every listening socket, which all lives in one place serve one after the other.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import trio

from proxy.app import (
    Gateway,
    book_figures,
    check_certificate,
    close_idle,
    first_start,
    gave_up,
    greeting,
    looked_over,
    pages,
    settle_garbage,
    url_of,
)
from proxy.bank.recorder import Recorder
from proxy.bank.store import StoreError
from proxy.control.api.house import House
from proxy.control.api.outside import among
from proxy.control.bank import open_bank
from proxy.control.commands import own_to_serve
from proxy.control.lock import DirectoryInUseError
from proxy.control.pages import make_scrape
from proxy.control.secrets import WeakSecretError, read_or_make
from proxy.control.serving import serve_control
from proxy.control.socket import connected, listening_at
from proxy.control.upkeep import upkeep
from proxy.edge.drain import Stop
from proxy.edge.http1 import serve_http1
from proxy.edge.http2 import serve_asgi
from proxy.edge.server import ListenError, listen, listen_together
from proxy.observe import log, names
from proxy.observe.merge import Merged
from proxy.observe.process import ProcessFigures, restarts
from proxy.observe.scrape import Scrape
from proxy.observe.tallies import Registry, Told, gauge
from proxy.observe.trace import Traces, TracesUnavailableError, check_traces, tracing
from proxy.policy.learned import Told as LearnedTold
from proxy.policy.prices import PriceBook
from proxy.policy.remarks import remarks
from proxy.process.books import BankBooks
from proxy.process.branch import Branch
from proxy.process.child import RELOAD, beat, heed
from proxy.process.recorder import Recording, recording
from proxy.process.relayed import Received, Relayed
from proxy.process.supervisor import Birth, Run, Supervisor
from proxy.process.switchboard import Switchboard
from proxy.settings import Settings, SettingsError
from proxy.upstream.transport import UpstreamTransport

_FIGURES_EVERY: Final = 1.0
"""Seconds between two reports of what an edge counts."""
_LAST_ENDS: Final = 5.0
"""Seconds that an edge which has drained waits for the bank to have everything."""
_LAST_EDGE: Final = 5.0
"""Seconds beyond the drain's that the part that controls waits for the edges to leave."""
_FIXED: Final = ("metrics", "store", "secrets", "idempotency", "outbound")
"""What is read once: for files and sockets that are open, and for tasks of the part that controls."""
Load = Callable[[], Settings]
_log = logging.getLogger("headrace.process")


@dataclass(frozen=True, slots=True)
class _Sockets:
    """What is listened on, opened once, and the directory's lock."""

    clients: Sequence[socket.socket]
    scraped: socket.socket | None
    links: socket.socket
    cold: socket.socket
    lock: int
    directory: Path

    def close_clients(self, but: int | None = None) -> None:
        """Close what clients connect to, but for the socket of one edge."""
        for number, listening in enumerate(self.clients):
            if number != but:
                listening.close()

    def keep_edge(self, number: int) -> None:
        """Close all but an edge's own socket: in its process, not in ours."""
        self.close_clients(number)
        self.links.close()
        self.cold.close()
        if self.scraped is not None:
            self.scraped.close()
        os.close(self.lock)


def serve_workers(settings: Settings, load: Load, recording: Recording = recording) -> int:
    """Run the gateway in several processes until it is told to stop; return the exit status.

    `load` reads the settings anew. Raises SettingsError.
    """
    with log.speaking(settings, "supervisor", forks=True) as spoken:
        return _supervise(settings, load, recording, spoken)


def _supervise(settings: Settings, load: Load, recording: Recording, spoken: log.Log) -> int:
    try:
        prices = looked_over(settings)
        with _opened(settings) as sockets:
            url = url_of(settings.server, sockets.clients[0])
            # What is loaded by now is shared by all, as long as nobody touches it.
            gc.collect()
            gc.freeze()
            supervisor = Supervisor(
                partial(_control, settings, load, sockets),
                _edges(settings, prices, sockets, recording),
                drain=settings.server.drain,
                greet=lambda first: print(greeting(settings.log, url, first), flush=True),
                reload=lambda: _reloaded(settings, load, sockets, recording, spoken),
                stopping=sockets.close_clients,
            )
            return supervisor.run()
    except (DirectoryInUseError, ListenError, TracesUnavailableError, OSError) as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 1


@contextmanager
def _opened(settings: Settings) -> Iterator[_Sockets]:
    directory = settings.store.directory
    with ExitStack() as stack:
        lock = stack.enter_context(own_to_serve(directory))
        clients = listen_together(settings.server.bind, settings.server.workers)
        for listening in clients:
            stack.enter_context(listening)
        scraped = (
            None if settings.metrics.bind is None else stack.enter_context(listen(settings.metrics.bind))
        )
        links = stack.enter_context(listening_at(directory / "link.sock"))
        cold = stack.enter_context(listening_at(directory / "cold.sock"))
        yield _Sockets(clients, scraped, links, cold, lock, directory)


def _edges(settings: Settings, prices: PriceBook, sockets: _Sockets, recording: Recording) -> list[Run]:
    numbers = range(len(sockets.clients))
    return [partial(_edge, settings, prices, sockets, recording, number) for number in numbers]


def _reloaded(
    settings: Settings, load: Load, sockets: _Sockets, recording: Recording, spoken: log.Log
) -> list[Run]:
    """Return what runs the edges by settings read anew. Raises ValueError."""
    try:
        loaded = load()
        read = _kept(settings, loaded)
        check_certificate(read.server)
        check_traces(read)
        prices = PriceBook.load(read.providers)
    except (SettingsError, ListenError, TracesUnavailableError, OSError) as error:
        raise ValueError(str(error)) from error
    spoken.adopt(read)
    log.settings_remarked([*remarks(read, prices), *_unread(settings, loaded)])
    return _edges(read, prices, sockets, recording)


def _kept(settings: Settings, read: Settings) -> Settings:
    """Return settings read anew, but for those that a running gateway cannot change."""
    fixed = {name: getattr(settings, name) for name in _FIXED}
    server = replace(read.server, bind=settings.server.bind, workers=settings.server.workers)
    return replace(read, server=server, **fixed)


def _unread(settings: Settings, read: Settings) -> list[str]:
    changed = [name for name in _FIXED if getattr(settings, name) != getattr(read, name)]
    changed += [
        f"server.{name}"
        for name in ("bind", "workers")
        if getattr(settings.server, name) != getattr(read.server, name)
    ]
    return [f"{name} has changed, which takes a restart" for name in changed]


def _control(settings: Settings, load: Load, sockets: _Sockets, birth: Birth) -> int:
    sockets.close_clients()
    with log.speaking(settings, "control") as spoken:
        try:
            trio.run(_serve_control, settings, load, sockets, birth, spoken)
        except (WeakSecretError, StoreError, OSError) as error:
            return gave_up(error)
    return 0


async def _serve_control(
    settings: Settings, load: Load, sockets: _Sockets, birth: Birth, spoken: log.Log
) -> None:
    """Own the store: serve the edges, the command line, what asks no model, and the metrics."""
    stop, merged = Stop(), Merged(birth.memory, birth.living)
    async with (
        open_bank(settings, birth.living, birth.epoch, check=not birth.living) as bank,
        trio.open_nursery() as nursery,
    ):

        def reload() -> None:
            with suppress(SettingsError):  # the supervisor has said what is wrong
                read = _kept(settings, load())
                bank.office.adopt(read)
                spoken.adopt(read)

        await nursery.start(heed, stop, reload)
        nursery.start_soon(beat, birth.beat)
        board = Switchboard(
            bank.desk,
            BankBooks(bank),
            told={"figures": merged.take},
            recover=bank.recovery.end,
            buried=merged.bury,
            living=birth.living,
            lease=settings.server.lease,
        )
        bank.watch(partial(board.tell, "forget"))
        spread = partial(board.tell, "lessons")
        await nursery.start(upkeep, settings, bank, time.time, log.upkeep_failed, spread)
        bank.watch_ends(lambda revocation: board.revoke(*revocation))
        await nursery.start(board.run, sockets.links)
        await nursery.start(serve_control, sockets.directory / "control.sock", bank.office.command)
        own = Registry()
        own.read(lambda: gauge(names.BANK_DOWN, int(bank.desk.statistics().down)))
        restarts(own, birth.replaced.counts)
        spoken.show(own)
        nursery.start_soon(ProcessFigures(own, "control").run)
        nursery.start_soon(book_figures(own, bank).run)
        nursery.start_soon(_report, partial(merged.take, birth.epoch), own)
        outside = among(merged.by_deployment, load, partial(os.kill, os.getppid(), RELOAD))
        house = House(bank, outside)
        cold = Received(pages(settings, bank.desk, partial(_circuits, merged), house))
        await nursery.start(serve_asgi, cold, sockets.cold, settings.server)
        if sockets.scraped is not None:
            scrape = make_scrape(Scrape(merged.told))
            await nursery.start(serve_asgi, scrape, sockets.scraped, settings.server)
        settle_garbage()
        birth.ready("" if await bank.office.accounts.any() else await first_start(bank.office))
        await stop.asked.wait()
        # Our supervisor lets the edges go first; where it has died, all are asked to stop at the same time.
        with trio.move_on_after(settings.server.drain + _LAST_EDGE):
            await board.wait_quiet()
        nursery.cancel_scope.cancel()


class _Witnesses(NamedTuple):
    """Who takes note of an edge's requests: memory that outlives it, the log, spans."""

    recorder: Recorder
    spoken: log.Log
    traces: Traces | None


def _edge(
    settings: Settings,
    prices: PriceBook,
    sockets: _Sockets,
    recording: Recording,
    number: int,
    birth: Birth,
) -> int:
    sockets.keep_edge(number)
    worker = f"edge {number}"
    with log.speaking(settings, worker) as spoken, tracing(settings, worker) as traces:
        try:
            with recording(sockets.directory, number, birth.epoch) as recorder:
                witnesses = _Witnesses(recorder, spoken, traces)
                trio.run(_serve_edge, settings, prices, sockets, number, birth, witnesses)
        except (WeakSecretError, OSError) as error:
            print(f"headrace: {error}", file=sys.stderr)
            return 1
    return 0


async def _serve_edge(
    settings: Settings,
    prices: PriceBook,
    sockets: _Sockets,
    number: int,
    birth: Birth,
    witnesses: _Witnesses,
) -> None:
    """Serve clients on one socket, with the bank in another process."""
    stop = Stop()
    async with UpstreamTransport() as transport, trio.open_nursery() as nursery:
        await nursery.start(heed, stop)
        nursery.start_soon(beat, birth.beat)
        pepper = read_or_make(settings.secrets.dir, "pepper", used_by=settings.store.file)
        link = partial(connected, sockets.directory / "link.sock")
        branch = Branch(link, number, birth.epoch, pepper)
        branch.heed("fenced", partial(_shut_out, stop))
        await _link(nursery, branch, stop)
        cold = Relayed(partial(connected, sockets.directory / "cold.sock"))
        learned = LearnedTold()
        branch.heed("lessons", learned.take)
        gateway = Gateway(
            settings,
            branch,
            transport,
            prices,
            [witnesses.spoken.observe],
            cold=cold,
            learned=learned,
            recorder=witnesses.recorder,
            traces=witnesses.traces,
        )
        nursery.start_soon(close_idle, transport)
        await nursery.start(gateway.abandoned.run)
        figures = gateway.metrics.figures
        witnesses.spoken.show(figures)
        nursery.start_soon(ProcessFigures(figures, f"edge {number}").run)
        nursery.start_soon(_report, partial(branch.tell, "figures"), figures)
        async with trio.open_nursery() as serving:
            serve = partial(serve_http1, stop=stop)
            await serving.start(serve, sockets.clients[number], gateway.routes, gateway.cold, settings.server)
            settle_garbage()
            birth.ready("")
        branch.tell("figures", figures.tell())
        with trio.move_on_after(_LAST_ENDS):
            await branch.wait_told()
        nursery.cancel_scope.cancel()


def _shut_out(stop: Stop) -> None:
    """End ourselves: we were silent for so long that what we had open was ended in our place."""
    if not stop.hurried.is_set():
        _log.error("shut out for its silence: it ends, and another takes its place")
        stop.asked.set()
        stop.hurried.set()


async def _link(nursery: trio.Nursery, branch: Branch, stop: Stop) -> None:
    """Start a link, unless we are to stop before there is one."""
    async with trio.open_nursery() as starting:

        async def give_up() -> None:
            await stop.asked.wait()
            starting.cancel_scope.cancel()

        starting.start_soon(give_up)
        await nursery.start(branch.run)
        starting.cancel_scope.cancel()


async def _report(tell: Callable[[Told], None], figures: Registry) -> None:
    """Tell what we count, until cancelled; the last of it is told by who stops us."""
    while True:
        tell(figures.tell())
        await trio.sleep(_FIGURES_EVERY)


def _circuits(merged: Merged) -> list[tuple[str, bool]]:
    """Return the deployments that edges have tried; one may be asked as long as any edge would."""
    open_ = names.BREAKER_STATES["open"]
    rows = [row for rows in merged.rows(names.BREAKER_STATE.name) for row in rows]
    return [(values[0], figure != open_) for values, figure in rows]
