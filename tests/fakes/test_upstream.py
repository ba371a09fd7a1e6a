"""Each script does on the wire what it says, as seen by the raw client."""

from __future__ import annotations

import json
import math
import ssl
import zlib
from typing import Any

import pytest
import trio
import trio.lowlevel
import trustme
from anthropic.types import RawMessageStreamEvent
from google.genai import types
from pydantic import TypeAdapter

from tests.fakes import script as say
from tests.fakes.client import Client, abort_after, chat, post, streaming, text_of
from tests.fakes.script import Script
from tests.fakes.upstream import NO_SUCH_HOST, Barrier, FaultyUpstream, black_hole, refusing

CHAT = "/chat/completions"
DONE = b"[DONE]"


async def read_out(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


async def test_a_healthy_stream(upstream: FaultyUpstream) -> None:
    answer = await post(upstream.base_url, CHAT, chat("m1", usage=True, max_tokens=5), key="sk-up")
    assert (answer.status, answer.complete) == (200, True)
    assert answer.headers["content-type"] == "text/event-stream"
    *chunks, done = answer.payloads
    parsed = [json.loads(chunk) for chunk in chunks]
    assert done == DONE
    assert text_of(chunks) == "the " * 5
    assert parsed[0]["choices"][0]["delta"]["role"] == "assistant"
    assert parsed[-2]["choices"][0]["finish_reason"] == "stop"
    assert parsed[-1]["choices"] == []
    assert parsed[-1]["usage"] == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert all(chunk["usage"] is None for chunk in parsed[:-1])
    seen = await upstream.wait_request(1)
    assert (seen.path, seen.json["model"], seen.key, seen.tokens_sent) == ("/v1" + CHAT, "m1", "sk-up", 5)
    await upstream.wait_closed(1)
    assert seen.answered.is_set()
    assert not seen.aborted


async def test_no_usage_unless_asked(upstream: FaultyUpstream) -> None:
    upstream.script(Script(), Script(usage_unasked=True), Script(usage=None))
    plain = await post(upstream.base_url, CHAT, chat())
    unasked = await post(upstream.base_url, CHAT, chat())
    never = await post(upstream.base_url, CHAT, chat(usage=True))
    assert b"usage" not in plain.body + never.body
    assert b"usage" in unasked.body


@pytest.mark.parametrize("place", ["own", "finish", "last_content", "every"])
async def test_where_usage_stands(upstream: FaultyUpstream, place: str) -> None:
    upstream.script(Script(tokens=3, usage_at=place, usage_null=False))  # type: ignore[arg-type]
    answer = await post(upstream.base_url, CHAT, chat(usage=True))
    chunks = [json.loads(chunk) for chunk in answer.payloads[:-1]]
    holders = [index for index, chunk in enumerate(chunks) if "usage" in chunk]
    assert holders == {"own": [5], "finish": [4], "last_content": [3], "every": [1, 2, 3]}[place]
    assert chunks[holders[-1]]["usage"]["completion_tokens"] == 3


@pytest.mark.fault("F63")
@pytest.mark.parametrize(
    "lie",
    [
        {"completion_tokens": -5},
        {"completion_tokens": 2.5},
        {"completion_tokens": 10**18},
        {"completion_tokens": "7"},
        {"prompt_tokens_details": {"cached_tokens": 11}},
    ],
)
async def test_usage_may_lie(upstream: FaultyUpstream, lie: dict[str, object]) -> None:
    upstream.script(Script(usage=lie))
    answer = await post(upstream.base_url, CHAT, chat(usage=True))
    usage = json.loads(answer.payloads[-2])["usage"]
    assert {name: usage[name] for name in lie} == lie


async def test_a_whole_answer(upstream: FaultyUpstream) -> None:
    answer = await post(upstream.base_url, CHAT, chat(stream=False, max_tokens=2, n=2))
    assert answer.complete
    assert [choice["message"]["content"] for choice in answer.json["choices"]] == ["the the "] * 2
    assert answer.json["usage"]["completion_tokens"] == 4


async def test_scripts_by_model_queue_and_default(upstream: FaultyUpstream) -> None:
    upstream.by_model = {"bad": say.error(500)}
    upstream.script(say.error(503))
    found = [(await post(upstream.base_url, CHAT, chat(model))).status for model in ("bad", "bad", "good")]
    assert found == [503, 500, 200]
    assert upstream.hits == 3


async def test_tokens_wait_for_the_test(upstream: FaultyUpstream) -> None:
    turn = trio.Semaphore(0)
    upstream.script(Script(tokens=3, gap=turn, role=False))
    async with streaming(upstream.base_url, CHAT, chat()) as client:
        assert text_of(await client.payloads(1)) == "the "
        for k in (1, 2):
            assert upstream.requests[0].tokens_sent == k
            turn.release()
            assert text_of(await client.payloads(1)) == "the "
        assert (await client.payloads())[-1] == DONE


async def test_a_barrier_and_an_event_before_the_head(upstream: FaultyUpstream) -> None:
    barrier, later = Barrier(2), trio.Event()
    upstream.default = Script(before_head=barrier.wait, before_first=later)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(post, upstream.base_url, CHAT, chat())
        await barrier.open.wait()
        assert all(seen.bytes_sent < 200 for seen in upstream.requests)
        later.set()
    assert upstream.connections == 2


@pytest.mark.fault("F54", "F55")
@pytest.mark.parametrize(
    ("script", "texts"),
    [
        (Script(before_first=say.STALL), 0),
        (say.broken(3, "stall"), 3),
        (Script(tokens=3, at=((3, "stall"),)), 3),
        (Script(tokens=3, after_finish=("stall",)), 3),
        (Script(tokens=3, done=0, ending="stall"), 3),
    ],
)
async def test_a_stall_lasts_and_the_client_leaving_is_seen(
    upstream: FaultyUpstream, script: Script, texts: int
) -> None:
    upstream.script(script)
    async with streaming(upstream.base_url, CHAT, chat()) as client:
        found: list[bytes] = []
        with trio.move_on_after(0.05):
            while (payload := await client.payload()) is not None:
                found.append(payload)
        assert text_of(found) == "the " * texts
        assert DONE not in found
    seen = await upstream.wait_closed(1)
    assert seen.aborted
    assert seen.tokens_sent == texts


@pytest.mark.fault("F5")
@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_leaving_after_k_payloads_is_logged(upstream: FaultyUpstream, how: str) -> None:
    turn = trio.Semaphore(2)
    upstream.script(Script(tokens=8, gap=turn, role=False))
    before = trio.current_time()
    found = await abort_after(upstream.base_url, CHAT, chat(), 3, how=how)  # type: ignore[arg-type]
    seen = await upstream.wait_closed(1)
    assert len(found) == 3
    assert (seen.closed_by, seen.aborted, seen.tokens_sent) == (how, True, 3)
    assert seen.closed_at is not None
    assert before <= seen.arrived_at <= seen.closed_at <= trio.current_time()
    assert seen.closed_monotonic is not None
    assert seen.closed_monotonic >= seen.arrived_monotonic


@pytest.mark.fault("F8")
async def test_a_half_close_is_seen_and_ends_the_answer(upstream: FaultyUpstream) -> None:
    upstream.script(say.broken(2, "stall"))
    async with streaming(upstream.base_url, CHAT, chat()) as client:
        await upstream.wait_tokens(2)
        await client.half_close()
        seen = await upstream.wait_closed(1)
        assert seen.closed_by == "fin"
        assert len(await client.payloads()) == 3
        assert not client.answer.complete


@pytest.mark.fault("F56", "F57")
@pytest.mark.parametrize("how", ["rst", "fin", "truncate"])
@pytest.mark.parametrize("k", [0, 3])
async def test_broken_streams(upstream: FaultyUpstream, how: say.Ending, k: int) -> None:
    upstream.script(say.broken(k, how))
    answer = await post(upstream.base_url, CHAT, chat())
    assert not answer.complete
    if how != "rst":  # A reset may overtake what was sent before it.
        assert text_of(answer.payloads) == "the " * k
    assert b'finish_reason": "' not in answer.body
    assert upstream.requests[0].tokens_sent == k


async def test_a_reset_is_a_reset(upstream: FaultyUpstream) -> None:
    upstream.script(say.broken(1, "rst"))
    async with Client(upstream.base_url) as client:
        await client.request(CHAT, chat())
        await upstream.wait_closed(1)
        assert client._raw is not None
        with pytest.raises(trio.BrokenResourceError):
            await read_out(client._raw)


@pytest.mark.fault("F56", "F57")
@pytest.mark.parametrize("how", ["rst", "fin"])
async def test_a_connection_that_ends_with_no_byte_of_an_answer(upstream: FaultyUpstream, how: Any) -> None:
    upstream.script(Script(unanswered=how))
    async with Client(upstream.base_url) as client:
        await client.request(CHAT, chat())
        with pytest.raises(EOFError):
            await client.head()
    seen = await upstream.wait_request()
    assert (seen.bytes_sent, seen.tokens_sent) == (0, 0)


@pytest.mark.fault("F57", "F58")
async def test_ends_without_done(upstream: FaultyUpstream) -> None:
    upstream.script(
        Script(done=0, framing="close", ending="fin"),
        Script(done=0, framing="close", finish=None, usage=None, ending="fin"),
        Script(done=0),
    )
    fin, unfinished, ended = [await post(upstream.base_url, CHAT, chat()) for _ in range(3)]
    assert fin.complete
    assert "content-length" not in fin.headers
    assert b'"finish_reason": "stop"' in fin.body
    assert b'"finish_reason": "stop"' not in unfinished.body
    assert ended.complete
    assert all(b"[DONE]" not in answer.body for answer in (fin, unfinished, ended))


@pytest.mark.fault("F60", "F65")
@pytest.mark.parametrize("k", [0, 2])
async def test_bad_frames(upstream: FaultyUpstream, k: int) -> None:
    upstream.script(say.invalid_line(k), say.error_frame(k, "CANARY", "overloaded"))
    invalid = (await post(upstream.base_url, CHAT, chat())).payloads
    failed = await post(upstream.base_url, CHAT, chat())
    place = k + (k > 0)
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(invalid[place])
    assert invalid[-1] == DONE
    assert len(failed.payloads) == place + 1
    assert json.loads(failed.payloads[-1])["error"]["code"] == "overloaded"
    assert failed.complete


@pytest.mark.fault("F64", "F66", "F67", "F68", "F69", "F70", "F71", "F72")
@pytest.mark.parametrize(
    ("script", "status", "header"),
    [
        *((say.error(status), status, None) for status in (400, 401, 403, 404, 500, 502, 503, 529)),
        (say.limited(), 429, None),
        *((say.limited(wait), 429, ("retry-after", wait)) for wait in ("7", "1000000000", "-3", "soon")),
        (say.limited("1500", "retry-after-ms"), 429, ("retry-after-ms", "1500")),
        (say.limited("Fri, 31 Dec 1999 23:59:59 GMT"), 429, ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")),
        (say.redirect("http://127.0.0.1:1/x"), 302, ("location", "http://127.0.0.1:1/x")),
        (say.whole(b"<html>", content_type="text/html"), 200, ("content-type", "text/html")),
        (say.whole(say.error_object()), 200, ("content-type", "application/json")),
    ],
)
async def test_whole_answers(
    upstream: FaultyUpstream, script: Script, status: int, header: tuple[str, str] | None
) -> None:
    upstream.script(script)
    async with Client(upstream.base_url) as client:
        await client.request(CHAT, chat())
        answer = await client.whole()
        assert (answer.status, answer.complete) == (status, True)
        assert header is None or answer.headers[header[0]] == header[1]
        if answer.headers["content-type"] == "application/json":
            assert answer.error["message"] == "boom" or status == 429
        # The connection lives.
        await client.request(CHAT, chat())
        assert (await client.whole()).payloads[-1] == DONE
    assert upstream.per_connection == {1: 2}


@pytest.mark.fault("F73")
async def test_a_long_line_is_made_lazily(upstream: FaultyUpstream) -> None:
    upstream.script(say.long_line(64 * 2**20))
    async with streaming(upstream.base_url, CHAT, chat()) as client:
        while len(client.answer.body) < 2**20:
            assert b"\n" not in await client.some()
    seen = await upstream.wait_closed(1)
    assert seen.aborted
    assert seen.bytes_sent < 32 * 2**20


@pytest.mark.fault("F74", "F75")
async def test_endless_streams(upstream: FaultyUpstream) -> None:
    upstream.script(Script(tokens=say.ENDLESS), say.only_comments(gap=0.0))
    assert text_of(await abort_after(upstream.base_url, CHAT, chat(), 101)) == "the " * 100
    async with streaming(upstream.base_url, CHAT, chat()) as client:
        while len(client.answer.body) < 10_000:
            await client.some()
        assert client.answer.payloads == []
    assert (await upstream.wait_closed(1)).aborted
    assert (await upstream.wait_closed(2)).aborted


@pytest.mark.fault("F76")
async def test_more_after_done(upstream: FaultyUpstream) -> None:
    upstream.script(Script(tokens=1, done=2, after_done=say.frame({"late": True})))
    answer = await post(upstream.base_url, CHAT, chat())
    assert answer.payloads[-3:] == [DONE, DONE, b'{"late": true}']


@pytest.mark.fault("F77")
async def test_gzip(upstream: FaultyUpstream) -> None:
    upstream.script(Script(gzip=True, tokens=4), say.gzip_bomb(8 * 2**20))
    small = await post(upstream.base_url, CHAT, chat())
    bomb = await post(upstream.base_url, CHAT, chat())
    assert small.headers["content-encoding"] == bomb.headers["content-encoding"] == "gzip"
    small.body = zlib.decompress(small.body, 31)
    assert text_of(small.payloads) == "the " * 4
    assert len(bomb.body) * 100 < len(zlib.decompress(bomb.body, 31)) == 8 * 2**20


@pytest.mark.fault("F78")
async def test_heads_that_are_too_much(upstream: FaultyUpstream) -> None:
    upstream.script(Script(headers=(("X-Big", "a" * 2**20),)), Script(interim=1000))
    big = await post(upstream.base_url, CHAT, chat())
    early = await post(upstream.base_url, CHAT, chat())
    assert len(big.head) > 2**20
    assert early.interim == [103] * 1000
    assert early.payloads[-1] == DONE


@pytest.mark.fault("F78")
@pytest.mark.parametrize(("off", "complete"), [(10, False), (-2, True)])
async def test_a_wrong_content_length(upstream: FaultyUpstream, off: int, complete: bool) -> None:
    upstream.script(
        Script(body=b'{"a": 1}', content_type="application/json", framing="length", length_off=off)
    )
    async with Client(upstream.base_url) as client:
        await client.request(CHAT, chat())
        answer = await client.whole()
        assert answer.headers["content-length"] == str(8 + off)
        assert answer.complete is complete
        assert bytes(client._buffer) == (b"" if off > 0 else b" 1}"[-2:])


@pytest.mark.fault("F79")
async def test_stale_connections(upstream: FaultyUpstream) -> None:
    upstream.script(Script(keep="quiet"), Script(keep="next"), Script(keep="announced"))
    async with Client(upstream.base_url) as client:
        await client.request(CHAT, chat())
        assert "connection" not in (await client.whole()).headers
        assert await client.at_end()
    async with Client(upstream.base_url) as client:
        await client.request(CHAT, chat())
        assert (await client.whole()).complete
        await client.request(CHAT, chat())
        with pytest.raises(EOFError, match="b''"):
            await client.head()
    async with Client(upstream.base_url) as client:
        await client.request(CHAT, chat())
        assert (await client.whole()).headers["connection"] == "close"
        assert await client.at_end()
    assert [seen.dropped for seen in upstream.requests] == [False, False, True, False]
    assert [seen.connection for seen in upstream.requests] == [1, 2, 2, 3]


@pytest.mark.fault("F59")
@pytest.mark.parametrize(
    "look",
    [
        Script(segment=1),
        Script(segment=7, line_end=b"\r\n"),
        Script(line_end=b"\r"),
        Script(line_end=b"\r\n", comments=True),
        Script(bom=True, space=False),
        Script(framing="close"),
    ],
)
async def test_looks_differ_and_payloads_do_not(upstream: FaultyUpstream, look: Script) -> None:
    upstream.script(Script(), look)
    plain, other = [await post(upstream.base_url, CHAT, chat(max_tokens=3)) for _ in range(2)]
    assert other.complete
    other.body = other.body.removeprefix(b"\xef\xbb\xbf")
    ours = [json.loads(one) | {"id": 0} for one in other.payloads[:-1]]
    assert ours == [json.loads(one) | {"id": 0} for one in plain.payloads[:-1]]
    assert look.bom or other.body != plain.body or look.framing == "close" or look.segment == 1


@pytest.mark.fault("F59")
async def test_multiline_data(upstream: FaultyUpstream) -> None:
    upstream.script(Script(multiline=True, tokens=2))
    answer = await post(upstream.base_url, CHAT, chat())
    assert answer.body.count(b"data: ") > 20
    assert text_of(answer.payloads) == "the " * 2


async def test_other_kinds_of_delta(upstream: FaultyUpstream) -> None:
    kinds: tuple[say.Kind, ...] = ("tool_calls", "reasoning_content", "refusal")
    upstream.script(*(Script(kind=kind, tokens=2) for kind in kinds), Script(logprobs=True, tokens=2))
    calls, thought, refusal, logprobs = [await post(upstream.base_url, CHAT, chat()) for _ in range(4)]
    deltas = [json.loads(one)["choices"][0]["delta"] for one in calls.payloads[1:3]]
    assert deltas[0]["tool_calls"][0]["function"] == {"name": "look", "arguments": "the "}
    assert deltas[1]["tool_calls"] == [{"index": 0, "function": {"arguments": "the "}}]
    assert (
        text_of(thought.payloads, "reasoning_content") == text_of(refusal.payloads, "refusal") == "the the "
    )
    assert json.loads(logprobs.payloads[1])["choices"][0]["logprobs"]["content"][0]["token"] == "the "


async def test_several_choices(upstream: FaultyUpstream) -> None:
    answer = await post(upstream.base_url, CHAT, chat(n=3, max_tokens=2, usage=True))
    assert [text_of(answer.payloads, choice=choice) for choice in range(3)] == ["the the "] * 3
    assert answer.body.count(b'"finish_reason": "stop"') == 3
    assert json.loads(answer.payloads[-2])["usage"]["completion_tokens"] == 6
    assert upstream.requests[0].tokens_sent == 6


async def test_a_chunked_request_is_read(upstream: FaultyUpstream) -> None:
    async with Client(upstream.base_url) as client:
        head = f"POST /v1{CHAT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        await client.send(head + b'9\r\n{"model":\r\n4\r\n"m"}\r\n0\r\n\r\n')
        assert (await client.whole()).status == 200
    assert upstream.requests[0].json == {"model": "m"}


async def test_serving_in_a_nursery_of_the_test() -> None:
    async with trio.open_nursery() as nursery:
        up: FaultyUpstream = await nursery.start(FaultyUpstream(Script(tokens=1)).serve)
        assert text_of((await post(up.base_url, CHAT, chat())).payloads) == "the "
        nursery.cancel_scope.cancel()


@pytest.mark.fault("F53")
async def test_tls_with_a_certificate_nobody_knows() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting, strange = ssl.create_default_context(), ssl.create_default_context()
    authority.configure_trust(trusting)
    async with FaultyUpstream(tls=context) as up:
        async with Client(up.base_url, tls=trusting) as client:
            await client.request(CHAT, chat())
            assert (await client.whole()).payloads[-1] == DONE
        async with Client(up.base_url, tls=strange) as client:
            with pytest.raises(trio.BrokenResourceError):
                await client.request(CHAT, chat())
        assert up.hits == 1


@pytest.mark.fault("F49", "F50", "F52")
async def test_places_that_do_not_answer() -> None:
    with refusing() as url, pytest.raises(OSError, match="all attempts to connect"):
        await post(url, CHAT, chat())
    with black_hole() as url, trio.move_on_after(0.1) as patience:
        await post(url, CHAT, chat())
    assert patience.cancelled_caught
    assert NO_SUCH_HOST.endswith(".invalid/v1")


async def test_nothing_stays_open(upstream: FaultyUpstream) -> None:
    upstream.default = say.broken(1, "stall")
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(abort_after, upstream.base_url, CHAT, chat(), 2)
    for number in range(1, 21):
        await upstream.wait_closed(number)
    await upstream.wait_idle()
    assert upstream.connections == 20
    assert math.isfinite(upstream.requests[0].closed_at or math.inf)


PLACES = {
    "anthropic": "/messages",
    "gemini": "/models/m:streamGenerateContent?alt=sse",
}


@pytest.mark.parametrize("wire", list(PLACES))
async def test_what_it_says_in_other_protocols_is_known_to_their_sdks(
    upstream: FaultyUpstream, wire: str
) -> None:
    upstream.script(Script(tokens=3))
    answer = await post(upstream.base_url, PLACES[wire], {"stream": True})
    events = [json.loads(payload) for payload in answer.payloads]
    if wire == "gemini":
        read = [types.GenerateContentResponse.model_validate(event) for event in events]
        assert "".join(response.text or "" for response in read) == "the " * 3
        assert read[-1].usage_metadata is not None
        assert read[-1].usage_metadata.total_token_count == 13
        return
    assert events.pop(1) == {"type": "ping"}
    known: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
    kinds = [known.validate_python(event).type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[2:] == ["content_block_delta"] * 3 + ["content_block_stop", "message_delta", "message_stop"]
    named = [line for line in answer.body.split(b"\n") if line.startswith(b"event: ")]
    assert named == [b"event: " + kind.encode() for kind in ["message_start", "ping", *kinds[1:]]]


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        ("anthropic", {"type": "overloaded_error", "message": "boom"}),
        ("gemini", {"code": 529, "message": "boom", "status": "INTERNAL"}),
    ],
)
async def test_it_fails_in_other_protocols_too(
    upstream: FaultyUpstream, wire: str, error: dict[str, object]
) -> None:
    upstream.script(say.error(529), say.error_frame(1), say.invalid_line(1))
    whole = await post(upstream.base_url, PLACES[wire], {"stream": True})
    assert (whole.status, whole.json["error"]) == (529, error)
    late = await post(upstream.base_url, PLACES[wire], {"stream": True})
    assert "error" in json.loads(late.payloads[-1])
    broken = await post(upstream.base_url, PLACES[wire], {"stream": True})
    assert any(b"CANARY" in payload for payload in broken.payloads)
