"""The way to the simulated provider inside the process: no socket, the same face."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

import trio

from .reply import SimReply
from .routes import answer


class SimLine:
    """Answers requests of any of the three protocols by their path."""

    async def post(self, path: str, headers: Sequence[tuple[str, str]], body: bytes) -> SimReply:
        """Answer a request. Raises nothing; what is wrong with it is an answer too."""
        await trio.lowlevel.checkpoint()
        return answer(unquote(path.partition("?")[0]), body)
