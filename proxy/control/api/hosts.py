"""By which names browsers may ask for us. Pure.

A page of somebody else's can let its own name lead to our address (DNS rebinding), and then speaks to us as
if it were ours: a gateway that is bound to loopback would be open to whatever its owner looks at. What it
cannot choose is an address, and a name that leads nowhere else: so a Host is one of those, or one that the
operator named.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from proxy.settings import split_bind

_LOCAL: Final = "localhost"
"""Browsers look this name up nowhere, nor any that ends in it (RFC 6761 section 6.3)."""


def is_ours(host: str, bind: str, public: str | None) -> bool:
    """Tell whether a `Host` is ours where we are bound to `bind`, and browsers find us at `public`.

    The port does not count: it may be another one in front of a container or a proxy.
    """
    name = _name_of(f"//{host}")
    bound, _ = split_bind(bind)
    if not name or name in {bound.lower(), public and _name_of(public)}:
        return bool(name)
    every, inward = _kind_of(bound)
    if name == _LOCAL or name.endswith(f".{_LOCAL}"):
        return every or inward
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return every or (inward and address.is_loopback)


def _name_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _kind_of(bound: str) -> tuple[bool, bool]:
    """Tell whether we listen on every address, and whether on loopback alone."""
    if bound.lower() == _LOCAL:
        return False, True
    try:
        address = ip_address(bound)
    except ValueError:
        return False, False
    return address.is_unspecified, address.is_loopback
