"""The way to the simulated provider inside the process: no socket, the same face."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

import trio

from proxy.upstream.upload import Joined
from proxy.words.upload import Body

from .reply import SimReply
from .routes import answer


class SimLine:
    """Answers requests of any of the three protocols by their path."""

    async def post(
        self, path: str, headers: Sequence[tuple[str, str]], body: Body, *, private: bool = False
    ) -> SimReply:
        """Answer a request. Raises nothing; what is wrong with it is an answer too."""
        await trio.lowlevel.checkpoint()
        if not isinstance(body, bytes):
            body = b"".join([piece async for piece in Joined(body)])
        return answer(unquote(path.partition("?")[0]), body)
