"""A relay before a PostgreSQL that breaks connections at their COMMIT, as scripted."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import trio

_NAME = ".s.PGSQL.5432"
_COMMIT = b"COMMIT\0"
Fault = Literal["before", "after", "late"]
"""The COMMIT does not arrive; or its answer does not; or it arrives once `Relay.release` is set."""


class Relay:
    """Between a directory that clients connect in, and the server's."""

    def __init__(self, server: Path, directory: Path) -> None:
        self.script: list[Fault] = []
        self.release = trio.Event()
        self.told = trio.Event()
        """A COMMIT was answered, and its answer thrown away."""
        self._mute: set[trio.SocketStream] = set()
        self.broken = 0
        self._server = server
        self.directory = directory

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.socket.socket(trio.socket.AF_UNIX) as listening:
            await listening.bind(os.fspath(self.directory / _NAME))
            listening.listen()
            task_status.started()
            await self._accept(listening)

    async def _accept(self, listening: trio.socket.SocketType) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                client, _ = await listening.accept()
                nursery.start_soon(self._join, trio.SocketStream(client))

    async def _join(self, client: trio.SocketStream) -> None:
        async with (
            client,
            await trio.open_unix_socket(os.fspath(self._server / _NAME)) as server,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._pass, server, client, nursery.cancel_scope.cancel)
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._from_client(client, server)
            nursery.cancel_scope.cancel()

    async def _from_client(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        async for data in client:
            if not (self.script and data.endswith(_COMMIT)):
                await server.send_all(data)
                continue
            fault = self.script.pop(0)
            self.broken += 1
            if fault == "before":
                return
            if fault == "late":
                await client.aclose()
                await self.release.wait()
            self._mute.add(client)
            await server.send_all(data)
            await self.told.wait()
            return

    async def _pass(
        self, server: trio.SocketStream, client: trio.SocketStream, ended: Callable[[], None]
    ) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await server.receive_some():
                if client in self._mute:
                    self.told.set()
                    return
                await client.send_all(data)
            ended()


@asynccontextmanager
async def relayed(server: Path, directory: Path) -> AsyncIterator[Relay]:
    """Run a relay for the length of the block."""
    relay = Relay(server, directory)
    async with trio.open_nursery() as nursery:
        await nursery.start(relay.serve)
        yield relay
        nursery.cancel_scope.cancel()
