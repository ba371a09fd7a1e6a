"""Where the parts are joined, and nowhere else: every object is made here and every task has its owner.

Here one process holds everything; `workers` joins the same objects in several. `serve` opens the store, ends
what an earlier life left open, starts the desk, the control socket, the metrics port and the server, and
stops them in the opposite order.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

import trio

from proxy.bank.outbox import Outbox
from proxy.bank.recorder import Recorder, Unrecorded
from proxy.bank.store import DamagedError, StoreError
from proxy.control.api.document import described
from proxy.control.api.house import House
from proxy.control.api.outside import Load, within
from proxy.control.bank import Bank, open_bank
from proxy.control.commands import own_to_serve
from proxy.control.lock import DirectoryInUseError
from proxy.control.office import Office
from proxy.control.pages import make_pages, make_scrape
from proxy.control.secrets import WeakSecretError
from proxy.control.serving import serve_control
from proxy.control.socket import ControlError
from proxy.control.upkeep import upkeep
from proxy.edge.directory import Directory
from proxy.edge.drain import Stop, heed_signals
from proxy.edge.http1 import serve_http1
from proxy.edge.http2 import serve_asgi
from proxy.edge.lifespan import App
from proxy.edge.lookups import Records
from proxy.edge.models import ModelRoutes
from proxy.edge.routes import Routes
from proxy.edge.server import ListenError, listen
from proxy.edge.surfaces import SURFACES
from proxy.exchange import Core, Replies
from proxy.observe import log
from proxy.observe.books import BookFigures
from proxy.observe.lines import stamp
from proxy.observe.metrics import Metrics
from proxy.observe.process import ProcessFigures
from proxy.observe.scrape import Scrape
from proxy.observe.tallies import Registry, Told
from proxy.observe.trace import Traces, TracesUnavailableError, check_traces, tracing
from proxy.policy.budgets import Shares
from proxy.policy.health import Health
from proxy.policy.learned import Known
from proxy.policy.prices import PriceBook
from proxy.policy.pulse import Tempo
from proxy.policy.remarks import remarks
from proxy.policy.routing import Router
from proxy.process.recorder import Recording, recording
from proxy.process.supervisor import new_epoch
from proxy.receipt import Receipt
from proxy.settings import Log, Outbound, Provider, Race, Server, Settings
from proxy.upstream.abandoned import Abandoned
from proxy.upstream.fleet import Fleet, Line
from proxy.upstream.guard import guarded_transport
from proxy.upstream.line import HttpLine
from proxy.upstream.sim import SimLine
from proxy.upstream.transport import UpstreamTransport
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.base import Wire
from proxy.wires.gemini import GeminiWire
from proxy.wires.openai import OpenAIWire
from proxy.words.principal import OpenedKey, Principal
from proxy.words.revocation import Revocation

__all__ = ("Bank", "Gateway", "open_bank", "serve")

Circuits = Sequence[tuple[str, bool]]
"""(deployment, whether it may be asked) of each that was tried."""
STARTER_CREDITS: Final = "10000"
"""What the first start's key may spend: ten dollars of play money."""
DAMAGED: Final = 3
"""Exit status where the store's file is broken, which no restart mends."""
ADMIN: Final = "admin@localhost"
_GREETING: Final = """

First start. These are shown once:
  administrator  {administrator}
  password       {password}
  key            {key}  ({credits} credits)

Try it:
  curl {url}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model": "sim/echo", "messages": [{{"role": "user", "content": "Hello, Headrace!"}}]}}'
"""
_SWEEP_IDLE_SECONDS: Final = 30.0
_log = logging.getLogger("headrace.process")
WIRES: Final[dict[str, Wire]] = {
    "openai": OpenAIWire(),
    "anthropic": AnthropicWire(),
    "gemini": GeminiWire(),
    "sim": OpenAIWire(),
}


_IN_THE_WAY: Final = (
    DirectoryInUseError,
    ListenError,
    WeakSecretError,
    StoreError,
    TracesUnavailableError,
    OSError,
)
"""What may keep a gateway from serving, each saying why."""


def serve(
    settings: Settings, bind: str | None = None, load: Load | None = None, recording: Recording = recording
) -> int:
    """Run the gateway until it is told to stop; return the exit status. `load` reads the settings anew."""
    if bind is not None:
        settings = replace(settings, server=replace(settings.server, bind=bind))
    with log.speaking(settings) as spoken:
        try:
            prices = looked_over(settings)
            with own_to_serve(settings.store.directory), tracing(settings) as traces:
                doors = (
                    listen(settings.server.bind),
                    None if settings.metrics.bind is None else listen(settings.metrics.bind),
                )
                trio.run(_serve, settings, prices, doors, load, recording, spoken, traces)
        except _IN_THE_WAY as error:
            return gave_up(error)
    return 0


