"""What a handler sees of HTTP, whichever door the request came through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from proxy.words.errors import GatewayError

from .transfer import Transfer

JSON: Final = {"content-type": "application/json"}


class ClientGoneError(Exception):
    """The client left before its request was whole; there is nobody to answer."""


class Request(Protocol):
    """A request whose head has been read.

    `query` is as it came, without its question mark. `headers` has lower-case names; of a repeated field the
    last counts.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    async def body(self, limit: int) -> bytes:
        """Read the whole body.

        Raises:
            GatewayError: `body_too_large`; no more than `limit` and one read were taken in.
            ClientGoneError: the client left in mid-body.
        """
        ...

    async def piece(self, limit: int) -> bytes:
        """Return the next bytes of the body, as they come; nothing is its end. Raises as `body`."""
        ...

    def skip(self) -> None:
        """Throw away what has come of the body, so that the connection may go on if that was all."""
        ...

    async def wait_gone(self) -> None:
        """Return when the client has left, or has closed its sending side."""
        ...

    def tell_gone(self, gone: Callable[[], None] | None) -> None:
        """Call `gone` once the client has left, if that shows before the body is read; None: no longer."""
        ...


class Watcher(Protocol):
    """Who answers a client, and is told of it by plain calls, from whichever task.

    Attributes:
        alarm: when the client wants to hear something, by Trio's clock, unless its answer has begun.
    """

    alarm: float

    def gone(self) -> None:
        """The client has left, or has closed its sending side."""
        ...

    def overdue(self) -> tuple[int, Mapping[str, str], bytes]:
        """The alarm has gone off: return the answer's status, its headers, and a first piece.

        Later ones are of the piece alone.
        """
        ...


class Answering(Protocol):
    """As much of a reply as a refusal needs."""

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole answer."""
        ...


class Reply(Answering, Protocol):
    """The answer to a request: either `whole`, or `start`, any number of `send`, and `relay` or `end`."""

    @property
    def unsent(self) -> int:
        """Bytes handed in that are known not to have reached the client's socket, and may still do so."""
        ...

    def give_up(self) -> int:
        """Forget a piece whose sending was cancelled before it began; return its bytes and the `unsent`."""
        ...

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` of the client from now on, until the request is over."""
        ...

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin a streamed answer."""
        ...

    async def send(self, data: bytes) -> None:
        """Send a piece of it."""
        ...

    async def relay(self, transfer: Transfer) -> None:
        """Send what a transfer gives, until it is done, and end it. Raises as `Transfer`."""
        ...

    async def collect(self, transfer: Transfer) -> bytes:
        """Return all that a transfer gives, sending nothing. Raises as `Transfer`."""
        ...

    async def end(self) -> None:
        """End it."""
        ...


def check_json(headers: Mapping[str, str], limit: int) -> None:
    """Refuse a body by its head: 413 by its length, 415 by its type or coding, before any of it is read."""
    check_size(headers, limit)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise GatewayError("unsupported_media_type", "The request's content type must be application/json.")


def check_size(headers: Mapping[str, str], limit: int) -> None:
    """Refuse a body of any kind by its length or its coding, as `check_json`."""
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limit:
        raise body_too_large(limit)
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise GatewayError("unsupported_media_type", "Request bodies must not be compressed.")


def body_too_large(limit: int) -> GatewayError:
    """Return the refusal of a body beyond `limit` bytes."""
    return GatewayError("body_too_large", f"The body is larger than {limit} bytes.")
