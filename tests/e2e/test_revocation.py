"""Keys that end while requests run by them, and keys that are none: what clients are told, and pay."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.bank.sqlite import SqliteStore
from proxy.control.socket import ControlError
from proxy.edge.asgi import Door as ASGIDoor
from proxy.words.ids import new_key
from tests.fakes.client import Answer, Client, chat, get, text_of
from tests.fakes.script import ENDLESS, STALL, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .harness import EMAIL, INPUT, OUTPUT, Door, Running, provider, running, settings_for

PATH = "/chat/completions"
PROMPT = 5
AT_ONCE = 2.0
"""Seconds within which a revocation is felt everywhere. The README promises it: this is no guard."""
PROJECT = "P"
both = pytest.mark.parametrize("door", ["http1", "asgi"])


@dataclass
class Place:
    """A gateway with an account and a key of it, in a project or not."""

    gateway: Running
    upstream: FaultyUpstream
    made: dict[str, Any]

    @property
    def key(self) -> str:
        key: str = self.made["key"]
        return key

    async def do(self, name: str, **params: Any) -> dict[str, Any]:
        return await self.gateway.bank.office.command(name, params)

    async def end(self, how: str) -> None:
        """Do what ends the key, by the name of the command."""
        params = {"keys": {"id": self.made["id"]}, "accounts": {"email": EMAIL}}.get(how.partition(".")[0])
        await self.do(how, **(params or {"id": self.made["project"]}))

    def metric(self, name: str) -> float:
        found = self.gateway.gateway.metrics.registry.get_sample_value(name)
        assert found is not None
        return found


@asynccontextmanager
async def place(
    directory: Path, upstream: FaultyUpstream, door: Door = "http1", balance: str = "1000"
) -> AsyncIterator[Place]:
    settings = settings_for(directory, [provider("up", upstream.base_url)])
    with trio.fail_after(LONG):
        async with running(settings, door=door) as gateway:
            await gateway.key(balance)
            made = await gateway.bank.office.command("projects.create", {"email": EMAIL, "name": PROJECT})
            await gateway.bank.office.command(
                "projects.set", {"id": made["project"], "changes": {"rpm": 1000, "tokens_per_day": 10**9}}
            )
            yield Place(gateway, upstream, made)


def price(tokens: int) -> int:
    return (PROMPT * INPUT + tokens * OUTPUT) // 1_000_000


async def asked(at: Place, key: str) -> Answer:
    async with Client(at.gateway.url, key) as client:
        await client.request(PATH, chat(max_tokens=2, stream=False))
        return await client.whole()


@both
@pytest.mark.fault("F33")
@pytest.mark.parametrize("how", ["keys.revoke", "projects.delete", "accounts.block"])
async def test_a_stream_ends_with_its_key_and_is_settled_as_relayed(
    tmp_path: Path, upstream: FaultyUpstream, door: Door, how: str
) -> None:
    upstream.default = Script(tokens=ENDLESS, gap=0.01)
    async with place(tmp_path, upstream, door) as at:
        async with Client(at.gateway.url, at.key) as client:
            await client.request(PATH, chat(max_tokens=100))
            await client.head()
            payloads = await client.payloads(3)
            with trio.fail_after(AT_ONCE):
                await at.end(how)
                payloads += await client.payloads()
                assert client.answer.complete
                assert (await upstream.wait_closed()).aborted
        last = json.loads(payloads[-1])
        assert last["choices"][0]["finish_reason"] == "error"
        assert last["error"]["type"] == "key_revoked"
        receipt = await at.gateway.finished()
        assert (receipt.outcome, receipt.error) == ("revoked", "key_revoked")
        assert receipt.relayed_bytes == len(text_of(payloads))
        assert receipt.cost == price(receipt.relayed_bytes // 4)
        assert await at.gateway.open_holds() == 0
        assert at.metric("headrace_revocation_lag_seconds_count") == 1
        assert at.metric("headrace_revocation_lag_seconds_sum") < AT_ONCE


@pytest.mark.fault("F33")
async def test_a_piece_that_its_server_never_took_is_not_paid_for(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    """The key ends while the server of an ASGI door waits for its turn to send the third piece."""
    upstream.default = Script(tokens=ENDLESS, gap=0.01)
    question = [{"type": "http.request", "body": json.dumps(chat(max_tokens=100)).encode()}]
    taken: list[bytes] = []
    waiting = trio.Event()

    async def receive() -> dict[str, Any]:
        if not question:
            await trio.sleep_forever()
        return question.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        if len(taken) == 2 and not waiting.is_set():
            waiting.set()
            await trio.sleep_forever()
        taken.append(message.get("body", b""))

    async with place(tmp_path, upstream) as at, trio.open_nursery() as nursery:
        headers = {"authorization": f"Bearer {at.key}", "content-type": "application/json"}
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": f"/v1{PATH}", "headers": named}
        nursery.start_soon(ASGIDoor(at.gateway.gateway.routes, at.gateway.gateway.cold), scope, receive, send)
        await waiting.wait()
        await at.end("keys.revoke")
        receipt = await at.gateway.finished()
    payloads = Answer(200, {}, b"", b"".join(taken)).payloads
    assert json.loads(payloads[-1])["error"]["type"] == "key_revoked"
    assert receipt.relayed_bytes == len(text_of(payloads)) > 0


@both
@pytest.mark.fault("F33")
@pytest.mark.parametrize(("stream", "tokens"), [(True, 0), (False, 0), (False, 3)])
async def test_what_had_no_status_yet_gets_a_401_and_pays_nothing(
    tmp_path: Path, upstream: FaultyUpstream, door: Door, stream: bool, tokens: int
) -> None:
    upstream.default = Script(role=False, at=((tokens, "stall"),))
    async with place(tmp_path, upstream, door) as at:
        async with Client(at.gateway.url, at.key) as client:
            await client.request(PATH, chat(max_tokens=8, stream=stream))
            await upstream.wait_request()
            await upstream.wait_tokens(tokens)
            with trio.fail_after(AT_ONCE):
                await at.end("keys.revoke")
                answer = await client.whole()
        assert (answer.status, answer.error["type"], answer.error["code"]) == (401, "key_revoked", "401")
        receipt = await at.gateway.finished()
        assert (receipt.outcome, receipt.cost) == ("revoked", 0)
        assert (await upstream.wait_closed()).aborted
        assert await at.gateway.open_holds() == 0


@pytest.mark.fault("F33")
async def test_others_are_left_alone(tmp_path: Path, upstream: FaultyUpstream) -> None:
    go_on = trio.Event()
    upstream.default = Script(tokens=4, at=((2, go_on),))
    async with place(tmp_path, upstream) as at:
        sibling = (await at.do("keys.create", email=EMAIL))["key"]
        other = await at.gateway.key(email="other@example.com")
        answers: list[Answer] = []

        async def ask(key: str) -> None:
            async with Client(at.gateway.url, key) as client:
                await client.request(PATH, chat(max_tokens=4))
                answers.append(await client.whole())

        async with trio.open_nursery() as nursery:
            for key in (sibling, other):
                nursery.start_soon(ask, key)
            for number in (1, 2):
                await upstream.wait_tokens(2, number)
            await at.end("projects.delete")
            await at.do("accounts.block", email="other@example.com")
            go_on.set()
        ends = sorted(answer.payloads[-1] == b"[DONE]" for answer in answers)
        assert ends == [False, True], (
            "the sibling of a deleted project's key goes on, a blocked account's not"
        )


@pytest.mark.fault("F33")
async def test_one_who_does_not_read_is_not_waited_for(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=ENDLESS, word="word" * 256)
    async with place(tmp_path, upstream, balance="1000000000") as at:
        async with Client(at.gateway.url, at.key) as client:
            await client.request(PATH, chat(max_tokens=100_000))
            await client.head()
            seen, sent = await upstream.wait_request(), -1
            while seen.tokens_sent != sent:
                sent = seen.tokens_sent
                await trio.sleep(0.1)
            with trio.fail_after(AT_ONCE):
                await at.end("keys.revoke")
                receipt = await at.gateway.finished()
                assert (await upstream.wait_closed()).aborted
            assert receipt.outcome == "revoked"
            assert await at.gateway.open_holds() == 0
            payloads = await client.payloads()
        got = len(text_of(payloads))
        assert got - 1024 <= receipt.relayed_bytes <= got


@both
@pytest.mark.fault("F33")
async def test_a_key_that_ends_while_the_body_is_on_its_way_is_none(
    tmp_path: Path, upstream: FaultyUpstream, door: Door
) -> None:
    async with place(tmp_path, upstream, door) as at:
        body = json.dumps(chat(max_tokens=2, stream=False)).encode()
        head = (
            f"POST /v1{PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {at.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        async with Client(at.gateway.url) as client:
            await client.send(head.encode() + body[:10])
            directory = at.gateway.gateway.routes._models._directory
            while not directory._known:
                await trio.lowlevel.checkpoint()
            await at.end("keys.revoke")
            await client.send(body[10:])
            answer = await client.whole()
        assert (answer.status, answer.error["type"]) == (401, "invalid_api_key")
        assert upstream.hits == 0
        assert await at.gateway.open_holds() == 0


@both
@pytest.mark.fault("F32")
@pytest.mark.parametrize("how", ["keys.rotate", "projects.rotate"])
async def test_a_rotated_key_finishes_what_it_began(
    tmp_path: Path, upstream: FaultyUpstream, door: Door, how: str
) -> None:
    go_on = trio.Event()
    upstream.script(Script(tokens=8, at=((4, go_on),)))
    async with place(tmp_path, upstream, door) as at:
        number = at.made["id" if how == "keys.rotate" else "project"]
        async with Client(at.gateway.url, at.key) as client:
            await client.request(PATH, chat(max_tokens=8))
            await upstream.wait_tokens(4)
            successor = await at.do(how, id=number)
            assert (await asked(at, at.key)).status == 401
            assert (await asked(at, successor["key"])).status == 200
            go_on.set()
            answer = await client.whole()
        assert answer.payloads[-1] == b"[DONE]"
        outcomes = sorted(receipt.outcome for receipt in at.gateway.receipts)
        assert outcomes == ["ok", "ok"]


@pytest.mark.fault("F32")
async def test_a_key_that_expires_finishes_what_it_began(tmp_path: Path, upstream: FaultyUpstream) -> None:
    go_on = trio.Event()
    upstream.default = Script(tokens=8, at=((4, go_on),))
    async with place(tmp_path, upstream) as at:
        async with Client(at.gateway.url, at.key) as client:
            await client.request(PATH, chat(max_tokens=8))
            await upstream.wait_tokens(4)
            past = int(time.time()) - 1
            await at.gateway.bank.store.write([("UPDATE api_key SET expires_at = ?", (past,))])
            await at.do("keys.set", id=at.made["id"], changes={"name": "n"})  # remembered ones are forgotten
            assert (await asked(at, at.key)).error["type"] == "invalid_api_key"
            go_on.set()
            answer = await client.whole()
        assert answer.payloads[-1] == b"[DONE]"


@pytest.mark.fault("F41")
@pytest.mark.parametrize("how", ["accounts.close", "accounts.delete"])
async def test_an_account_with_open_holds_is_neither_closed_nor_deleted(
    tmp_path: Path, upstream: FaultyUpstream, how: str
) -> None:
    upstream.default = Script(at=((1, STALL),))
    async with place(tmp_path, upstream) as at:
        async with Client(at.gateway.url, at.key) as client:
            await client.request(PATH, chat(max_tokens=8))
            await client.head()
            with pytest.raises(ControlError, match=r"^holds_open: 1 of its requests"):
                await at.end(how)
            ((status,),) = await at.gateway.bank.store.read("SELECT status FROM account")
            assert status == "active"
            await at.end("accounts.block")
            await at.gateway.finished()
        await at.end(how)
        ((status, posted),) = await at.gateway.bank.store.read("SELECT status, posted FROM account")
        assert status == "closed"
        assert posted == 1_000_000_000 - at.gateway.receipts[0].cost, "the books keep what it had"
        assert (await asked(at, at.key)).status == 401


@both
@pytest.mark.fault("F31")
async def test_every_bad_key_is_told_the_same_and_is_looked_up_once_at_most(
    tmp_path: Path, upstream: FaultyUpstream, door: Door
) -> None:
    async with place(tmp_path, upstream, door) as at:
        revoked = await at.do("keys.create", email=EMAIL)
        expired = await at.do("keys.create", email=EMAIL, expires="1d")
        await at.gateway.bank.store.write(
            [("UPDATE api_key SET expires_at = 1 WHERE id = ?", (expired["id"],))]
        )
        await at.do("keys.revoke", id=revoked["id"])
        good = at.key
        unchecked = {
            "nothing": "",
            "a bad checksum": good[:-1] + ("A" if good[-1] != "A" else "B"),
            "a letter too few": good[:-1],
            "quotes": "' OR '1'='1",
            "SQL": '"; DROP TABLE api_key; --',
            "long": "fd_agg_" + "0" * 8_000,
        }
        looked_up = {"unknown": new_key("account"), "revoked": revoked["key"], "expired": expired["key"]}
        reads: list[str] = []
        store = at.gateway.bank.store
        assert isinstance(store, SqliteStore)
        reader = store._reader
        await reader.run(reader.raw.set_trace_callback, reads.append)
        told = set()
        for name, key in {**unchecked, **looked_up}.items():
            reads.clear()
            for _ in range(3):
                answer = await asked(at, key)
                error = {field: value for field, value in answer.error.items() if field != "request_id"}
                told.add((answer.status, json.dumps(error), *sorted(answer.headers.keys() - {"date"})))
            assert len(reads) == (name in looked_up), name
        assert len(told) == 1, "status, text and header fields are the same"
        assert next(iter(told))[0] == 401
        assert upstream.hits == 0


async def test_a_key_is_told_of_its_limits_alone(tmp_path: Path, upstream: FaultyUpstream) -> None:
    """S8, S9: whatever a key says of itself, its limits are those that were set for it."""
    async with place(tmp_path, upstream) as at:
        made = await at.do("keys.create", email=EMAIL, rpm=2, models=["sim/echo"])
        claims = {"x-ratelimit-limit": "1000", "x-account": "1", "x-role": "admin", "x-models": "m"}
        body = {
            **chat("m", max_tokens=2, stream=False),
            "rpm": 1000,
            "limits": {"rpm": 1000},
            "role": "admin",
        }
        async with Client(at.gateway.url, made["key"]) as client:
            await client.request(PATH, body, headers=claims)
            assert (await client.whole()).error["type"] == "permission_error"
        data = (await get(at.gateway.url.removesuffix("/v1"), "/v1/key", key=made["key"])).json["data"]
        assert (data["models"], data["rate_limit"]["requests"]) == (["sim/echo"], 2)
