"""Addresses that users give us: what may be said in a URL, and which hosts are everybody's.

Pure. Whoever connects to such an address looks the name up once, asks `is_public` of everything it finds,
and connects to what was asked about (`upstream/guard`). What only a provider fetches, as a picture's URL, is
read here alone: a name that points inwards from where the provider stands is for the provider to refuse.

Blocks of addresses are IANA's special-purpose registries (RFC 6890 and its updates), and those of clouds'
own services. They are written down here since Python's idea of them changes with its version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_LONGEST: Final = 2048
_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:\[(?P<six>[0-9a-f:.]{2,45})\]|(?P<host>[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<rest>[/?#][!-~]*)?",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INWARD: Final = frozenset({
    "localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private", "arpa",
    "invalid", "test", "example", "onion", "svc", "alt",
})  # fmt: skip
"""Last labels that name nothing on the internet (RFC 6761, RFC 6762, RFC 9476), or somebody's own network."""
_CLOSED_FOUR: Final = tuple(
    IPv4Network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure's own, behind every virtual machine
    )
)
_UNICAST: Final = IPv6Network("2000::/3")
_CLOSED_SIX: Final = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocols of their own, Teredo among them, which hides another address
        "2001:db8::/32",
        "2002::/16",  # 6to4, as well
        "3fff::/20",
    )
)
_HOLDS_FOUR: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""IPv4-mapped, and NAT64 (RFC 6052): the IPv4 address in them is what counts."""


class AddressError(ValueError):
    """A URL that is not taken; its text says why, for whoever wrote it, and repeats nothing of it."""


class WebAddress(NamedTuple):
    """Where a URL points to. `host` is in lower case; `literal` is its address where it is one."""

    scheme: str
    host: str
    port: int
    literal: Address | None


def read_url(text: str, *, http: bool = False, allowed: Iterable[Network] = ()) -> WebAddress:
    """Read a URL that a user gave.

    `http` takes that scheme too. `allowed` are networks that are taken though they are nobody else's; where
    there are any, names of somebody's own network are too.

    Raises:
        AddressError: it is not an https URL, holds credentials, or names a host that is not everybody's.
    """
    found = _URL.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise AddressError("it must be an https:// URL of a plain host, without credentials")
    scheme = found["scheme"].lower()
    if scheme == "http" and not http:
        raise AddressError("it must begin with https://")
    port = int(found["port"] or (443 if scheme == "https" else 80))
    if port > 65_535:
        raise AddressError("there is no such port")
    networks = tuple(allowed)
    host = (found["six"] or found["host"]).lower()
    literal = _six(host) if found["six"] else _four(host)
    if literal is None and not networks:
        _check_name(host)
    if literal is not None and not is_public(literal, networks):
        raise AddressError("it must point to a public address")
    return WebAddress(scheme, host, port, literal)


def is_public(address: Address, allowed: Iterable[Network] = ()) -> bool:
    """Tell whether an address is of the open internet, or in one of the networks that are allowed."""
    if any(address in network for network in allowed):
        return True
    if isinstance(address, IPv6Address):
        if any(address in network for network in _HOLDS_FOUR):
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF), allowed)
        return address in _UNICAST and not any(address in network for network in _CLOSED_SIX)
    return not any(address in network for network in _CLOSED_FOUR)


def _check_name(host: str) -> None:
    *labels, last = host.split(".")
    malformed = any(label.startswith("-") or label.endswith("-") for label in (*labels, last))
    if not labels or malformed or last in _INWARD or len(host) > 253:
        raise AddressError("it must name a public host")


def _six(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise AddressError("there is no such address") from None


def _four(host: str) -> IPv4Address | None:
    """Return the address that a host is; None where it is a name.

    What ends in a number is an address in some notation (WHATWG URL, "ends in a number"). Only the common one
    is taken: others are read as 127.0.0.1 by one library, and as a name by the next.
    """
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None
    try:
        return IPv4Address(host)
    except AddressValueError:
        raise AddressError("an address is written as four decimal numbers") from None
