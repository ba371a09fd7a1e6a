"""Clients that read streams which wait in the middle."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import trio

from tests.fakes.client import Client, chat

from .place import nano

BROKEN = (OSError, EOFError, trio.BrokenResourceError, AssertionError)
_CHAT = "/v1/chat/completions"


@dataclass
class Streams:
    """Streams that wait in the middle, each on a connection of its own."""

    url: str
    key: str
    ports: dict[int, bool | None] = field(default_factory=dict)
    """By the client's port: whether the answer came whole, once that is known."""
    waiting: int = 0
    """How many have their first tokens."""
    costs: int = 0
    """Nano-USD, as those that came whole were told."""

    async def run(self, tokens: int) -> None:
        """Read a stream: so many tokens, and then whatever comes."""
        async with Client(self.url, self.key) as client:
            assert client._raw is not None
            port: int = client._raw.socket.getsockname()[1]
            self.ports[port] = None
            await client.request(_CHAT, chat(usage=True))
            await client.head()
            payloads = await client.payloads(tokens)
            assert len(payloads) == tokens
            self.waiting += 1
            try:
                payloads += await client.payloads()
            except BROKEN:
                self.ports[port] = False
            else:
                self.ports[port] = client.answer.complete and payloads[-1] == b"[DONE]"
            if self.ports[port]:
                # Parsed as text, so that no float comes near the money.
                self.costs += nano(json.loads(payloads[-2], parse_float=str)["usage"]["cost"])
