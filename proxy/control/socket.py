"""The control socket: how the command line speaks to a running gateway.

A Unix socket of mode 0600 in the data directory. Messages both ways are a length in four bytes, most
significant first, and that much JSON: `{"method", "params"}`, answered by `{"result"}` or `{"error"}`.
"""

from __future__ import annotations

import logging
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
_log = logging.getLogger("headrace.control")


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
        with _short(path) as name:
            listening.bind(name)
        path.chmod(0o600)
        listening.listen(_BACKLOG)
        try:
            yield trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a name that fits the 107 bytes of a Unix socket's, however deep its directory is."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


async def _converse(stream: trio.SocketStream, handler: Handler) -> None:
    """Answer one client's commands in order. A client that misbehaves loses its connection, nothing else."""
    try:
        while True:
            message = await _receive(stream)
            with trio.move_on_after(_ANSWER_SECONDS, shield=True):
                await stream.send_all(_packed(await answer(message, handler)))
    except (trio.BrokenResourceError, EOFError, ValueError):
        pass
    finally:
        with trio.move_on_after(1, shield=True):
            await stream.aclose()


async def answer(message: Any, handler: Handler) -> dict[str, Any]:
    """Run the command of a message and return what to answer."""
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        return {"error": "malformed command"}
    params = message.get("params")
    try:
        return {"result": await handler(message["method"], params if isinstance(params, dict) else {})}
    except ControlError as error:
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - a command must not take the gateway down
        _log.exception("the command %s failed inside", message["method"])
        return {"error": f"the command failed inside: {type(error).__name__}"}


def result_of(answered: dict[str, Any]) -> dict[str, Any]:
    """Return the result in an answer.

    Raises:
        ControlError: the command was refused.
    """
    if "error" in answered:
        raise ControlError(answered["error"])
    result: dict[str, Any] = answered["result"]
    return result


async def _receive(stream: trio.SocketStream) -> Any:
    """Return a message; EOFError where there is none."""
    (length,) = _LENGTH.unpack(await _exactly(stream, _LENGTH.size))
    if length > MAX_MESSAGE:
        raise ValueError("message too long")
    return orjson.loads(await _exactly(stream, length))


async def _exactly(stream: trio.SocketStream, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        data = await stream.receive_some(size - len(received))
        if not data:
            raise EOFError
        received += data
    return bytes(received)


def _packed(message: dict[str, Any]) -> bytes:
    body = orjson.dumps(message)
    return _LENGTH.pack(len(body)) + body


def answers(path: Path) -> bool:
    """Tell whether a gateway listens there."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client, _short(path) as name:
            client.connect(name)
    except OSError:
        return False
    return True


def ask(path: Path, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Send one command to a running gateway and return its result. Synchronous, for the command line.

    Raises:
        ConnectionRefusedError, FileNotFoundError: no gateway answers there; nothing was sent.
        ControlError: the command was refused, or the gateway died of it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_ANSWER_SECONDS)
        with _short(path) as name:
            client.connect(name)
        try:
            client.sendall(_packed({"method": method, "params": params}))
            with client.makefile("rb") as answers:
                (length,) = _LENGTH.unpack(answers.read(_LENGTH.size))
                return result_of(orjson.loads(answers.read(length)))
        except (OSError, struct.error, ValueError) as error:
            raise ControlError(
                "the gateway stopped before it answered; see whether the command was done before repeating it"
            ) from error
