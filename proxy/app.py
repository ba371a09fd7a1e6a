"""Where the parts are joined, and nowhere else: every object is made here and every task has its owner.

One process holds everything for now. `serve` opens the store, ends what an earlier life left open, starts
the desk, the control socket, the metrics port and the server, and stops them in the opposite order.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import trio

from proxy.bank.desk import Desk
from proxy.bank.sqlite import SqliteStore, open_sqlite
from proxy.bank.sweep import sweep
from proxy.control.lock import DirectoryInUseError, own
from proxy.control.office import Office
from proxy.control.pages import make_pages, make_scrape
from proxy.control.secrets import WeakSecretError, read_or_make
from proxy.control.socket import ControlError, ask, serve_control
from proxy.edge.directory import Directory
from proxy.edge.http2 import Door
from proxy.edge.models import ModelRoutes
from proxy.edge.server import ListenError, listen, serve_asgi
from proxy.exchange import Core
from proxy.observe.metrics import Metrics
from proxy.policy.prices import PriceBook
from proxy.policy.routing import Router
from proxy.receipt import Receipt
from proxy.settings import Provider, Settings
from proxy.upstream.fleet import Fleet, Line
from proxy.upstream.line import HttpLine
from proxy.upstream.sim import SimLine
from proxy.upstream.transport import UpstreamTransport
from proxy.wires.base import Wire
from proxy.wires.openai import OpenAIWire

STARTER_CREDITS: Final = "10000"
"""What the first start's key may spend: ten dollars of play money."""
ADMIN: Final = "admin@localhost"
_SWEEP_IDLE_SECONDS: Final = 30.0
WIRES: Final[dict[str, Wire]] = {"openai": OpenAIWire(), "sim": OpenAIWire()}


@dataclass(frozen=True, slots=True)
class Bank:
    """The store, open, with its desk and the office over it."""

    store: SqliteStore
    desk: Desk
    office: Office
    pepper: bytes


@asynccontextmanager
async def open_bank(settings: Settings) -> AsyncIterator[Bank]:
    """Open the store, sweep it and run its desk for the length of the block. The caller holds the lock."""
    pepper = read_or_make(settings.secrets.dir, "pepper")
    async with open_sqlite(settings.store.path, synchronous=settings.store.synchronous) as store:
        desk = Desk(store)
        async with trio.open_nursery() as nursery:
            await nursery.start(desk.run)
            await sweep(store, desk, at=int(time.time() * 1000))
            yield Bank(store, desk, Office(settings, store, desk, pepper, time.time), pepper)
            nursery.cancel_scope.cancel()


def command(settings: Settings, name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Run an operator's command: by the running gateway if there is one, else on the store itself.

    Raises:
        ControlError: it was refused.
    """
    directory = settings.store.path.parent
    try:
        with own(directory):
            return trio.run(_command_alone, settings, name, params)
    except DirectoryInUseError:
        return _command_running(directory / "control.sock", name, params)


async def _command_alone(settings: Settings, name: str, params: dict[str, Any]) -> dict[str, Any]:
    async with open_bank(settings) as bank:
        return await bank.office.command(name, params)


def _command_running(path: Path, name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Ask the owner of the directory, which may be just starting or stopping."""
    for _ in range(50):
        try:
            result: dict[str, Any] = ask(path, name, params)
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.1)
        else:
            return result
    raise ControlError(f"another process holds {path.parent} and does not answer")


def serve(settings: Settings, bind: str | None = None) -> int:
    """Run the gateway until it is told to stop; return the exit status."""
    if bind is not None:
        settings = replace(settings, server=replace(settings.server, bind=bind))
    try:
        with own(settings.store.path.parent):
            listening = listen(settings.server.bind)
            scraped = None if settings.metrics.bind is None else listen(settings.metrics.bind)
            trio.run(_serve, settings, listening, scraped)
    except (DirectoryInUseError, ListenError, WeakSecretError) as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings, listening: socket.socket, scraped: socket.socket | None) -> None:
    async with open_bank(settings) as bank, UpstreamTransport() as transport, trio.open_nursery() as nursery:
        gateway = Gateway(settings, bank, transport)
        socket_path = settings.store.path.parent / "control.sock"
        await nursery.start(serve_control, socket_path, bank.office.command)
        nursery.start_soon(_close_idle, transport)
        if scraped is not None:
            await nursery.start(serve_asgi, make_scrape(gateway.metrics.render), scraped, settings.server)
        greeting = "" if await bank.office.has_accounts() else await _first_start(bank.office, listening)
        stop = trio.Event()
        nursery.start_soon(_wait_for_signal, stop)
        print(f"headrace: serving on http://{_address(listening)}{greeting}", flush=True)
        await serve_asgi(gateway.door, listening, settings.server, until=stop.wait)
        nursery.cancel_scope.cancel()


class Gateway:
    """One process's worth of gateway: everything between the doors and the providers."""

    def __init__(
        self,
        settings: Settings,
        bank: Bank,
        transport: UpstreamTransport,
        observers: Sequence[Callable[[Receipt], None]] = (),
    ) -> None:
        self.metrics = Metrics(bank.desk)
        lines = {provider.name: _line(provider, transport) for provider in settings.providers}
        core = Core(
            settings=settings,
            router=Router(settings, PriceBook.load(settings.providers)),
            desk=bank.desk,
            fleet=Fleet(lines, WIRES),
            unix_time=time.time,
            observers=(self.metrics.observe, *observers),
        )
        directory = Directory(bank.office.principal, bank.pepper, time.time)
        bank.office.watch(directory.forget)
        self.door = Door(ModelRoutes(core, directory), make_pages(self._readiness))
        self._bank = bank
        self._settings = settings

    def _readiness(self) -> dict[str, bool]:
        usable = any(provider.api_key or provider.wire == "sim" for provider in self._settings.providers)
        return {"ledger": not self._bank.desk.statistics().down, "providers": usable}


def _line(provider: Provider, transport: UpstreamTransport) -> Line:
    if provider.wire == "sim":
        return SimLine()
    connect = provider.timeouts.connect
    return HttpLine(transport, provider.base_url, ca_file=provider.ca_file, connect_within=connect)


async def _close_idle(transport: UpstreamTransport) -> None:
    while True:
        await trio.sleep(_SWEEP_IDLE_SECONDS)
        transport.sweep()


async def _wait_for_signal(stop: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            stop.set()


async def _first_start(office: Office, listening: socket.socket) -> str:
    """Make an administrator and a key with starter credits; return what to print once."""
    account = await office.create_account(ADMIN, STARTER_CREDITS, admin=True)
    key = (await office.create_key(ADMIN, "account", "starter"))["key"]
    return f"""

First start. These are shown once:
  administrator  {ADMIN}
  password       {account["password"]}
  key            {key}  ({STARTER_CREDITS} credits)

Try it:
  curl http://{_address(listening)}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model": "sim/echo", "messages": [{{"role": "user", "content": "Hello, Headrace!"}}]}}'
"""


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
