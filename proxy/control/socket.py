"""The control socket: how the command line speaks to a running gateway.

A Unix socket of mode 0600 in the data directory. Messages both ways are a length in four bytes, most
significant first, and that much JSON: `{"method", "params"}`, answered by `{"result"}` or `{"error"}`.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
import trio

Handler = Callable[[str, dict[str, Any]], Awaitable[Any]]
MAX_MESSAGE: Final = 16 * 1024 * 1024
_LENGTH: Final = struct.Struct(">I")
_BACKLOG: Final = 16
_ANSWER_SECONDS: Final = 300.0


class ControlError(Exception):
    """A command was refused; its text is for a person."""


async def serve_control(
    path: Path, handler: Handler, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve commands until cancelled. The caller holds the lock on the directory: no other server lives."""
    with _listening(path) as listener:
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, partial(_converse, handler=handler), [listener])
            task_status.started()


@contextmanager
def _listening(path: Path) -> Iterator[trio.SocketListener]:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(os.fspath(path))
        path.chmod(0o600)
        listening.listen(_BACKLOG)
        try:
            yield trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        finally:
            path.unlink(missing_ok=True)


async def _converse(stream: trio.SocketStream, handler: Handler) -> None:
    """Answer one client's commands in order. A client that misbehaves loses its connection, nothing else."""
    try:
        while (message := await _receive(stream)) is not None:
            await stream.send_all(_packed(await _answer(message, handler)))
    except (trio.BrokenResourceError, ValueError):
        pass
    finally:
        with trio.move_on_after(1, shield=True):
            await stream.aclose()


async def _answer(message: Any, handler: Handler) -> dict[str, Any]:
    try:
        return {"result": await handler(message["method"], message["params"])}
    except ControlError as error:
        return {"error": str(error)}
    except (KeyError, TypeError) as error:
        return {"error": f"malformed command: {error}"}


async def _receive(stream: trio.SocketStream) -> Any:
    head = await _exactly(stream, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_MESSAGE:
        raise ValueError("message too long")
    body = await _exactly(stream, length)
    return None if body is None else orjson.loads(body)


async def _exactly(stream: trio.SocketStream, size: int) -> bytes | None:
    received = bytearray()
    while len(received) < size:
        data = await stream.receive_some(size - len(received))
        if not data:
            return None
        received += data
    return bytes(received)


def _packed(message: dict[str, Any]) -> bytes:
    body = orjson.dumps(message)
    return _LENGTH.pack(len(body)) + body


def ask(path: Path, method: str, params: dict[str, Any]) -> Any:
    """Send one command to a running gateway and return its result. Synchronous, for the command line.

    Raises:
        ConnectionError, FileNotFoundError: no gateway answers there.
        ControlError: the command was refused.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_ANSWER_SECONDS)
        client.connect(os.fspath(path))
        client.sendall(_packed({"method": method, "params": params}))
        with client.makefile("rb") as answers:
            head = answers.read(_LENGTH.size)
            if len(head) < _LENGTH.size:
                raise ConnectionResetError("the gateway closed the control socket")
            answer = orjson.loads(answers.read(_LENGTH.unpack(head)[0]))
    if "error" in answer:
        raise ControlError(answer["error"])
    return answer["result"]