def gave_up(error: Exception) -> int:
    """Say why nothing is served, and return the exit status that says it again."""
    print(f"headrace: {error}", file=sys.stderr)
    return DAMAGED if isinstance(error, DamagedError) else 1


def looked_over(settings: Settings) -> PriceBook:
    """Say what is odd about settings and about who runs them, and return their prices.

    Raises:
        ListenError: the certificate is none.
        TracesUnavailableError: what they need is not installed.
        OSError: a file cannot be read.
    """
    log.runs_as(os.geteuid())
    check_certificate(settings.server)
    check_traces(settings)
    prices = PriceBook.load(settings.providers)
    log.settings_remarked(remarks(settings, prices))
    return prices


def check_certificate(server: Server) -> None:
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


async def _serve(
    settings: Settings,
    prices: PriceBook,
    doors: tuple[socket.socket, socket.socket | None],
    load: Load | None,
    recording: Recording,
    spoken: log.Log,
    traces: Traces | None,
) -> None:
    (listening, scraped), directory = doors, settings.store.directory
    async with AsyncExitStack() as stack:
        bank = await stack.enter_async_context(open_bank(settings, check=True))
        transport = await stack.enter_async_context(UpstreamTransport())
        recorder = stack.enter_context(recording(directory, 0, new_epoch()))
        nursery = await stack.enter_async_context(trio.open_nursery())
        stop = Stop()
        await nursery.start(heed_signals, stop, _no_reload)
        gateway = Gateway(
            settings,
            bank,
            transport,
            prices,
            [spoken.observe],
            learned=bank.learned,
            recorder=recorder,
            traces=traces,
            reading=load,
        )
        await nursery.start(serve_control, directory / "control.sock", bank.office.command)
        nursery.start_soon(close_idle, transport)
        await nursery.start(upkeep, settings, bank, time.time, log.upkeep_failed)
        await nursery.start(gateway.abandoned.run)
        figures = gateway.metrics.figures
        nursery.start_soon(ProcessFigures(figures, "gateway").run)
        nursery.start_soon(book_figures(figures, bank).run)
        spoken.show(figures)
        if scraped is not None:
            scrape = make_scrape(Scrape(partial(_figures, figures)))
            await nursery.start(serve_asgi, scrape, scraped, settings.server)
        url = url_of(settings.server, listening)
        settle_garbage()
        first = "" if await bank.office.accounts.any() else await first_start(bank.office)
        print(greeting(settings.log, url, first), flush=True)
        await serve_http1(listening, gateway.routes, gateway.cold, settings.server, stop=stop)
        nursery.cancel_scope.cancel()


def _no_reload() -> None:
    _log.warning("SIGHUP: one process does not read its settings anew; start it again, or serve with workers")


class Branch(Protocol):
    """The bank as the doors need it, in this process or another."""

    @property
    def desk(self) -> Outbox:
        """Where operations are handed in."""
        ...

    @property
    def enquiries(self) -> Records:
        """What the books say."""
        ...

    @property
    def pepper(self) -> bytes:
        """What keys are hashed with."""
        ...

    @property
    def replies(self) -> Replies:
        """Answers that were kept."""
        ...

    async def principal(self, digest: bytes) -> Principal | None:
        """Return whom a key's digest stands for. Raises StoreError."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every change to what keys stand for."""
        ...

    async def opened(self, account: int, ids: Sequence[int]) -> Sequence[OpenedKey]:
        """Open an account's own keys for a request. Raises StoreError."""
        ...

    def watch_ends(self, ended: Callable[[Revocation], None]) -> None:
        """Call `ended` of every key, project and account whose running requests are to end."""
        ...


