"""What can be set: frozen types with the defaults. How they are written in a file is not known here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from proxy.words.addresses import Network
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
    max_queue: int = 2000
    """Requests that wait to be begun while others are, in one process; more are told the same."""
    max_memory: int = 0
    """Resident bytes of one process from which on no more requests are taken in; 0 sets no bound."""
    keep_alive: float = 75.0
    drain: float = 30.0
    lease: float = 10.0
    """Seconds of silence after which what a process at the edge has open is ended in its place."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    public_url: str | None = None
    """Where browsers find us, scheme and host: behind a proxy, or by a name that is not `localhost`."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Where Prometheus scrapes; None switches the port off."""

    bind: str | None = "127.0.0.1:9464"


@dataclass(frozen=True, slots=True)
class Log:
    """What is written, and how."""

    format: Literal["auto", "console", "json"] = "auto"
    """`auto` is for people on a terminal, else a JSON object in each line."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written. Above `info` requests have no lines."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Who may sign in, and how much one account may make there by itself."""

    registration: bool = True
    """Whether people make accounts themselves; where not, an administrator does."""
    proxies: tuple[Network, ...] = ()
    """Where proxies stand whose `X-Forwarded-For` is believed."""
    max_keys: int = 100
    """Keys and tokens of an account that were not revoked; those of projects are not among them."""
    max_projects: int = 100
    max_changes: int = 300
    """Requests of an account in an hour, at most, that change something."""


@dataclass(frozen=True, slots=True)
class Mail:
    """The server that takes our mail; without a host none is sent."""

    host: str = ""
    port: int = 587
    tls: Literal["starttls", "tls", "none"] = "starttls"
    sender: str = "headrace@localhost"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Payments:
    """How credits are sold, if they are: Stripe wants a key, and we a secret for what it tells us."""

    stripe_key: str | None = field(default=None, repr=False)
    stripe_webhook_secret: str | None = field(default=None, repr=False)
    stripe_url: str = "https://api.stripe.com"
    least: int = 5_000_000_000
    """Nano-USD of one order."""
    most: int = 1_000_000_000_000

    @property
    def possible(self) -> bool:
        """Whether anything can be sold."""
        return self.stripe_key is not None and self.stripe_webhook_secret is not None


@dataclass(frozen=True, slots=True)
class Traces:
    """Where spans go, and of which requests."""

    endpoint: str | None = None
    """A URL that takes OTLP over HTTP, path and all; None switches traces off."""
    sample: Fraction = Fraction(1)
    """The share of requests that are traced; one that belongs to a trace goes by what its client decided."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where money and keys are kept: a SQLite file of one machine, or a PostgreSQL that several share.

    `dir` is where a machine that shares keeps what is its own: its lock, sockets and number.
    """

    url: str = field(default="sqlite:///data/headrace.db", repr=False)
    synchronous: Literal["FULL", "NORMAL"] = "FULL"
    dir: Path = Path("data")

    @property
    def shared(self) -> bool:
        """Whether other machines may use it too."""
        return not self.url.startswith(_SQLITE)

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.url.removeprefix(_SQLITE))

    @property
    def file(self) -> Path | None:
        """The SQLite file, if it is one."""
        return None if self.shared else self.path

    @property
    def directory(self) -> Path:
        """Where this machine's lock and sockets are."""
        return self.dir if self.shared else self.path.parent


@dataclass(frozen=True, slots=True)
class Secrets:
    """The directory of pepper and master keys, made on first start with mode 0600."""

    dir: Path = Path("data/secrets")
    master_keys: tuple[tuple[int, bytes], ...] = field(default=(), repr=False)
    """Master keys by number, beside those in the directory's files."""


@dataclass(frozen=True, slots=True)
class Money:
    """How credits are shown and prices are marked up."""

    credits_per_usd: int = 1000
    markup: Fraction = Fraction(1)
    signup_credits: int = 0
    """Nano-USD; in a file, credits."""
    default_output_cap: int = 4096
    learn: bool = True
    """Holds follow what finished requests have shown of each model, never above the default."""
    allow_unpriced: bool = False


@dataclass(frozen=True, slots=True)
class Idempotency:
    """How long answers are kept for those who ask again, and how much of them."""

    keep: float = 86_400.0
    """Seconds from the first request on."""
    max_kept: int = 1024 * 1024 * 1024
    """Bytes of all answers; 0 keeps none, and a repeat is told so."""


@dataclass(frozen=True, slots=True)
class UsageRecords:
    """For how long what is known of each request is kept."""

    keep_days: int = 90
    """0 is for ever. What is older stays as sums of each day, key and model."""


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

    @property
    def byok_only(self) -> bool:
        """Whether it serves those alone who bring their own key: it wants one, and the operator has none.

        A local server without a key, one that has http and no variable for a key, wants none.
        """
        wants_key = bool(self.key_variable) or self.base_url.startswith("https:")
        return self.api_key is None and self.wire != "sim" and wants_key


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model at a provider: what is raced, hedged and failed over."""

    provider: Provider
    model: str
    """The id the provider is asked for."""
    id: str = field(init=False, repr=False, compare=False)
    """`provider/model`, for headers and metrics."""

    def __post_init__(self) -> None:
        """Put the id together."""
        object.__setattr__(self, "id", f"{self.provider.name}/{self.model}")


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
    """What the accounts of a plan may do; `limits` are for all keys of an account together."""

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
class Outbound:
    """What addresses given by users may point to: providers of their own, webhooks."""

    http: bool = False
    """Whether http:// is taken beside https://."""
    networks: tuple[Network, ...] = ()
    """Networks that may be reached though they are not of the open internet."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set."""

    server: Server = Server()
    metrics: Metrics = Metrics()
    log: Log = Log()
    dashboard: Dashboard = Dashboard()
    traces: Traces = Traces()
    mail: Mail = Mail()
    payments: Payments = Payments()
    store: Store = Store()
    secrets: Secrets = Secrets()
    money: Money = Money()
    idempotency: Idempotency = Idempotency()
    usage: UsageRecords = UsageRecords()
    timeouts: Timeouts = Timeouts()
    """The providers' default, already applied to each of them."""
    providers: tuple[Provider, ...] = ()
    models: tuple[Model, ...] = ()
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    plans: Mapping[str, Allowance] = field(default_factory=dict)
    race: Race = Race()
    outbound: Outbound = Outbound()


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
