"""The control socket's other end (see `socket`): a running gateway answers the commands it is sent."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
import trio

from .socket import ANSWER_SECONDS, LENGTH, ControlError, listening_at, packed

Handler = Callable[[str, dict[str, Any]], Awaitable[Any]]
MAX_MESSAGE: Final = 16 * 1024 * 1024
_log = logging.getLogger("headrace.control")


async def serve_control(
    path: Path, handler: Handler, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve commands until cancelled. The caller holds the lock on the directory: no other server lives."""
    with listening_at(path) as listening:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, partial(_converse, handler=handler), [listener])
            task_status.started()


async def _converse(stream: trio.SocketStream, handler: Handler) -> None:
    """Answer one client's commands in order. A client that misbehaves loses its connection, nothing else."""
    try:
        while True:
            message = await _receive(stream)
            with trio.move_on_after(ANSWER_SECONDS, shield=True):
                await stream.send_all(packed(await answer(message, handler)))
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


async def _receive(stream: trio.SocketStream) -> Any:
    """Return a message; EOFError where there is none."""
    (length,) = LENGTH.unpack(await _exactly(stream, LENGTH.size))
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
