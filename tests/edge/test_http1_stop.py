"""A graceful stop: nobody new, the idle leave at once, the busy finish, and those that do not are cut."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.fakes.client import Client
from tests.patience import PATIENCE

from .http1_kit import serving


async def test_the_idle_leave_at_once_those_who_have_just_come_soon_and_nobody_new_is_let_in() -> None:
    async with (
        serving(drain=10) as at,
        Client(at.url) as idle,
        Client(at.url) as fresh,
        Client(at.url) as partial,
    ):
        await idle.request("/stream")
        await idle.whole()
        await partial.send(b"GET /v1/str")
        await trio.sleep(0.02)
        at.stop.set()
        assert (await partial.whole()).status == 408
        for client in (idle, fresh, partial):
            assert await client.at_end()
        await at.stopped.wait()
        with pytest.raises(OSError, match="connect"):
            await Client(at.url).__aenter__()


async def test_the_busy_finish_and_are_told_that_it_was_the_last() -> None:
    async with serving(drain=10) as at, Client(at.url) as client:
        await client.request("/hold")
        await at.ledger.started.wait()
        at.stop.set()
        await trio.testing.wait_all_tasks_blocked()
        assert not at.stopped.is_set()
        at.ledger.go_on.set()
        answer = await client.whole()
        assert (answer.body, answer.headers["connection"]) == (b"held", "close")
        assert await client.at_end()
        await at.stopped.wait()


async def test_those_that_do_not_finish_are_cut_when_the_time_is_over() -> None:
    async with serving(drain=0.1) as at, Client(at.url) as client:
        await client.request("/hold")
        await at.ledger.started.wait()
        at.stop.set()
        assert await client.at_end()
        await at.stopped.wait()


async def test_a_client_that_does_not_read_cannot_hold_up_a_stop() -> None:
    async with serving(drain=0.1) as at, Client(at.url) as client:
        await client.request("/flood")
        await at.ledger.started.wait()
        await trio.sleep(0.05)
        at.stop.set()
        with trio.fail_after(PATIENCE):
            await at.stopped.wait()


async def test_an_http_2_connection_is_cut_when_the_time_is_over_too() -> None:
    async with serving(drain=0.1) as at, Client(at.url) as client:
        await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        assert await client._more()
        at.stop.set()
        with trio.fail_after(PATIENCE):
            await at.stopped.wait()
