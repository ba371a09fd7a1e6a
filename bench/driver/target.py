"""A URL that is asked: where it is, how it is addressed, and whose CPU and memory are its own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_PATH: Final = "/chat/completions"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,40}")


@dataclass(frozen=True, slots=True)
class Target:
    """Everything a driver needs; `headers` hold the key, so that they are kept out of what is saved."""

    name: str
    host: str
    port: int
    path: str
    tls: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    pids: tuple[int, ...] = ()
    insecure: bool = False
    """Whoever answers is trusted."""

    @property
    def url(self) -> str:
        """The address, as it is shown."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"

    def head(self) -> bytes:
        """Return a request's head up to the name of the header that numbers it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port != (443 if self.tls else 80):
            host += f":{self.port}"
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {host}", "User-Agent: headrace-bench"]
        lines += ["Accept: */*", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\nX-Request-ID: ").encode()


def read_target(
    text: str, *, headers: Mapping[str, str], pids: Sequence[int] = (), insecure: bool = False
) -> Target:
    """Read `[NAME=]URL`, a base such as http://127.0.0.1:8000/v1 or the whole address. Raises ValueError."""
    name, equals, address = text.partition("=")
    if not equals or "/" in name:
        name, address = "", text
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{address!r} is no http or https URL")
    name = name or parts.hostname
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a target")
    path = parts.path.rstrip("/")
    if not path.endswith(_PATH):
        path += _PATH
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    query = f"?{parts.query}" if parts.query else ""
    return Target(
        name, parts.hostname, port, path + query, tls, tuple(headers.items()), tuple(pids), insecure
    )


def key_of(name: str) -> str | None:
    """Return the key that the environment has for a target: BENCH_KEY_NAME, or BENCH_KEY for all."""
    own = re.sub(r"\W", "_", name).upper()
    return os.environ.get(f"BENCH_KEY_{own}") or os.environ.get("BENCH_KEY")
