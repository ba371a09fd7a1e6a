"""The simulated provider on a real loopback socket, for whoever speaks one of its three protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from proxy.edge.drain import Stop
from proxy.edge.http2 import serve_asgi
from proxy.edge.server import listen
from proxy.settings import Server
from proxy.upstream.sim.app import simulate


@asynccontextmanager
async def simulated() -> AsyncIterator[str]:
    """Serve it for the length of the block; give its address, without the version a path begins with."""
    with listen("127.0.0.1:0") as listening:
        port = listening.getsockname()[1]
        stop = Stop()
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_asgi, simulate, listening, Server(drain=0.1), stop=stop))
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                stop.ask()
