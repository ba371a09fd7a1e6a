"""An answer that is made as it is read, at the script's pace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import httpx
import trio

from proxy.words.script import Script

_AT_EASE: Final = Script("echo")
_AT_ONCE: Final = 256
"""Chunks made in one go where no pace is set: more would keep others waiting."""


class SimReply:
    """A head, and a body made of `chunks`; an empty one takes its time and says nothing."""

    __slots__ = ("_chunks", "_due", "_script", "_sent", "headers", "status")

    def __init__(
        self, status: int, headers: Mapping[str, str], script: Script, chunks: Iterator[bytes]
    ) -> None:
        self.status = status
        self.headers = headers
        self._script = script
        self._chunks = chunks
        self._due: float | None = None
        self._sent = 0

    @classmethod
    def plain(cls, status: int, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> SimReply:
        """Return an answer that is there at once, in JSON."""
        return cls(status, {"content-type": "application/json", **headers}, _AT_EASE, iter([body]))

    @property
    def source(self) -> None:
        """There is no socket."""
        return

    async def read(self) -> bytes:
        """Return the next chunk, or many where no pace is set; b"" at the end. Cancelling loses nothing.

        Raises:
            httpx.ReadError: the script cuts the connection here.
        """
        while True:
            await self._wait()
            chunks = self._take()
            data = b"".join(chunks)
            if data or not chunks:
                return data

    def close(self) -> None:
        """Forget the rest."""
        self._chunks = iter(())

    async def _wait(self) -> None:
        script = self._script
        if self._due is None:
            self._due = trio.current_time() + self._pause()
        await trio.sleep_until(self._due)
        self._due = None
        if script.stall is not None and self._sent >= script.stall:
            await trio.sleep_forever()
        if script.cut is not None and self._sent >= script.cut:
            raise httpx.ReadError("the simulated connection was cut")

    def _take(self) -> list[bytes]:
        script = self._script
        limits = [limit for limit in (script.stall, script.cut) if limit is not None]
        most = 1 if script.tps else min([_AT_ONCE, *(limit - self._sent for limit in limits)])
        chunks = [chunk for _, chunk in zip(range(most), self._chunks, strict=False)]
        self._sent += len(chunks)
        return chunks

    def _pause(self) -> float:
        if self._sent == 0:
            return self._script.ttft
        return 1 / self._script.tps if self._script.tps else 0.0
