"""What the driver can do on this machine now, by half a second of answers that are there at once.

Told with every result. It is what one driving process does for each second of its CPU, so that neighbours
do not lower it.
"""

from __future__ import annotations

import multiprocessing
import selectors
import socket
from dataclasses import dataclass
from typing import Final

from bench.driver.crew import Crew
from bench.driver.lengths import Lengths
from bench.driver.load import Ask, Load, Phase
from bench.driver.target import Target

_SECONDS: Final = 0.5
_CLIENTS: Final = 32
_CHUNKS: Final = 100
_CONTENT: Final = b"x" * 60


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Of one core: whole answers a second, and chunks of streams a second."""

    requests: float
    chunks: float


def ceiling() -> Ceiling:
    """Measure it; it takes about three seconds. Raises BenchError."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(listening,), daemon=True)
    process.start()
    try:
        port = listening.getsockname()[1]
        whole, streamed = (_rate(port, stream=stream) for stream in (False, True))
        return Ceiling(whole[0], streamed[1])
    finally:
        listening.close()
        process.kill()
        process.join()


def _rate(port: int, *, stream: bool) -> tuple[float, float]:
    """Return requests and chunks for each CPU second of the driver."""
    load = Load(
        arrival="closed",
        phases=(Phase(_SECONDS, 0.0),),
        concurrency=_CLIENTS,
        warmup=0.0,
        asks=(Ask(prompt=Lengths("fixed", 100), stream=stream),),
    )
    target = Target("ceiling", "127.0.0.1", port, "/v1/chat/completions")
    with Crew(load, 1) as crew:
        found = crew.window(target, 0, lambda _, __: None)
    spent = sum(cpu for cpu, _ in found.driver) or 1.0
    return len(found.batch) / spent, sum(found.batch.chunks) / spent


def _serve(listening: socket.socket) -> None:
    """Answer each request at once, always in the same words."""
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listening:
                    one, _ = listening.accept()
                    selector.register(one, selectors.EVENT_READ)
                    continue
                one = key.fileobj  # type: ignore[assignment]
                try:
                    asked = one.recv(65_536)
                    if asked:
                        one.sendall(_STREAM if b'"stream":true' in asked else _WHOLE)
                        continue
                except OSError:
                    pass
                selector.unregister(one)
                one.close()


_BODY: Final = b'{"choices":[{"index":0,"message":{"content":"%b"},"finish_reason":"stop"}]}' % _CONTENT
_WHOLE: Final = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
_EVENT: Final = (
    b'data: {"id":"1","object":"chat.completion.chunk","created":0,"model":"m","choices":'
    b'[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n' % _CONTENT
)
_STREAM: Final = b"".join(
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        (b"%x\r\n%b\r\n" % (len(_EVENT), _EVENT)) * _CHUNKS,
        b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n",
    ]
)
