"""What can be set: frozen types with the defaults. How they are written in a file is not known here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from proxy.words.money import Price
from proxy.words.principal import Limits
from proxy.words.quirks import PLAIN, Quirks
from proxy.words.wishes import Strategy

WireName = Literal["openai", "anthropic", "gemini", "sim"]
OnCut = Literal["error", "replay"]
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Server:
    """Where we listen, and what a client may send. Sizes are bytes, times seconds."""

    bind: str = "127.0.0.1:8000"
    workers: int = 1
    max_body: int = 8 * 1024 * 1024
    max_body_vision: int = 20 * 1024 * 1024
    max_body_audio: int = 26 * 1024 * 1024
    """A file of OpenAI's largest, 25 MiB, and the form around it."""
    max_requests: int = 4096
    """Requests to models at once, in one process; more are told to come back."""
    max_memory: int = 0
    """Resident bytes of one process from which on no more requests are taken in; 0 sets no bound."""
    keep_alive: float = 75.0
    drain: float = 30.0
    tls_cert: Path | None = None
    tls_key: Path | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where Prometheus scrapes; None switches the port off."""

    bind: str | None = "127.0.0.1:9464"


@dataclass(frozen=True, slots=True)
class Store:
    """Where money and keys are kept."""

    url: str = "sqlite:///data/headrace.db"
    synchronous: Literal["FULL", "NORMAL"] = "FULL"

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.url.removeprefix(_SQLITE))


@dataclass(frozen=True, slots=True)
class Secrets:
    """The directory of pepper and master keys, made on first start with mode 0600."""

    dir: Path = Path("data/secrets")


@dataclass(frozen=True, slots=True)
class Money:
    """How credits are shown and prices are marked up."""

    credits_per_usd: int = 1000
    markup: Fraction = Fraction(1)
    signup_credits: int = 0
    """Nano-USD; in a file, credits."""
    default_output_cap: int = 4096
    allow_unpriced: bool = False


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Patience with an upstream, in seconds."""

    connect: float = 3.0
    first_byte: float = 30.0
    first_byte_reasoning: float = 120.0
    idle: float = 30.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Provider:
    """An upstream. It is the operator's own, so http and loopback are allowed."""

    name: str
    wire: WireName
    base_url: str = ""
    api_key: str | None = field(default=None, repr=False)
    key_variable: str = ""
    """The environment variable its key is taken from, if it is."""
    ca_file: Path | None = None
    """A PEM file of further certificate authorities to trust for this provider."""
    stream_options: bool = True
    """Whether it accepts `stream_options.include_usage`."""
    quirks: Quirks = PLAIN
    """How its requests deviate from its protocol."""
    timeouts: Timeouts = Timeouts()
    price_source: str | None = None
    """The provider's id in the price library, where it differs from `name`."""
    cancel_stops_billing: bool = True
    """Whether it stops charging when we hang up; where not, hedges and aborts are handled with care."""
    drain_after_abort: float = 0.0
    """Seconds an answer whose client has gone is read on, where hanging up saves nothing."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model at a provider: what is raced, hedged and failed over."""

    provider: Provider
    model: str
    """The id the provider is asked for."""

    @property
    def id(self) -> str:
        """`provider/model`, for headers and metrics."""
        return f"{self.provider.name}/{self.model}"


@dataclass(frozen=True, slots=True)
class Model:
    """A model the operator configured."""

    id: str
    deployments: tuple[Deployment, ...]
    strategy: Strategy = "failover"
    price: Price | None = None
    """The client's price, to which no markup is added; None takes the price library's, marked up."""
    sticky: bool = False
    """Requests of one user or session prefer the same deployment, whose prompt cache knows them."""
    on_cut: OnCut = "error"
    """What becomes of a stream that its upstream broke: the client is told, or it is asked for again."""
    quality: int = 0
    name: str | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    reasoning: bool | None = None
    capabilities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for one or several models, in order of preference."""

    models: tuple[str, ...]
    strategy: Strategy | None = None
    """None leaves it to each model."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the keys of a plan may do, where they have no limit of their own."""

    limits: Limits = Limits()
    strategy: Strategy | None = None
    allow_race: bool = False


@dataclass(frozen=True, slots=True)
class Race:
    """How several deployments become one answer, and what it may cost. Times are seconds."""

    at_once: int = 3
    """Attempts open at the same time, at most."""
    attempts: int = 6
    """Attempts of one request in all, at most."""
    again: int = 0
    """Rounds over the same deployments, each after a pause, once all of them have failed."""
    hedge_after: float = 2.0
    """The delay of a hedge while too few first tokens were seen to know better."""
    hedge_at_least: float = 0.1
    hedge_calls: Fraction = Fraction(5, 100)
    """Hedges as a share of requests, and of what requests cost."""
    hedge_spend: Fraction = Fraction(2, 100)
    retries: Fraction = Fraction(20, 100)
    """Further attempts after failures, as a share of requests."""
    hedge_unstoppable: int = 256
    """The longest `max_tokens` hedged at a provider whose charges do not stop with a cancel."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set."""

    server: Server = Server()
    metrics: Metrics = Metrics()
    store: Store = Store()
    secrets: Secrets = Secrets()
    money: Money = Money()
    timeouts: Timeouts = Timeouts()
    """The providers' default, already applied to each of them."""
    providers: tuple[Provider, ...] = ()
    models: tuple[Model, ...] = ()
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    plans: Mapping[str, Allowance] = field(default_factory=dict)
    race: Race = Race()


def split_bind(bind: str) -> tuple[str, int]:
    """Split `host:port`, where an IPv6 address stands in brackets.

    Raises:
        ValueError: it is not a host and a port from 0 (any free one) to 65535.
    """
    host, colon, port = bind.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    well_formed = colon and bare and not set(bare) & set("[]/ \t") and (":" not in bare or bare != host)
    if not well_formed or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("a host and a port from 0 to 65535, as in 127.0.0.1:8000 or [::1]:8000")
    return bare, int(port)
