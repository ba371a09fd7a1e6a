"""A request body of several parts, read from the start by each attempt that sends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, Self

from proxy.words.upload import Upload

_PIECE: Final = 256 * 1024


class Joined:
    """Parts that follow each other. Iterating twice reads them twice."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[bytes | Upload]) -> None:
        self._parts = parts

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Reading(iter(self._parts))


class _Reading:
    """One reader's place in the parts."""

    __slots__ = ("_at", "_parts", "_upload")

    def __init__(self, parts: Iterator[bytes | Upload]) -> None:
        self._parts = parts
        self._upload: Upload | None = None
        self._at = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._upload is None or self._at >= self._upload.length:
                part = next(self._parts, None)
                if part is None:
                    raise StopAsyncIteration
                if isinstance(part, bytes):
                    return part
                self._upload, self._at = part, 0
            else:
                piece = await self._upload.read(self._at, _PIECE)
                self._at += len(piece)
                return piece