class Gateway:
    """One process's worth of gateway: everything between the doors and the providers."""

    def __init__(  # noqa: PLR0913, PLR0917 - the place where parts are joined
        self,
        settings: Settings,
        bank: Branch,
        transport: UpstreamTransport,
        prices: PriceBook,
        observers: Sequence[Callable[[Receipt], None]] = (),
        cold: App | None = None,
        learned: Known | None = None,
        unix_time: Callable[[], float] = time.time,
        recorder: Recorder | None = None,
        traces: Traces | None = None,
        reading: Load | None = None,
    ) -> None:
        """Join them; `cold` is the application for all that asks no model, made here if it is not given.

        `reading` reads the settings anew.
        """
        lines = {provider.name: _line(provider, transport) for provider in settings.providers}
        self.health = health = _health(settings.race)
        router = Router(settings, prices, learned=learned)
        offered = frozenset(router.names())
        deployments = {deployment.id for model in settings.models for deployment in model.deployments}
        self.metrics = Metrics(bank.desk, health, deployments | offered, offered)
        self.abandoned = Abandoned(self.metrics.drained)
        core = Core(
            settings=settings,
            router=router,
            desk=bank.desk,
            fleet=Fleet(lines, WIRES, elsewhere=partial(_line_elsewhere, settings.outbound)),
            health=health,
            abandoned=self.abandoned,
            unix_time=unix_time,
            open_keys=bank.opened,
            replies=bank.replies,
            recorder=recorder or Unrecorded(),
            observers=(self.metrics.observe, *([] if traces is None else [traces.observe]), *observers),
            trace=None if traces is None else traces.begin,
        )
        directory = Directory(bank.principal, bank.pepper, unix_time)
        bank.watch(directory.forget)
        models = ModelRoutes(core, directory, bank.enquiries)
        bank.watch_ends(models.revoke)
        load = models.load
        self.metrics.watch(
            running=lambda: load.running,
            waiting=lambda: load.waiting,
            shed=lambda: load.shed,
            refused=lambda: models.refused,
            left=lambda: models.left,
        )
        self.routes = Routes(models)
        house = House(bank, within(health, reading)) if isinstance(bank, Bank) else None
        self.cold: App = pages(settings, bank.desk, self.circuits, house) if cold is None else cold

    def circuits(self) -> Circuits:
        """Return the deployments that were tried with the operator's keys, and whether each may be now."""
        now = trio.current_time()
        return [
            (circuit.deployment, circuit.state != "open")
            for circuit in self.health.breaker.snapshot(now)
            if circuit.key_id is None
        ]


def pages(settings: Settings, desk: Outbox, circuits: Callable[[], Circuits], house: House | None) -> App:
    """Make the cold application."""
    return make_pages(
        partial(readiness, settings, desk, circuits), partial(described, SURFACES, settings), house
    )


def readiness(settings: Settings, desk: Outbox, circuits: Callable[[], Circuits]) -> dict[str, bool]:
    """Tell of each part whether it can work.

    Providers can while any can be asked: one whose every deployment that was tried is shut out cannot, nor
    can one without the key it wants. The simulated one counts where it is all there is, or a model is there.
    """
    asked = [provider for provider in settings.providers if not provider.byok_only]
    placed = {deployment.provider.name for model in settings.models for deployment in model.deployments}
    real = [provider for provider in asked if provider.wire != "sim" or provider.name in placed]
    tried: dict[str, bool] = {}
    for deployment, may in circuits():
        name = deployment.partition("/")[0]
        tried[name] = tried.get(name, False) or may
    usable = any(tried.get(provider.name, True) for provider in real or asked)
    return {"ledger": not desk.statistics().down, "providers": usable}


def book_figures(figures: Registry, bank: Bank) -> BookFigures:
    """Have the owner of the store show its own figures."""
    texts, payments = bank.office.texts, bank.office.payments
    found = BookFigures(
        figures, bank.store.report, lambda: texts.waiting, lambda: texts.left_out, payments.rejected
    )
    bank.recovery.listen(found.recovered)
    return found


def _figures(figures: Registry) -> Callable[[], Told]:
    told = figures.tell()
    return lambda: told


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


def settle_garbage() -> None:
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


def _line_elsewhere(rules: Outbound, provider: Provider, base_url: str) -> Line:
    """Make the line to an account's own endpoint, for one request: its address is checked each time."""
    return HttpLine(guarded_transport(rules), base_url, connect_within=provider.timeouts.connect)


async def close_idle(transport: UpstreamTransport) -> None:
    """Close connections that nobody has used for long, until cancelled."""
    while True:
        await trio.sleep(_SWEEP_IDLE_SECONDS)
        transport.sweep()


async def first_start(office: Office) -> str:
    """Make an administrator and a key with starter credits; return what is to be told once, as JSON."""
    refused: ControlError | None = None
    try:
        account = await office.accounts.create(ADMIN, STARTER_CREDITS, admin=True)
    except ControlError as error:
        refused = error
    if refused is not None:
        # Another machine that shares the store starts at the same moment.
        if await office.accounts.any():
            return ""
        raise refused
    key = (await office.keys.create(ADMIN, "account", "starter"))["key"]
    told = {"administrator": ADMIN, "password": account["password"], "key": key, "credits": STARTER_CREDITS}
    return json.dumps(told)


def greeting(rules: Log, url: str, first: str) -> str:
    """Return what is printed once we serve: for people, or a line for whoever asked for JSON.

    `first` is what `first_start` made, if this is one.
    """
    made = json.loads(first) if first else {}
    if rules.format == "json":
        now = stamp(time.time())
        said = {"timestamp": now, "level": "info", "logger": "headrace.process", "event": f"serving on {url}"}
        return json.dumps(said | made)
    return f"headrace: serving on {url}{_GREETING.format(url=url, **made) if made else ''}"


def url_of(server: Server, listening: socket.socket) -> str:
    """Return where a socket serves."""
    scheme = "http" if server.tls_cert is None else "https"
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
