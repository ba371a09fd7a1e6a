"""What a page does that it must not: errors, refusals, requests to anybody but the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Error, Page, Request, Response

_CALLED_OFF: Final = "net::ERR_ABORTED"
"""The page itself, or somebody who went on, had no use for the answer any more."""
_SAID_TWICE: Final = "Failed to load resource: "
"""The console repeats what answers and failures tell."""
_INSIDE: Final = ("data", "blob", "about")


class Watch:
    """What was seen of a page from its beginning. `trouble`: one line for each fault."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.trouble: list[str] = []
        self._origin = origin
        self._expected: list[tuple[int, str]] = []
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.on("request", self._request)
        page.on("requestfailed", self._failed)
        page.on("response", self._response)

    @contextmanager
    def expecting(self, status: int, path: str) -> Iterator[None]:
        """Let the gateway refuse a path inside the block; it has to."""
        refusal = status, path
        self._expected.append(refusal)
        yield
        assert refusal not in self._expected, f"{path} was not refused with {status}"

    def check(self) -> None:
        """Assert that there was no trouble."""
        assert self.trouble == []

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_SAID_TWICE):
            self.trouble.append(f"console: {message.text}")

    def _error(self, error: Error) -> None:
        self.trouble.append(f"uncaught: {error.stack or error}")

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in _INSIDE and f"{address.scheme}://{address.netloc}" != self._origin:
            self.trouble.append(f"somebody else is asked: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != _CALLED_OFF:
            self.trouble.append(f"failed: {request.method} {request.url} {request.failure}")

    def _response(self, response: Response) -> None:
        refusal = response.status, urlsplit(response.url).path
        if refusal in self._expected:
            self._expected.remove(refusal)
        elif response.status >= 400:
            self.trouble.append(f"refused: {response.request.method} {response.url} {response.status}")
