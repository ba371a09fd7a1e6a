"""One gateway over one mock provider, for scenarios that look at its door, and connections to knock there."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import trio

from bench.house import headrace
from bench.house.targets import Target, serving, upstream
from bench.machine import this_machine
from bench.process import Cores
from bench.report.table import table

OUT = Path(__file__).parents[1] / "out"
MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it


@dataclass(frozen=True, slots=True)
class House:
    """The gateway and all that is needed to ask it something."""

    gateway: headrace.Gateway
    target: Target
    cores: Cores


@contextlib.contextmanager
def house(
    models: Sequence[str], *, drain: float = 30, provider: int | None = None, workers: int = 1
) -> Iterator[House]:
    """Start both, until the end of the block; `provider` is the port of another one than the mock."""
    cores = Cores.here()
    with contextlib.ExitStack() as stack:
        # A ledger in memory, where there is room: a disk that others use stalls for seconds.
        room = str(MEMORY) if MEMORY.is_dir() else None
        temporary = tempfile.TemporaryDirectory(prefix="headrace-bench-", dir=room)
        directory = Path(stack.enter_context(temporary))
        port = provider or stack.enter_context(upstream(cores, directory))
        gateway = headrace.prepare(
            directory / "headrace",
            upstreams=[port],
            models={model: [model] for model in models},
            synchronous="NORMAL",
            drain=drain,
            workers=workers,
        )
        yield House(gateway, stack.enter_context(serving(gateway, cores)), cores)


@contextlib.contextmanager
def company(
    place: House, settle: float, come: Callable[..., Awaitable[object]], *args: Any
) -> Iterator[None]:
    """Run `come(*args)` in a process of its own, on the driver's core, for the length of the block.

    The block begins `settle` seconds after it was started. `come` does not end by itself.
    """
    process = multiprocessing.get_context("spawn").Process(
        target=_run_on, args=(place.cores.load, come, *args)
    )
    process.start()
    try:
        process.join(settle)
        yield
    finally:
        process.kill()
        process.join()


def _run_on(core: int | None, come: Callable[..., Awaitable[object]], *args: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if core is not None:
        os.sched_setaffinity(0, {core})
    trio.run(come, *args)


def request(key: str, model: str, *, prompt: str = "Hello", max_tokens: int = 8192) -> bytes:
    """A request for a stream."""
    content = [{"role": "user", "content": prompt}]
    asked = {"model": model, "messages": content, "stream": True, "max_tokens": max_tokens}
    body = json.dumps(asked | {"stream_options": {"include_usage": True}}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def connect(port: int, *, window: int | None = None) -> trio.SocketStream:
    """Connect; `window` is how many bytes the kernel may take in for us, about."""
    sock = trio.socket.socket()
    if window is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    await sock.connect(("127.0.0.1", port))
    return trio.SocketStream(sock)


def save(path: Path, **content: object) -> None:
    """Write what was found, and on what machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content |= {"machine": this_machine()}
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")


def show(title: str, figures: Sequence[tuple[str, str]], path: Path) -> None:
    """Print what was found, a line for each figure."""
    print(table(title, ["figure", "found"], [list(row) for row in figures]))
    print(f"\nraw results: {path}")


def say(text: str) -> None:
    """Progress, on one line of a terminal and nowhere else."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
