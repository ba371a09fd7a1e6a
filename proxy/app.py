"""Where the parts are joined, and nowhere else: every object is made here and every task has its owner.

One process holds everything for now. `serve` opens the store, ends what an earlier life left open, starts
the desk, the control socket, the metrics port and the server, and stops them in the opposite order.
"""

from __future__ import annotations

import gc
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from proxy.bank.store import StoreError
from proxy.control.bank import Bank, open_bank
from proxy.control.commands import own_to_serve
from proxy.control.lock import DirectoryInUseError
from proxy.control.office import Office
from proxy.control.pages import make_pages, make_scrape
from proxy.control.secrets import WeakSecretError
from proxy.control.socket import serve_control
from proxy.describe.document import describe
from proxy.edge.directory import Directory
from proxy.edge.drain import Stop
from proxy.edge.http1 import serve_http1
from proxy.edge.http2 import serve_asgi
from proxy.edge.models import ModelRoutes
from proxy.edge.routes import Routes
from proxy.edge.server import ListenError, listen
from proxy.edge.surfaces import SURFACES
from proxy.exchange import Core
from proxy.observe import log
from proxy.observe.metrics import Metrics
from proxy.policy.budgets import Shares
from proxy.policy.health import Health
from proxy.policy.prices import PriceBook
from proxy.policy.pulse import Tempo
from proxy.policy.remarks import remarks
from proxy.policy.routing import Router
from proxy.receipt import Receipt
from proxy.settings import Provider, Race, Server, Settings
from proxy.upstream.abandoned import Abandoned
from proxy.upstream.fleet import Fleet, Line
from proxy.upstream.line import HttpLine
from proxy.upstream.sim import SimLine
from proxy.upstream.transport import UpstreamTransport
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.base import Wire
from proxy.wires.gemini import GeminiWire
from proxy.wires.openai import OpenAIWire

__all__ = ("Bank", "Gateway", "open_bank", "serve")

STARTER_CREDITS: Final = "10000"
"""What the first start's key may spend: ten dollars of play money."""
ADMIN: Final = "admin@localhost"
_SWEEP_IDLE_SECONDS: Final = 30.0
WIRES: Final[dict[str, Wire]] = {
    "openai": OpenAIWire(),
    "anthropic": AnthropicWire(),
    "gemini": GeminiWire(),
    "sim": OpenAIWire(),
}


def serve(settings: Settings, bind: str | None = None) -> int:
    """Run the gateway until it is told to stop; return the exit status."""
    if bind is not None:
        settings = replace(settings, server=replace(settings.server, bind=bind))
    log.begin()
    try:
        _check_certificate(settings.server)
        log.settings_remarked(remarks(settings, PriceBook.load(settings.providers)))
        with own_to_serve(settings.store.path.parent):
            listening = listen(settings.server.bind)
            scraped = None if settings.metrics.bind is None else listen(settings.metrics.bind)
            trio.run(_serve, settings, listening, scraped)
    except (DirectoryInUseError, ListenError, WeakSecretError, StoreError, OSError) as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 1
    return 0


def _check_certificate(server: Server) -> None:
    """Say now and in one line what is wrong with it; the server would say so deep inside."""
    if server.tls_cert is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                server.tls_cert, server.tls_key
            )
        except ssl.SSLError as error:
            raise ListenError(
                f"{server.tls_cert} and {server.tls_key} are no certificate and key: {error}"
            ) from error


async def _serve(settings: Settings, listening: socket.socket, scraped: socket.socket | None) -> None:
    async with open_bank(settings) as bank, UpstreamTransport() as transport, trio.open_nursery() as nursery:
        stop = Stop()
        await nursery.start(_wait_for_signals, stop)
        gateway = Gateway(settings, bank, transport)
        socket_path = settings.store.path.parent / "control.sock"
        await nursery.start(serve_control, socket_path, bank.office.command)
        nursery.start_soon(_close_idle, transport)
        await nursery.start(gateway.abandoned.run)
        if scraped is not None:
            await nursery.start(serve_asgi, make_scrape(gateway.metrics.render), scraped, settings.server)
        url = _url(settings.server, listening)
        _settle_garbage()
        greeting = "" if await bank.office.has_accounts() else await _first_start(bank.office, url)
        print(f"headrace: serving on {url}{greeting}", flush=True)
        await serve_http1(listening, gateway.routes, gateway.cold, settings.server, stop=stop)
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
        lines = {provider.name: _line(provider, transport) for provider in settings.providers}
        self.health = health = _health(settings.race)
        deployments = {deployment.id for model in settings.models for deployment in model.deployments}
        self.metrics = Metrics(bank.desk, health, deployments)
        self.abandoned = Abandoned(self.metrics.drained)
        core = Core(
            settings=settings,
            router=Router(settings, PriceBook.load(settings.providers)),
            desk=bank.desk,
            fleet=Fleet(lines, WIRES),
            health=health,
            abandoned=self.abandoned,
            unix_time=time.time,
            observers=(self.metrics.observe, *observers),
        )
        directory = Directory(bank.office.principal, bank.pepper, time.time)
        bank.office.watch(directory.forget)
        models = ModelRoutes(core, directory, bank.enquiries)
        self.metrics.watch(lambda: models.load.running, lambda: models.load.shed)
        self.routes = Routes(models)
        self.cold = make_pages(self._readiness, partial(describe, SURFACES))
        self._bank = bank
        self._settings = settings

    def _readiness(self) -> dict[str, bool]:
        usable = any(provider.api_key or provider.wire == "sim" for provider in self._settings.providers)
        return {"ledger": not self._bank.desk.statistics().down, "providers": usable}


def _health(race: Race) -> Health:
    tempo = Tempo(floor=race.hedge_at_least, hedge_delay=race.hedge_after)
    calls, spend, retries = (
        int(share * 1000) for share in (race.hedge_calls, race.hedge_spend, race.retries)
    )
    return Health(
        tempo,
        shares=Shares(hedge_calls=calls, hedge_spend=spend, retry_calls=retries),
        told=log.breaker_turned,
    )


def _settle_garbage() -> None:
    """Keep the collector from looking through all that was loaded, which never goes, again and again.

    Each look would stop everything for some 30 ms. What a request makes holds no cycles, so that the
    collector has little to do and need not be called for every few hundred objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _line(provider: Provider, transport: UpstreamTransport) -> Line:
    if provider.wire == "sim":
        return SimLine()
    connect = provider.timeouts.connect
    return HttpLine(transport, provider.base_url, ca_file=provider.ca_file, connect_within=connect)


async def _close_idle(transport: UpstreamTransport) -> None:
    while True:
        await trio.sleep(_SWEEP_IDLE_SECONDS)
        transport.sweep()


async def _wait_for_signals(
    stop: Stop, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stop.ask()


async def _first_start(office: Office, url: str) -> str:
    """Make an administrator and a key with starter credits; return what to print once."""
    account = await office.create_account(ADMIN, STARTER_CREDITS, admin=True)
    key = (await office.create_key(ADMIN, "account", "starter"))["key"]
    return f"""

First start. These are shown once:
  administrator  {ADMIN}
  password       {account["password"]}
  key            {key}  ({STARTER_CREDITS} credits)

Try it:
  curl {url}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model": "sim/echo", "messages": [{{"role": "user", "content": "Hello, Headrace!"}}]}}'
"""


def _url(server: Server, listening: socket.socket) -> str:
    scheme = "http" if server.tls_cert is None else "https"
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
