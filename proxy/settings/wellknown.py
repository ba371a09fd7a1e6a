"""The well-known providers, read from `wellknown.toml`: nothing about a provider is code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from proxy.words.quirks import PLAIN, Quirks

from .shape import WireName

QUIRKS: Final = tuple(Quirks.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class WellKnown:
    """A public provider, or a server that many run at home."""

    name: str
    source: str
    """The page that says what is in the row."""
    wire: WireName = "openai"
    variable: str = ""
    """The environment variable its key is usually in; a local server has none."""
    base_url: str = ""
    """Where it is; empty where each customer has an address of his own."""
    example: str = ""
    """What such an address looks like."""
    hosts: tuple[str, ...] = ()
    """How the hosts of such addresses end: the key goes to these."""
    tries: str = "/models"
    """The path below its address where a GET, at no cost, shows whether a key is good."""
    price_source: str | None = None
    """Its id in the price library, if it has one."""
    stream_options: bool = True
    cancel_stops_billing: bool = True
    quirks: Quirks = PLAIN
    answers: tuple[str, ...] = ()
    """How its answers deviate; they are read so from anybody."""

    def at_home(self, address: str) -> bool:
        """Tell whether an address is the provider's own, where a key that nobody mentioned may go."""
        if self.base_url:
            return address == self.base_url
        parts = urlsplit(address)
        return parts.scheme == "https" and (parts.hostname or "").endswith(self.hosts or ("\0",))


def quirks_of(given: Mapping[str, Any]) -> Quirks:
    """Make quirks of what a table holds of them."""
    return Quirks(
        key_header=given.get("key_header"),
        query=tuple(given.get("query", {}).items()),
        renames=tuple(given.get("renames", {}).items()),
        omits=frozenset(given.get("omits", ())),
        refuses=frozenset(given.get("refuses", ())),
    )


def _row(name: str, table: Mapping[str, Any]) -> WellKnown:
    plain = {key: value for key, value in table.items() if key not in QUIRKS}
    lists = {key: tuple(value) for key, value in plain.items() if isinstance(value, list)}
    return WellKnown(name=name, quirks=quirks_of(table), **{**plain, **lists})


ROWS: Final = Path(__file__).with_name("wellknown.toml")
WELL_KNOWN: Final = tuple(_row(name, table) for name, table in tomllib.loads(ROWS.read_text("utf-8")).items())
