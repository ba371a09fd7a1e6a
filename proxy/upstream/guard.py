"""The one way to addresses that users gave: of their own providers, of their webhooks.

A name is looked up once, in one of a few threads; every address found must be public, or the call is refused
before a packet leaves; the connection goes to an address that was checked, while TLS vouches for the name.
Redirects are not followed, and no proxy is read from the environment: the transport knows neither.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final

import httpx
import trio

from proxy.settings import Outbound
from proxy.words.addresses import is_public, read_url

from .dial import Dial, Origin, tuned
from .request import render_head
from .transport import UpstreamTransport

_LOOK_UPS: Final = 8
"""Threads that look names up at once: a name server of a user's may take its time."""
_TRIED: Final = 6
"""Addresses of a name that are tried, at most."""
_FIRST_SECONDS: Final = 2.0
"""An address that does not answer within it gives way to the next."""
_limiter = trio.CapacityLimiter(_LOOK_UPS)


class BlockedAddressError(OSError):
    """A name stands for an address that is not everybody's; nothing was sent."""


def check(url: str, rules: Outbound) -> None:
    """Check a URL that a user gave, before it is saved.

    Raises:
        AddressError: it is not taken. What its name stands for is looked at when it is used.
    """
    read_url(url, http=rules.http, allowed=rules.networks)


def guarded_transport(rules: Outbound) -> UpstreamTransport:
    """Make a transport that connects to public addresses alone, and anew each time: no connection is kept.

    So it needs no closing, and no two accounts share a connection.
    """
    return UpstreamTransport(dial=guarded_dial(rules), max_idle=0)


def guarded_dial(rules: Outbound) -> Dial:
    """Return what connects to a host whose every address may be reached by users' wishes."""

    async def dial(host: str, port: int) -> socket.socket:
        return await _first_open(await _addresses(host, port, rules))

    return dial


async def post(
    url: str, body: bytes, headers: Sequence[tuple[str, str]] = (), *, within: float, rules: Outbound
) -> int:
    """Post to an address that a user gave; return the status. What it answers is not read.

    `within` are the seconds that all of it may take. Header names are lower case; `content-type` is the
    caller's. Cancelling closes the connection at once.

    Raises:
        AddressError: the URL is not taken.
        httpx.RequestError: no answer came, or the address was refused (its cause is `BlockedAddressError`).
    """
    check(url, rules)
    target = httpx.URL(url)
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    head = render_head(b"POST", target.raw_path, target.netloc, fields)
    try:
        with trio.fail_after(within):
            answer = await guarded_transport(rules).open(Origin.of(target), head, body)
    except trio.TooSlowError:
        raise httpx.ReadTimeout(f"no answer within {within:g} s") from None
    answer.close()
    return answer.status


async def _addresses(host: str, port: int, rules: Outbound) -> list[tuple[int, Any]]:
    """Look a name up. Raises BlockedAddressError where one of its addresses may not be reached."""
    found = await trio.to_thread.run_sync(_look_up, host, port, limiter=_limiter, abandon_on_cancel=True)
    places: dict[Any, int] = {}
    for family, _kind, _protocol, _name, place in found:
        # A zone (fe80::1%eth0) is of this machine's own links.
        address = ip_address(str(place[0]).partition("%")[0])
        if not is_public(address, rules.networks):
            raise BlockedAddressError(f"{host} stands for an address that may not be reached")
        places[place] = family
    return [(family, place) for place, family in places.items()][:_TRIED]


def _look_up(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _first_open(places: Sequence[tuple[int, Any]]) -> socket.socket:
    """Connect to the first that answers. Raises OSError, the last one's."""
    failure = OSError("the name has no address")
    for place, (family, address) in enumerate(places, 1):
        patience = _FIRST_SECONDS if place < len(places) else float("inf")
        with trio.move_on_after(patience):
            try:
                return await _opened(family, address)
            except OSError as error:
                failure = error
    raise failure


async def _opened(family: int, address: Any) -> socket.socket:
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        # Numbers alone: nothing is looked up a second time.
        await sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return tuned(sock)
