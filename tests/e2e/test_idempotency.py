"""Requests with an Idempotency-Key that come again: one hold, one charge, the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.bank.verify import verify
from proxy.settings import Idempotency, Settings
from tests.fakes.client import Answer, Client, chat
from tests.fakes.recordings import wav
from tests.fakes.script import STALL, Problem, Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .harness import Door, Running, provider, running, settings_for
from .stage import PROMPT, price

CHAT = "/chat/completions"
CANARY = "the CANARY sang "
DOORS = pytest.mark.parametrize("door", ["http1", "asgi"])
STREAMS = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
_OF_ONE_REQUEST = (
    "x-request-id",
    "request-id",
    "date",
    "connection",
    "transfer-encoding",
    "content-length",
    "server",
)


@dataclass
class Place:
    """A gateway, a key of it, and the one provider of its model."""

    gateway: Running
    key: str
    upstream: FaultyUpstream

    async def ask(
        self,
        body: Mapping[str, Any] | bytes,
        name: str | None = "k",
        *,
        path: str = CHAT,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask on a connection of its own and read the whole answer."""
        async with Client(self.gateway.url, key or self.key) as client:
            named = {} if name is None else {"Idempotency-Key": name}
            await client.request(path, body, headers={**named, **(headers or {})})
            return await client.whole()

    async def holds(self) -> int:
        """Count the holds there ever were."""
        (rows,) = await self.gateway.bank.store.read(
            "SELECT (SELECT count(*) FROM hold) + (SELECT count(*) FROM hold_end WHERE account IS NOT NULL)"
        )
        return int(rows[0])


def settings_of(directory: Path, upstream: FaultyUpstream, **more: Any) -> Settings:
    plain = settings_for(directory, [provider("up", upstream.base_url)], **more)
    return replace(plain, store=replace(plain.store, synchronous="NORMAL"))


@asynccontextmanager
async def place_in(
    directory: Path, upstream: FaultyUpstream, *, door: Door = "http1", **more: Any
) -> AsyncIterator[Place]:
    """Run it for the length of the block, at whose end the books have to be right."""
    async with running(settings_of(directory, upstream, **more), door=door) as gateway:
        yield Place(gateway, await gateway.key(), upstream)
        assert await gateway.open_holds() == 0
        report = await verify(gateway.bank.store)
        assert report.ok, report


