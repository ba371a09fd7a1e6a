"""The way to one provider: its base URL, its authorities, and the transport all providers share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx

from proxy.words.upload import Body

from .dial import Origin
from .request import Head, render_head
from .response import ResponseStream
from .transport import UpstreamTransport

_MAX_HEADS: Final = 1024


class HttpLine:
    """Posts to one provider over HTTP.

    Args:
        transport: shared, and closed by whoever made it.
        base_url: http or https; what it has of a path goes before each request's own.
        ca_file: authorities (PEM) to trust besides the system's.
        connect_within: seconds that connecting may take.

    Raises:
        httpx.UnsupportedProtocol: `base_url` is neither http nor https.
    """

    def __init__(
        self,
        transport: UpstreamTransport,
        base_url: str,
        *,
        ca_file: Path | None = None,
        connect_within: float = 3.0,
    ) -> None:
        url = httpx.URL(base_url)
        self._transport = transport
        self._origin = Origin.of(url, ca_file)
        self._host = url.netloc
        self._prefix = url.raw_path.rstrip(b"/")
        self._connect_within = connect_within
        self._heads: dict[tuple[str, tuple[tuple[str, str], ...]], Head] = {}

    async def post(
        self, path: str, headers: Sequence[tuple[str, str]], body: Body, *, private: bool = False
    ) -> ResponseStream:
        """Send a request to `path` below the base URL. Raises and cancels as `UpstreamTransport.open`.

        `private`: nothing of it is remembered: somebody's own key is in the headers, or what no other has.
        """
        key = (path, tuple(headers))
        head = self._rendered(*key) if private else self._heads.get(key) or self._render(key)
        return await self._transport.open(self._origin, head, body, connect_within=self._connect_within)

    def _render(self, key: tuple[str, tuple[tuple[str, str], ...]]) -> Head:
        """Render a head and keep it: few differ, as a provider's key is in them and no client's."""
        head = self._rendered(*key)
        if len(self._heads) >= _MAX_HEADS:
            self._heads.clear()
        self._heads[key] = head
        return head

    def _rendered(self, path: str, headers: Sequence[tuple[str, str]]) -> Head:
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return render_head(b"POST", self._prefix + path.encode("ascii"), self._host, fields)

    def __repr__(self) -> str:
        return f"<HttpLine {self._origin}>"
