"""The seam of a dialect: how one kind of client is understood and answered.

A new dialect is one file with these members and its rows in `edge/surfaces.py`. Dialects do no I/O: bytes
come in and bytes go out, and the doors carry them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

import orjson

from proxy.words.account import Generation, Standing
from proxy.words.call import Call
from proxy.words.catalogue import Offer
from proxy.words.chat import Frame
from proxy.words.errors import GatewayError, Window
from proxy.words.usage import Usage
from proxy.words.value import value

from .form import Form

MAX_DEPTH: Final = 64
"""Nesting of a request's JSON."""
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
JSON_TYPE: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream; charset=utf-8"


class Bill(NamedTuple):
    """What an answer used and what its client pays, in nano-USD."""

    usage: Usage
    cost: int
    estimated: bool
    """The upstream gave no figures that can be believed; these are our own count."""


@dataclass(slots=True)
class Funds:
    """What the ledger last said of an account while one of its requests runs, in nano-USD.

    `available` is what it may spend beside this request, `held` what is held for it.
    """

    available: int = 0
    held: int = 0

    def after(self, cost: int) -> int:
        """Return what may be spent once this request is settled at `cost`.

        What the account's other requests did since the ledger spoke is not in it.
        """
        return max(self.available + self.held - cost, 0)


@value
class Answer:
    """What an encoder must know of the answer it writes."""

    generation_id: str
    language: str
    """The upstream's wire, to tell whether its payloads may pass as they came."""
    credits_per_usd: int
    created: int
    """Unix seconds."""
    model: str
    """The upstream's id of the model that answers."""
    provider: str = ""
    request_id: str = ""
    funds: Funds = field(default_factory=Funds)
    media_type: str = JSON_TYPE
    """What the upstream sends, for an answer that is passed on as it comes."""


class Encoder(Protocol):
    """One answer on its way to the client. Streaming and whole answers share this face."""

    @property
    def media_type(self) -> str:
        """What it writes, for `Content-Type`; known from the start."""
        ...

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Take upstream frames; return what goes out now."""
        ...

    def finish(self, bill: Bill) -> bytes:
        """End a complete answer."""
        ...

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """End an answer whose hold could not grow: what there is, said to be cut, else raise `error`."""
        ...

    def fail(self, error: GatewayError) -> bytes:
        """End an answer that failed after it began.

        One that is sent whole raises `error` instead, and so does one that cannot tell of its failure: it is
        then broken off.
        """
        ...


class Dialect(Protocol):
    """One kind of client."""

    def parse(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Call:
        """Read and check a request; header names are lower case.

        Raises:
            GatewayError: names the field at fault.
        """
        ...

    def encoder(self, call: Call, answer: Answer) -> Encoder:
        """Begin to write an answer."""
        ...

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Write the body of a failed request, as JSON."""
        ...

    def status(self, error: GatewayError) -> int:
        """Return the HTTP status of a failed request."""
        ...


class FormDialect(Dialect, Protocol):
    """A dialect whose requests are forms with a file in them."""

    def parse_form(self, form: Form) -> Call:
        """Read and check a request; raises as `parse`."""
        ...


class Lister(Dialect, Protocol):
    """A dialect that can tell of models."""

    def models(self, offers: Iterable[Offer]) -> bytes:
        """Write the list of models, as JSON."""
        ...

    def model(self, offer: Offer) -> bytes:
        """Write one model, as JSON."""
        ...


class Teller(Dialect, Protocol):
    """A dialect that can tell a key's owner of it."""

    def standing(self, standing: Standing, credits_per_usd: int) -> bytes:
        """Write where a key stands, as JSON."""
        ...

    def generation(self, generation: Generation, credits_per_usd: int) -> bytes:
        """Write what became of a request, as JSON."""
        ...


class Counter(Dialect, Protocol):
    """A dialect whose clients may ask how long a prompt is."""

    def parse_count(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Call:
        """Read and check a prompt to be counted. Raises GatewayError as `parse`."""
        ...

    def count(self, tokens: int) -> bytes:
        """Write how many tokens it has, as JSON."""
        ...


def one_by_one(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Give frames one by one also where many came as a run: as many go out, for the bill counts them."""
    for each in frames:
        if each.run is None:
            yield each
        else:
            yield from each.run.apart()


def parse_json(body: bytes) -> dict[str, Any]:
    """Read a request body that must be a JSON object no deeper than `MAX_DEPTH`.

    orjson refuses what RFC 8259 refuses: NaN, numbers beyond a double, invalid UTF-8, lone surrogates,
    a byte order mark, trailing data. Of a repeated key the last counts; what is sent on is always our
    own serialisation, never the client's bytes.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise GatewayError("invalid_json", f"The body is not valid JSON: {error.msg}.") from None
    if not isinstance(parsed, dict):
        raise GatewayError("invalid_request", "The body must be a JSON object.")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _deeper_than(parsed, MAX_DEPTH):
        raise GatewayError("invalid_json", f"The body is nested deeper than {MAX_DEPTH} levels.")
    return parsed


def _deeper_than(value: Any, limit: int) -> bool:
    """Walk level by level, so that depth costs no stack. Parsed JSON has no subclasses of dict and list."""
    level = [value]
    for _ in range(limit):
        level = [
            child
            for container in level
            for child in (container.values() if type(container) is dict else container)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def label_headers(dialect: Dialect, label: str) -> dict[str, str]:
    """Return the fields that tell a request's label: ours, and where a dialect's own clients look for it.

    A dialect whose clients look elsewhere has its field's name in `label_header`.
    """
    own = getattr(dialect, "label_header", None)
    return {"x-request-id": label} if own is None else {"x-request-id": label, own: label}


def error_headers(error: GatewayError) -> dict[str, str]:
    """Return the fields an error brings with it."""
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    if error.name == "previous_attempt_partial":
        # OpenAI's and Anthropic's SDKs try again at any other 409, which will never help here.
        headers["x-should-retry"] = "false"
    return {**headers, **window_headers(error.window)}


def window_headers(window: Window | None) -> dict[str, str]:
    """Return the fields that tell a caller where it stands in its request limit."""
    if window is None:
        return {}
    return {
        "x-ratelimit-limit": str(window.limit),
        "x-ratelimit-remaining": str(window.left),
        "x-ratelimit-reset": str(window.reset),
    }
