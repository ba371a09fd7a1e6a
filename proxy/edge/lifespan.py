"""The lifespan of an ASGI application: its startup before the first request, its shutdown after the last."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

App = Callable[[Any, Any, Any], Awaitable[None]]
"""Frameworks type these three each in their own way."""

_SECONDS: Final = 60.0
_log = logging.getLogger("headrace.edge")


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[None]:
    """Run an application's startup before the block and its shutdown after it.

    Raises:
        RuntimeError: the application said that it cannot start.
    An application without a lifespan is left alone. What the block raises leaves in an ExceptionGroup.
    """
    life = _Life(app)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(life.run)
        with trio.fail_after(_SECONDS):
            await life.started.wait()
        if life.failed is not None:
            raise RuntimeError(f"the cold application did not start: {life.failed}")
        try:
            yield
        finally:
            life.stop.set()
            with trio.move_on_after(_SECONDS, shield=True):
                await life.ended.wait()
            nursery.cancel_scope.cancel()


class _Life:
    """The `lifespan` scope of an application."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._told = False
        self.failed: str | None = None
        self.started, self.stop, self.ended = trio.Event(), trio.Event(), trio.Event()

    async def run(self) -> None:
        """Run the scope to its end."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception:  # noqa: BLE001 - it is the application's, and of any kind
            # ASGI: an application that raises here has no lifespan.
            if self.started.is_set():
                _log.exception("the cold application's lifespan failed")
        finally:
            self.started.set()
            self.ended.set()

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._told:
            self._told = True
            return {"type": "lifespan.startup"}
        await self.stop.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.failed":
            self.failed = message.get("message", "") or "it did not say why"
        if kind.startswith("lifespan.startup."):
            self.started.set()
        else:
            self.ended.set()
