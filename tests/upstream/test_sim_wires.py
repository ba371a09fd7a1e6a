"""What a script asks for happens in each protocol alike, as our own wires read it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
import trio.testing

from proxy.dialects.openai_request import read_chat
from proxy.upstream.sim import SimLine
from proxy.upstream.sim.reply import SimReply
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.base import Decoder, Target, Wire
from proxy.wires.gemini import GeminiWire
from proxy.wires.openai import OpenAIWire
from proxy.words.chat import Finished, TextDelta, UsageReport
from proxy.words.errors import Trouble

WIRES: list[Wire] = [OpenAIWire(), AnthropicWire(), GeminiWire()]
each_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.language)


async def post(wire: Wire, model: str, **more: Any) -> SimReply:
    call = read_chat({"messages": [{"role": "user", "content": "Hello, world"}], **more})
    outgoing = wire.encode(call, Target(model))
    return await SimLine().post(outgoing.path, wire.headers(None), outgoing.body)


class Answer:
    """What a wire's decoder makes of a reply, with the time of each read."""

    def __init__(self, wire: Wire) -> None:
        self.decoder: Decoder = wire.decoder()
        self.events: list[Any] = []
        self.times: list[float] = []

    async def read(self, reply: SimReply) -> Answer:
        start = trio.current_time()
        while data := await reply.read():
            self.times.append(trio.current_time() - start)
            self.events += [event for frame in self.decoder.feed(data) for event in frame.events]
        self.events += [event for frame in self.decoder.close() for event in frame.events]
        return self

    def all(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@each_wire
@pytest.mark.parametrize("after", [0, 1, 3])
async def test_an_error_comes_after_so_many_chunks(wire: Wire, after: int) -> None:
    got = await Answer(wire).read(await post(wire, f"lorem:tokens=3,error={after}"))
    assert len(got.all(TextDelta)) == after
    assert got.decoder.failure is not None
    assert (got.decoder.failure.trouble, got.decoder.complete) == ("failed", False)


@each_wire
@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_cut_drops_the_connection(wire: Wire, after: int) -> None:
    got = Answer(wire)
    with pytest.raises(httpx.ReadError):
        await got.read(await post(wire, f"lorem:tokens=9,cut={after}"))
    assert (len(got.all(TextDelta)), got.decoder.complete) == (after, False)


@each_wire
@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_stall_says_nothing_more(
    wire: Wire, after: int, autojump_clock: trio.testing.MockClock
) -> None:
    got = Answer(wire)
    with trio.move_on_after(3600) as patience:
        await got.read(await post(wire, f"lorem:tokens=9,stall={after}"))
    assert patience.cancelled_caught
    assert len(got.all(TextDelta)) == after


@each_wire
async def test_tokens_keep_their_pace(wire: Wire, autojump_clock: trio.testing.MockClock) -> None:
    got = await Answer(wire).read(await post(wire, "lorem:ttft=1,tps=4,tokens=3"))
    assert got.times[:3] == [1.0, 1.25, 1.5]
    assert len(got.all(TextDelta)) == 3


@each_wire
async def test_usage_can_be_kept_back(wire: Wire) -> None:
    got = await Answer(wire).read(await post(wire, "echo:usage=0"))
    assert got.all(UsageReport) == []
    assert [event.reason for event in got.all(Finished)] == ["stop"]
    assert got.decoder.complete


@each_wire
@pytest.mark.parametrize(
    ("model", "status", "trouble", "wait"),
    [
        ("nonsense", 404, "gone", None),
        ("echo:fail=401", 401, "auth", None),
        ("echo:fail=429,retry_after=7", 429, "rate_limited", 7),
        ("echo:fail=500", 500, "failed", None),
        ("echo:fail=529,retry_after=3", 529, "failed", 3),
        ("echo:fail=400", 400, "rejected", None),
    ],
)
async def test_failures_are_each_protocols_own(
    wire: Wire, model: str, status: int, trouble: Trouble, wait: int | None
) -> None:
    reply = await post(wire, model)
    assert reply.status == status
    error = wire.failure(status, reply.headers, await reply.read(), 0)
    assert (error.trouble, error.retry_after) == (trouble, wait)


@pytest.mark.parametrize(
    "path",
    [
        "/chat/completions",
        "/messages",
        "/models/echo:generateContent",
        "/v1/messages/count_tokens",
        "/v1/nowhere",
    ],
)
async def test_what_is_no_request_is_refused_as_each_protocol_refuses(path: str) -> None:
    reply = await SimLine().post(path, (), b"[]")
    assert reply.status == (404 if path == "/v1/nowhere" else 400)
    assert b'"error"' in await reply.read()


async def test_a_whole_answer_keeps_the_pace_of_its_pieces(autojump_clock: trio.testing.MockClock) -> None:
    body = b'{"model": "lorem:ttft=1,tps=4,tokens=3", "messages": [{"role": "user", "content": "hi"}]}'
    reply = await SimLine().post("/v1/chat/completions", (), body)
    start = trio.current_time()
    assert b'"the sun may "' in await reply.read()
    assert trio.current_time() - start == 1.75
    assert await reply.read() == b""
