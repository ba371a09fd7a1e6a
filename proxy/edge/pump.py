"""The loop of a door that gives each answer a task: read upstream, pass on, send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from proxy.words.errors import UpstreamError

from .transfer import Transfer


async def pump(transfer: Transfer, send: Callable[[bytes], Awaitable[None]]) -> None:
    """Drive a transfer to its end.

    Raises:
        GatewayError: the answer failed and the client was sent nothing of it.
    Cancelling stops at once; what was handed to `send` is what was metered.
    """
    out = transfer.begin()
    while True:
        if out:
            await send(out)
            transfer.caught_up()
        if transfer.done:
            return
        out = await (transfer.more() if transfer.starved else _next(transfer))


async def _next(transfer: Transfer) -> bytes:
    """Read once and return what that gives the client."""
    with trio.CancelScope(deadline=transfer.deadline):
        try:
            data = await transfer.stream.read()
        except UpstreamError as error:
            return transfer.broke(error)
        return transfer.take(data)
    return transfer.overdue()
