"""A request body of several parts, read from the start by each attempt that sends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from proxy.words.upload import Upload


class Joined:
    """Parts that follow each other. Iterating twice reads them twice."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[bytes | Upload]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Read piece by piece."""
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
            else:
                async for piece in part:
                    yield piece
