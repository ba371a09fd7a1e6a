"""The control socket: how the command line speaks to a running gateway.

A Unix socket of mode 0600 in the data directory. Messages both ways are a length in four bytes, most
significant first, and that much JSON: `{"method", "params"}`, answered by `{"result"}` or `{"error"}`.
Here is who asks, without Trio, for commands are to be quick; who answers is in `serving`.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson

LENGTH: Final = struct.Struct(">I")
"""Before each message."""
_BACKLOG: Final = 1024
"""Who may wait to be let in: a whole burst of what edges relay, for one more is refused at once (unix(7))."""
ANSWER_SECONDS: Final = 300.0
"""Seconds that a command may take."""


class ControlError(Exception):
    """A command was refused; its text is for a person."""


class TakenError(ControlError):
    """It is somebody's already, or was done before (HTTP 409 where a browser asked)."""


class AbsentError(ControlError):
    """There is no such thing (HTTP 404)."""


class FullError(ControlError):
    """There is as much of something as there may be (HTTP 409 where a browser asked).

    Attributes:
        what: of what: the name of what is counted.
    """

    def __init__(self, what: str, most: int, help: str) -> None:  # noqa: A002 - what helps
        super().__init__(f"there are {most} {what} already: {help}")
        self.what: Final = what


class StoreFailedError(ControlError):
    """The store failed; what was asked for may have been done (HTTP 503)."""


@contextmanager
def listening_at(path: Path) -> Iterator[socket.socket]:
    """Listen at a path, for our own user alone, during the block. The caller owns the directory."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        with short_name(path) as name:
            listening.bind(name)
        path.chmod(0o600)
        listening.listen(_BACKLOG)
        listening.setblocking(False)  # noqa: FBT003 - the standard library takes no keyword
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)


def connected(path: Path) -> socket.socket:
    """Connect to a path; return a non-blocking socket. Raises OSError where nobody listens."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The kernel connects Unix sockets at once, or says that too many wait already.
        sock.setblocking(False)  # noqa: FBT003 - the standard library takes no keyword
        with short_name(path) as name:
            sock.connect(name)
    except BaseException:
        sock.close()
        raise
    return sock


@contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Give a name that fits the 107 bytes of a Unix socket's, however deep its directory is."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def result_of(answered: dict[str, Any]) -> dict[str, Any]:
    """Return the result in an answer.

    Raises:
        ControlError: the command was refused.
    """
    if "error" in answered:
        raise ControlError(answered["error"])
    result: dict[str, Any] = answered["result"]
    return result


def packed(message: dict[str, Any]) -> bytes:
    """Return a message as it is sent."""
    body = orjson.dumps(message)
    return LENGTH.pack(len(body)) + body


def answers(path: Path) -> bool:
    """Tell whether a gateway listens there."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client, short_name(path) as name:
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
        client.settimeout(ANSWER_SECONDS)
        with short_name(path) as name:
            client.connect(name)
        try:
            client.sendall(packed({"method": method, "params": params}))
            with client.makefile("rb") as answers:
                (length,) = LENGTH.unpack(answers.read(LENGTH.size))
                return result_of(orjson.loads(answers.read(length)))
        except (OSError, struct.error, ValueError) as error:
            raise ControlError(
                "the gateway stopped before it answered; see whether the command was done before repeating it"
            ) from error