def said(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Return what must be the same again."""
    headers = {name: value for name, value in answer.headers.items() if name not in _OF_ONE_REQUEST}
    headers.pop("idempotency-replayed", None)
    return answer.status, headers, answer.body


def everything_in(directory: Path) -> bytes:
    """Read all files of the database."""
    return b"".join(path.read_bytes() for path in directory.rglob("headrace.db*"))


@pytest.mark.fault("F44")
@DOORS
@STREAMS
async def test_a_repeat_gets_the_answer_it_got(
    tmp_path: Path, upstream: FaultyUpstream, door: Door, stream: bool
) -> None:
    body = chat(stream=stream, usage=stream, max_tokens=8)
    async with place_in(tmp_path, upstream, door=door) as place:
        first = await place.ask(body, headers={"X-Request-ID": "one"})
        assert first.status == 200
        assert "idempotency-replayed" not in first.headers
        again = [await place.ask(body, headers={"X-Request-ID": "two"}) for _ in range(2)]
        for each in again:
            assert said(each) == said(first)
            assert each.complete
            assert each.headers["idempotency-replayed"] == "true"
            assert each.headers["x-request-id"] == "two"
            assert each.headers["x-generation-id"] == first.headers["x-generation-id"]
        assert again[0].headers["content-type"] == first.headers["content-type"]
        assert ("content-length" in again[0].headers) == (not stream)
        last = await place.gateway.finished(3)
        assert (last.outcome, last.cost, last.attempts) == ("replayed", 0, [])
        assert place.upstream.hits == 1
        assert await place.holds() == 1
        assert (await place.gateway.balance())[0] == 1_000_000_000 - price(10, 8)


@pytest.mark.fault("F44")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/messages", {"model": "m", "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}),
        ("/responses", {"model": "m", "input": "hi", "max_output_tokens": 8}),
        ("/completions", {"model": "m", "prompt": "hi", "max_tokens": 8}),
        ("/llm/auto", {"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
        ("/../api/v1/chat/completions", chat("m", stream=False)),
        ("/../api/v1/ai/llm/generate", {"model": "m", "prompt": "hi"}),
        ("/../api/v1/ai/llm/chat", {"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
        ("/../api/v1/ai/chat", {"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
        ("/../api/v1/ai/generate", {"model": "m", "prompt": "hi"}),
        ("/embeddings", {"model": "sim/embed", "input": "hi"}),
        ("/audio/speech", {"model": "sim/speech", "input": "hi", "voice": "alloy"}),
        ("/images/generations", {"model": "sim/image", "prompt": "a cat"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@STREAMS
async def test_on_every_route(
    tmp_path: Path, upstream: FaultyUpstream, path: str, body: dict[str, Any], stream: bool
) -> None:
    upstream.default = Script(tokens=4)
    asked = {**body, "stream": True} if stream and "model" in body and body["model"] == "m" else body
    async with place_in(tmp_path, upstream) as place:
        place.gateway.url = (
            place.gateway.url.removesuffix("/v1") if path.startswith("/..") else place.gateway.url
        )
        path = path.removeprefix("/..")
        first, again = [await place.ask(asked, path=path) for _ in range(2)]
        assert first.status == 200, first.body
        assert said(again) == said(first)
        assert again.headers["idempotency-replayed"] == "true"
        assert await place.holds() == 1
        other = await place.ask({**asked, "user": "x"}, path=path)
        assert (other.status, await place.holds()) == (422, 1), other.body


@pytest.mark.fault("F44", "F46")
@pytest.mark.parametrize("seconds", [1, 60], ids=["in memory", "on disk"])
async def test_a_recording_is_known_by_what_it_is_not_by_its_boundary(
    tmp_path: Path, upstream: FaultyUpstream, seconds: int
) -> None:
    sound = wav(seconds, rate=16_000)
    async with place_in(tmp_path, upstream) as place:

        async def hear(boundary: str, data: bytes, model: str = "sim/transcribe") -> Answer:
            form = (
                f'--{boundary}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n'
                f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
                "Content-Type: audio/wav\r\n\r\n"
            ).encode()
            headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            ending = f"\r\n--{boundary}--\r\n".encode()
            return await place.ask(form + data + ending, path="/audio/transcriptions", headers=headers)

        first = await hear("one", sound)
        assert first.status == 200, first.body
        assert said(await hear("two", sound)) == said(first)
        assert (await hear("two", sound[:-2] + b"xx")).status == 422
        assert (await hear("two", sound, "sim/transcribe:tokens=3")).status == 422
        assert await place.holds() == 1


@pytest.mark.fault("F45")
@DOORS
async def test_a_hundred_at_once_are_one(tmp_path: Path, upstream: FaultyUpstream, door: Door) -> None:
    release = trio.Event()
    upstream.default = Script(before_head=release)
    answers: list[Answer] = []
    async with place_in(tmp_path, upstream, door=door) as place:

        async def ask() -> None:
            answers.append(await place.ask(chat(stream=False)))
            if len(answers) == 99:
                release.set()

        with trio.fail_after(LONG):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(ask)
        (first,) = [answer for answer in answers if answer.status == 200]
        refused = [answer for answer in answers if answer is not first]
        for answer in refused:
            assert (answer.status, answer.error["type"]) == (409, "invalid_request_error")
            assert answer.headers["retry-after"] == "1"
            assert "x-should-retry" not in answer.headers
            assert answer.error["generation_id"] == first.headers["x-generation-id"]
            assert answer.headers["x-generation-id"] == first.headers["x-generation-id"]
        assert (await place.holds(), place.upstream.hits) == (1, 1)
        await place.gateway.finished(100)


@pytest.mark.fault("F45", "F46")
async def test_names_of_refusals_on_the_other_base(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(before_head=STALL)
    async with place_in(tmp_path, upstream) as place:
        place.gateway.url = place.gateway.url.replace("/v1", "/api/v1")
        async with Client(place.gateway.url, place.key) as client:
            await client.request(CHAT, chat(), headers={"Idempotency-Key": "k"})
            await upstream.wait_request()
            assert (await place.ask(chat())).error["code"] == "idempotency_in_progress"
            other = await place.ask(chat(max_tokens=3))
            assert (other.status, other.error["code"]) == (422, "idempotency_key_reused")
        await place.gateway.finished(3)


@pytest.mark.fault("F46")
@pytest.mark.parametrize(
    ("name", "status"),
    [("k" * 255, 200), ("!~", 200), ("k" * 256, 400), ("", 400), ("a b", 400), ("\u00e9", 400)],
    ids=["longest", "odd", "too long", "empty", "blank", "not ASCII"],
)
async def test_what_a_key_may_be(tmp_path: Path, upstream: FaultyUpstream, name: str, status: int) -> None:
    async with place_in(tmp_path, upstream) as place:
        answer = await place.ask(chat(stream=False), name)
        assert answer.status == status
        assert status == 200 or answer.error["param"] == "Idempotency-Key"
        assert await place.holds() == (status == 200)


@pytest.mark.fault("F44")
async def test_a_route_an_account_and_a_client_without_a_key_are_each_their_own(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    """S52: what is kept is found by its account and route alone."""
    body = chat(stream=False)
    async with place_in(tmp_path, upstream) as place:
        mine = await place.ask(body)
        stranger = await place.gateway.key(email="other@example.com")
        others = [
            await place.ask(body, key=stranger),
            await place.ask(body, "l"),
            await place.ask(body, None),
            await place.ask({"model": "m", "prompt": "hi"}, path="/completions"),
        ]
        for answer in others:
            assert answer.status == 200
            assert "idempotency-replayed" not in answer.headers
        ids = {answer.headers["x-generation-id"] for answer in (mine, *others)}
        assert len(ids) == 5
        await place.gateway.finished(5)
        assert (await place.ask(body)).headers["x-generation-id"] == mine.headers["x-generation-id"]
        again = await place.ask(body, key=stranger)
        assert again.headers["x-generation-id"] == others[0].headers["x-generation-id"]
        await place.gateway.finished(7)


@pytest.mark.fault("F47")
@STREAMS
async def test_what_cost_nothing_runs_again(tmp_path: Path, upstream: FaultyUpstream, stream: bool) -> None:
    body = chat(stream=stream)
    async with place_in(tmp_path, upstream) as place:
        upstream.default = Script(body=Problem(status=500))
        failed = await place.ask(body)
        assert failed.status == 502
        upstream.default = Script()
        answer = await place.ask(body)
        assert answer.status == 200
        assert "idempotency-replayed" not in answer.headers
        assert (await place.ask(body)).headers["idempotency-replayed"] == "true"
        await place.gateway.finished(3)
        assert await place.holds() == 2


@pytest.mark.fault("F47")
@DOORS
async def test_who_left_in_mid_answer_is_told_what_it_cost(
    tmp_path: Path, upstream: FaultyUpstream, door: Door
) -> None:
    upstream.default = Script(tokens=8, at=((3, STALL),))
    async with place_in(tmp_path, upstream, door=door) as place:
        async with Client(place.gateway.url, place.key) as client:
            await client.request(CHAT, chat(), headers={"Idempotency-Key": "k"})
            await client.head()
            await client.payloads(4)
            name = client.answer.headers["x-generation-id"]
        receipt = await place.gateway.finished()
        assert receipt.cost == price(PROMPT, 3)
        refused = await place.ask(chat())
        assert refused.status == 409
        assert refused.headers["x-should-retry"] == "false"
        assert refused.headers["x-generation-id"] == refused.error["generation_id"] == name
        assert refused.error["reason"] == "broken_off"
        assert refused.error["cost"] == pytest.approx(receipt.cost / 1e6)
        async with Client(place.gateway.url, place.key) as client:
            await client.request(f"/generation?id={name}")
            assert (await client.whole()).json["data"]["outcome"] == "client_abort"
        await place.gateway.finished(2)
        assert (await place.holds(), upstream.hits) == (1, 1)


@pytest.mark.fault("F47")
async def test_who_was_told_of_a_break_is_told_again(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=8, at=((3, "rst"),))
    async with place_in(tmp_path, upstream) as place:
        first = await place.ask(chat())
        assert b"[DONE]" not in first.payloads
        again = await place.ask(chat())
        assert (again.status, again.error["reason"]) == (409, "broken_off")
        await place.gateway.finished(2)


@pytest.mark.fault("F44")
@STREAMS
async def test_an_answer_beyond_a_mebibyte_is_not_kept_and_not_made_twice(
    tmp_path: Path, upstream: FaultyUpstream, stream: bool
) -> None:
    upstream.default = Script(tokens=20, word="x" * 60_000)
    async with place_in(tmp_path, upstream) as place:
        first = await place.ask(chat(stream=stream))
        assert first.status == 200
        assert len(first.body) > 2**20
        again = await place.ask(chat(stream=stream))
        assert (again.status, again.error["reason"]) == (409, "not_kept")
        assert again.error["generation_id"] == first.headers["x-generation-id"]
        assert await place.gateway.bank.store.read("SELECT * FROM reply") == []
        await place.gateway.finished(2)
        assert await place.holds() == 1


async def test_an_answer_cut_for_want_of_credits_is_one(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = Script(tokens=2**62)
    async with place_in(tmp_path, upstream) as place:
        poor = await place.gateway.key("0.03", email="poor@example.com")
        first, again = [await place.ask(chat(stream=False, max_tokens=8), key=poor) for _ in range(2)]
        assert first.headers["x-gateway-truncated"] == "insufficient_credits"
        assert said(again) == said(first)
        await place.gateway.finished(2)


@pytest.mark.fault("F44")
async def test_a_key_is_free_again_when_its_time_is_over(tmp_path: Path, upstream: FaultyUpstream) -> None:
    body = chat(stream=False)
    async with place_in(tmp_path, upstream, idempotency=Idempotency(keep=3600)) as place:
        first = await place.ask(body)
        await place.gateway.finished()
        store = place.gateway.bank.store
        await store.write(
            [
                ("UPDATE claim SET until = until - 3600000", ()),
                ("UPDATE hold_end SET idempotent_until = idempotent_until - 3600000", ()),
            ]
        )
        again = await place.ask(body)
        assert "idempotency-replayed" not in again.headers
        assert again.headers["x-generation-id"] != first.headers["x-generation-id"]
        await place.gateway.finished(2)
        assert await place.holds() == 2


async def test_what_is_kept_cannot_be_read_in_the_file(tmp_path: Path, upstream: FaultyUpstream) -> None:
    """S30: sealed, and only where the header was sent."""
    upstream.default = Script(tokens=4, word=CANARY)
    async with place_in(tmp_path, upstream) as place:
        for stream in (True, False):
            for name in (f"k{stream}", None):
                assert CANARY.encode() in (await place.ask(chat(stream=stream), name)).body
        await place.gateway.finished(4)
        assert await place.gateway.bank.store.read("SELECT count(*) FROM reply") == [(2,)]
        assert CANARY.encode() in (await place.ask(chat(stream=True), "kTrue")).body
        await place.gateway.finished(5)
        kept = await trio.to_thread.run_sync(everything_in, tmp_path)
        assert len(kept) > 10_000
        assert CANARY.encode() not in kept
        sealed = await place.gateway.bank.store.read("SELECT sealed FROM reply")
        assert len({hashlib.sha256(row[0]).digest() for row in sealed}) == 2


async def test_what_is_kept_opens_for_its_own_request_alone(tmp_path: Path, upstream: FaultyUpstream) -> None:
    """S52: a row that was moved to another request gives nothing."""
    async with place_in(tmp_path, upstream) as place:
        first, second = [await place.ask(chat(stream=False), name) for name in "kl"]
        await place.gateway.finished(2)
        swap = "UPDATE reply SET sealed = (SELECT sealed FROM reply WHERE hold_id = ?) WHERE hold_id = ?"
        ids = [answer.headers["x-generation-id"] for answer in (first, second)]
        await place.gateway.bank.store.write([(swap, ids)])
        refused = await place.ask(chat(stream=False), "l")
        assert (refused.status, refused.error["reason"]) == (409, "not_kept")
        await place.gateway.finished(3)


@pytest.mark.fault("F44", "F82")
async def test_what_is_kept_is_to_be_had_while_no_provider_is(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    body = chat(stream=False)
    async with place_in(tmp_path, upstream) as place:
        first = await place.ask(body)
        upstream.default = Script(body=Problem(status=500))
        while (await place.ask(body, None)).status != 503:
            pass
        assert said(await place.ask(body)) == said(first)
        hits = upstream.hits
        refused = await place.ask(body, "l")
        assert (refused.status, refused.error["reason"], upstream.hits) == (503, "breakers_open", hits)
        await place.gateway.finished(len(place.gateway.receipts))


async def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path, upstream: FaultyUpstream) -> None:
    async with place_in(tmp_path, upstream, idempotency=Idempotency(max_kept=1)) as place:
        for name in "kl":
            assert (await place.ask(chat(stream=False), name)).status == 200
        assert (await place.ask(chat(stream=False), "k")).headers["idempotency-replayed"] == "true"
        assert (await place.ask(chat(stream=False), "l")).error["reason"] == "not_kept"
        await place.gateway.finished(4)


async def test_counting_tokens_is_free_and_done_again(tmp_path: Path, upstream: FaultyUpstream) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    async with place_in(tmp_path, upstream) as place:
        for _ in range(2):
            answer = await place.ask(body, path="/messages/count_tokens")
            assert answer.status == 200
            assert "idempotency-replayed" not in answer.headers
