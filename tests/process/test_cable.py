"""Messages between two processes, however large they are together."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio

from proxy.process import cable
from proxy.process.cable import Cable
from tests.patience import PATIENCE


@pytest.mark.parametrize("most", [1, 300, 10_000], ids=["one by one", "a few", "all"])
async def test_what_waits_is_sent_in_frames_that_are_taken(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery, most: int
) -> None:
    messages = [["op", number, "x" * 100] for number in range(40)]
    longest = max(len(str(message)) for message in messages) + 10
    monkeypatch.setattr(cable, "MAX_FRAME", max(most, longest))
    near, far = (Cable(_unblocked(each)) for each in socket.socketpair())
    for message in messages:
        near.put(message)
    nursery.start_soon(near.run)
    found: list[Any] = []
    with trio.fail_after(PATIENCE):
        while len(found) < len(messages):
            found += await far.receive()
    assert found == messages
    near.close()
    far.close()


def _unblocked(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    return sock
