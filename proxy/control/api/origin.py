"""Where a request comes from, as browsers say: our own pages, or somebody else's. Pure.

Fetch metadata (W3C, `Sec-Fetch-Site`) where a browser sends it, and `Origin` (RFC 6454), which all of them
send with whatever changes something.
"""

from __future__ import annotations

from typing import Final

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def is_foreign(origin: str | None, site: str | None, own: str) -> bool:
    """Tell whether a request's `Origin` and `Sec-Fetch-Site` do not say that it comes from `own`.

    One that says nothing at all is foreign too: no browser is silent.
    """
    if origin is None and site is None:
        return True
    return (origin is not None and origin.casefold() != own.casefold()) or (
        site is not None and site != "same-origin"
    )
