"""An SMTP server on loopback that takes what it is given (RFC 5321), and keeps it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio


@dataclass
class SmtpServer:
    """What came, and whether more is taken."""

    port: int = 0
    refuses: bool = False
    user: str | None = None
    """Whoever does not sign in as this, with the password of the same text, may send nothing."""
    recipients: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    came: trio.Event = field(default_factory=trio.Event)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Speak with one client."""
        async with stream:
            lines = _Lines(stream)
            known = self.user is None
            await stream.send_all(b"220 here\r\n")
            while (line := await lines.next()) is not None:
                verb = line[:4].upper()
                if verb == "EHLO":
                    await stream.send_all(b"250-here\r\n250 AUTH PLAIN\r\n")
                elif verb == "AUTH":
                    known = base64.b64decode(line.split()[2]).decode() == f"\0{self.user}\0{self.user}"
                    await stream.send_all(b"235 fine\r\n" if known else b"535 no\r\n")
                elif verb == "RCPT" and (self.refuses or not known):
                    await stream.send_all(b"550 no\r\n")
                elif verb == "DATA":
                    await stream.send_all(b"354 go on\r\n")
                    self.messages.append(await lines.until_dot())
                    self.came.set()
                    await stream.send_all(b"250 taken\r\n")
                elif verb == "QUIT":
                    await stream.send_all(b"221 bye\r\n")
                    return
                else:
                    if verb == "RCPT":
                        self.recipients.append(line.partition(":")[2].strip("<>"))
                    await stream.send_all(b"250 fine\r\n")


class _Lines:
    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def next(self) -> str | None:
        while b"\r\n" not in self._buffer:
            data = await self._stream.receive_some()
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode()

    async def until_dot(self) -> str:
        lines = []
        while (line := await self.next()) not in {".", None}:
            lines.append(str(line))
        return "\n".join(lines)


@asynccontextmanager
async def smtp_server(**more: object) -> AsyncIterator[SmtpServer]:
    """Run one for the length of the block."""
    server = SmtpServer(**more)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, server.serve, 0)
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()
