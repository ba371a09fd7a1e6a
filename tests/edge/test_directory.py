"""Who is calling: one look-up a key, the same refusal for every bad one, and nothing stale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar

import pytest
import trio
import trio.testing

from proxy.bank.store import StoreError
from proxy.edge.directory import Directory, offered_key
from proxy.edge.drain import draining
from proxy.words.errors import GatewayError
from proxy.words.ids import KeyKind, key_digest, new_key
from proxy.words.principal import Principal

PEPPER = b"pepper"
NOW = 1_767_323_045.0


class Keys:
    """A key store that keeps a ledger of look-ups, and can make them wait."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Principal] = {}
        self.lookups: list[bytes] = []
        self.gate: trio.Event | None = None
        self.fails = False

    def add(self, kind: KeyKind = "account", *, expires_at: int | None = None) -> str:
        key = new_key(kind)
        number = len(self.rows) + 1
        self.rows[key_digest(PEPPER, key)] = Principal(1, number, kind, expires_at=expires_at)
        return key

    def revoke(self, key: str) -> None:
        del self.rows[key_digest(PEPPER, key)]

    async def find(self, digest: bytes) -> Principal | None:
        self.lookups.append(digest)
        found = self.rows.get(digest)
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise StoreError
        return found


class Clock:
    """Unix time, set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Desk:
    """A directory, its keys and its clock."""

    def __init__(self, size: int = 10_000) -> None:
        self.keys = Keys()
        self.clock = Clock()
        self.directory = Directory(self.keys.find, PEPPER, self.clock, size)

    async def ask(self, key: str) -> Principal:
        return await self.directory.authenticate({"authorization": f"Bearer {key}"})

    async def refused(self, key: str) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.ask(key)
        return caught.value


def with_bad_checksum(key: str) -> str:
    return key[:-1] + ("A" if key[-1] != "A" else "B")


def one_letter_off(key: str) -> str:
    return key[:12] + ("A" if key[12] != "A" else "B") + key[13:]


MALFORMED = [
    "",
    "x",
    "fd_agg_",
    "sk-proj-abcdef",
    "' OR 1=1 --",
    '"; DROP TABLE keys; --',
    "fd_agg_" + "é" * 38,
    "fd_agg_" + "0" * 38 + "\n",
    "fd_agg_" + "0" * 1_000_000,
    "fd_agg_" + "٣" * 38,
    "\x00",
]


class TestRefusals:
    @pytest.mark.fault("F31")
    @pytest.mark.parametrize("key", MALFORMED, ids=lambda key: repr(key[:16]))
    async def test_a_malformed_key_is_refused_without_a_lookup(self, key: str) -> None:
        desk = Desk()
        assert (await desk.refused(key)).name == "invalid_api_key"
        assert desk.keys.lookups == []

    @pytest.mark.fault("F31")
    @pytest.mark.parametrize("spoil", [with_bad_checksum, one_letter_off])
    @pytest.mark.parametrize("kind", ["account", "gateway", "project", "mcp"])
    async def test_so_is_one_whose_checksum_is_wrong(self, spoil: object, kind: KeyKind) -> None:
        desk = Desk()
        assert callable(spoil)
        assert (await desk.refused(spoil(desk.keys.add(kind)))).name == "invalid_api_key"
        assert desk.keys.lookups == []

    @pytest.mark.fault("F31")
    async def test_all_are_told_the_same(self) -> None:
        desk = Desk()
        expired = desk.keys.add(expires_at=int(NOW))
        revoked = desk.keys.add()
        desk.keys.revoke(revoked)
        bad = [*MALFORMED, new_key("account"), with_bad_checksum(revoked), expired, revoked, new_key("mcp")]
        errors = [await desk.refused(key) for key in bad]
        with pytest.raises(GatewayError) as caught:
            await desk.directory.authenticate({})
        told = {
            (error.name, error.message, error.param, error.code, error.retry_after, str(error.detail))
            for error in [*errors, caught.value]
        }
        assert told == {
            ("invalid_api_key", "Missing or invalid Bearer API key.", None, None, None, "{}"),
        }

    async def test_an_mcp_token_opens_nothing_here(self) -> None:
        desk = Desk()
        assert (await desk.refused(desk.keys.add("mcp"))).name == "permission_denied"


class TestWhereTheKeyIs:
    HEADERS: ClassVar[Sequence[tuple[dict[str, str], str]]] = (
        ({}, ""),
        ({"authorization": "Bearer K"}, "K"),
        ({"authorization": "bearer K"}, "K"),
        ({"authorization": "BEARER   K  "}, "K"),
        ({"authorization": "Bearer"}, ""),
        ({"authorization": "Basic K"}, ""),
        ({"authorization": "K"}, ""),
        ({"x-api-key": "K"}, "K"),
        ({"x-api-key": " K "}, "K"),
        ({"authorization": "Bearer K", "x-api-key": "L"}, "K"),
        ({"authorization": "Basic K", "x-api-key": "L"}, "L"),
    )

    @pytest.mark.parametrize(("headers", "key"), HEADERS)
    def test_offered(self, headers: Mapping[str, str], key: str) -> None:
        assert offered_key(headers) == key

    @pytest.mark.parametrize("kind", ["account", "gateway", "project"])
    async def test_either_header_opens(self, kind: KeyKind) -> None:
        desk = Desk()
        key = desk.keys.add(kind)
        bearer = await desk.directory.authenticate({"authorization": f"Bearer {key}"})
        other = await desk.directory.authenticate({"x-api-key": key})
        assert bearer is other
        assert bearer.kind == kind


class TestMemory:
    async def test_hits_and_misses_are_looked_up_once(self) -> None:
        desk = Desk()
        known, unknown = desk.keys.add(), new_key("account")
        for _ in range(3):
            assert (await desk.ask(known)).key_id == 1
            await desk.refused(unknown)
        assert desk.keys.lookups == [key_digest(PEPPER, known), key_digest(PEPPER, unknown)]

    async def test_what_is_looked_up_is_a_digest(self) -> None:
        desk = Desk()
        await desk.ask(key := desk.keys.add())
        assert key.encode() not in desk.keys.lookups[0]
        assert len(desk.keys.lookups[0]) == 32

    @pytest.mark.fault("F33")
    async def test_forgetting_makes_a_revocation_felt(self) -> None:
        desk = Desk()
        key = desk.keys.add()
        await desk.ask(key)
        desk.keys.revoke(key)
        await desk.ask(key)
        desk.directory.forget()
        assert (await desk.refused(key)).name == "invalid_api_key"

    async def test_and_a_new_key_known(self) -> None:
        desk = Desk()
        key = desk.keys.add()
        row = desk.keys.rows.popitem()
        await desk.refused(key)
        desk.keys.rows[row[0]] = row[1]
        await desk.refused(key)
        desk.directory.forget()
        assert (await desk.ask(key)).key_id == 1

    @pytest.mark.fault("F33")
    async def test_what_was_read_before_a_change_is_not_remembered_after_it(self) -> None:
        desk = Desk()
        key = desk.keys.add()
        desk.keys.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.ask, key)
            await trio.testing.wait_all_tasks_blocked()
            desk.keys.revoke(key)
            desk.directory.forget()
            desk.keys.gate.set()
        assert (await desk.refused(key)).name == "invalid_api_key"
        assert len(desk.keys.lookups) == 2

    async def test_a_cancelled_lookup_leaves_nothing(self) -> None:
        desk = Desk()
        key = desk.keys.add()
        desk.keys.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.ask, key)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        desk.keys.gate = None
        assert (await desk.ask(key)).key_id == 1
        assert len(desk.keys.lookups) == 2

    async def told(self, desk: Desk, key: str, number: int, then: Callable[[], object]) -> list[str | int]:
        """Let so many ask while a look-up waits; return what each was told, a key's number or an error."""
        told: list[str | int] = []

        async def one() -> None:
            try:
                told.append((await desk.ask(key)).key_id)
            except GatewayError as error:
                told.append(error.name)

        desk.keys.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(number):
                nursery.start_soon(one)
            await trio.testing.wait_all_tasks_blocked()
            then()
            desk.keys.gate.set()
        return told

    async def test_who_come_at_a_time_wait_for_one_lookup(self) -> None:
        desk = Desk()
        known, unknown = desk.keys.add(), new_key("account")
        assert await self.told(desk, known, 5, int) == [1] * 5
        assert await self.told(desk, unknown, 5, int) == ["invalid_api_key"] * 5
        assert len(desk.keys.lookups) == 2

    async def test_and_hear_together_that_it_failed(self) -> None:
        desk = Desk()
        desk.keys.fails = True
        assert await self.told(desk, desk.keys.add(), 5, int) == ["service_unavailable"] * 5
        assert len(desk.keys.lookups) == 1

    async def test_one_who_leaves_leaves_it_to_the_next(self) -> None:
        desk = Desk()
        key = desk.keys.add()
        desk.keys.gate = trio.Event()

        async def leave(scope: trio.CancelScope) -> None:
            with scope:
                await desk.ask(key)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave, scope := trio.CancelScope())
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(3):
                nursery.start_soon(desk.ask, key)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert len(desk.keys.lookups) == 2
            desk.keys.gate.set()
        assert len(desk.keys.lookups) == 2

    @pytest.mark.fault("F33")
    async def test_who_comes_after_a_change_does_not_hear_what_was_read_before(self) -> None:
        desk = Desk()
        key = desk.keys.add()
        desk.keys.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.ask, key)
            await trio.testing.wait_all_tasks_blocked()
            desk.keys.revoke(key)
            desk.directory.forget()
            nursery.start_soon(desk.refused, key)
            await trio.testing.wait_all_tasks_blocked()
            desk.keys.gate.set()
        assert len(desk.keys.lookups) == 2

    @pytest.mark.fault("F99")
    async def test_a_stop_tells_all_who_wait(self) -> None:
        desk = Desk()
        dismiss = partial(desk.directory.dismiss, draining)
        assert await self.told(desk, desk.keys.add(), 5, dismiss) == ["service_unavailable"] * 5

    @pytest.mark.fault("F31")
    async def test_a_key_expires_though_it_is_remembered(self) -> None:
        desk = Desk()
        key = desk.keys.add(expires_at=int(NOW) + 60)
        for later, lives in ((0, True), (59.9, True), (60, False), (3600, False)):
            desk.clock.now = int(NOW) + later
            if lives:
                await desk.ask(key)
            else:
                assert (await desk.refused(key)).name == "invalid_api_key"
        assert len(desk.keys.lookups) == 1

    async def test_the_tables_are_bounded_and_strangers_push_out_no_friend(self) -> None:
        desk = Desk(size=3)
        friends = [desk.keys.add() for _ in range(3)]
        for key in friends:
            await desk.ask(key)
        strangers = [new_key("account") for _ in range(10)]
        for key in strangers:
            await desk.refused(key)
        assert len(desk.keys.lookups) == 13
        for key in [*friends, *strangers[-3:]]:
            try:
                await desk.ask(key)
            except GatewayError:
                assert key in strangers
        assert len(desk.keys.lookups) == 13
        await desk.refused(strangers[0])
        await desk.ask(desk.keys.add())
        await desk.ask(friends[0])
        assert len(desk.keys.lookups) == 16
