"""`headrace sim`: the simulated provider behind a port, for developing against without a key or a bill."""

from __future__ import annotations

import socket
import sys

import trio

from proxy.edge.drain import Stop, heed_signals
from proxy.edge.http2 import serve_asgi
from proxy.edge.server import ListenError, listen
from proxy.settings import Server
from proxy.upstream.sim.app import simulate

_GREETING = """headrace: simulated provider on {url}
  OpenAI     wire = "openai"     base_url = "{url}/v1"
  Anthropic  wire = "anthropic"  base_url = "{url}/v1"
  Gemini     wire = "gemini"     base_url = "{url}/v1beta"
Any key will do. Models: echo, lorem, tool; for example lorem:tokens=200,ttft=0.3,tps=50."""


def serve_sim(bind: str) -> int:
    """Serve the simulated provider until told to stop; return the exit status."""
    try:
        listening = listen(bind)
    except ListenError as error:
        print(f"headrace: {error}", file=sys.stderr)
        return 1
    host, port = listening.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    print(_GREETING.format(url=url), flush=True)
    trio.run(_serve, listening)
    return 0


async def _serve(listening: socket.socket) -> None:
    stop = Stop()
    async with trio.open_nursery() as nursery:
        await nursery.start(heed_signals, stop)
        await serve_asgi(simulate, listening, Server(drain=0.5), stop=stop)
        nursery.cancel_scope.cancel()
