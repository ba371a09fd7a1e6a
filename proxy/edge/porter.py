"""Sends away at once, without a task, requests that cannot be taken in: it costs a tenth of the usual way.

A task for each would have to wait its turn among those that keep the gateway busy, and they would wait for
it. So a request that has come whole, with its body, on a connection that goes on is answered in the very
callback that tells of it. Any other is read as ever, and refused when it is looked at.
"""

from __future__ import annotations

from typing import Final

from proxy.words.errors import GatewayError
from proxy.words.ids import new_request_id, request_id

from .http1_head import END, Head, read_head
from .http1_reply import Clock
from .load import overloaded
from .routes import Routes, dialect_of

_SAMPLE: Final = new_request_id().encode("ascii")


class Porter:
    """Stands before the routes to models."""

    def __init__(self, routes: Routes, clock: Clock) -> None:
        self._routes = routes
        self._load = routes.load
        self._clock = clock
        self._pages: dict[str, bytes] = {}

    @property
    def watchful(self) -> bool:
        """Whether requests have to be shown to it."""
        return self._load.tight

    def turn_away(self, data: bytes, *, last: bool = False) -> bytes | None:
        """Return the answer to the request that `data` is, or None where it should be read as ever.

        It is not refused for anything else: who is too many learns nothing of keys. After the `last` answer
        the connection is closed.
        """
        end = data.find(END) + len(END)
        if end < len(END):
            return None
        try:
            head = read_head(data[:end])
        except GatewayError:
            return None
        whole = head.length == len(data) - end and not head.expects
        if not whole or not head.persistent or not head.modern:
            return None
        if not self._routes.dear(head.method, head.path) or self._load.knock():
            return None
        return self._refusal(head, "connection: close\r\n" if last else "")

    def _refusal(self, head: Head, connection: str) -> bytes:
        offered = head.headers.get("x-request-id")
        label = request_id(offered)
        if offered is None:
            body = self._page(head.path).replace(_SAMPLE, label.encode("ascii"))
        else:  # it may have to be escaped
            body = dialect_of(head.path).error(overloaded(), label)
        first = (
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
            f"x-request-id: {label}\r\ncontent-length: {len(body)}\r\n{self._clock.field()}{connection}\r\n"
        )
        return first.encode("ascii") + body

    def _page(self, path: str) -> bytes:
        """Return the body, with the sample for its label."""
        page = self._pages.get(path)
        if page is None:
            page = self._pages[path] = dialect_of(path).error(overloaded(), _SAMPLE.decode("ascii"))
        return page
