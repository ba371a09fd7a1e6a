"""A Messages stream becomes the same frames however it is cut, and ends only as its protocol says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wires.anthropic_stream import AnthropicDecoder
from proxy.words.anthropic import FORMAT
from proxy.words.chat import (
    CONTENT,
    Event,
    Finished,
    Frame,
    ReasoningDelta,
    ReasoningPart,
    ReasoningSealed,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from proxy.words.errors import UpstreamError
from proxy.words.usage import Usage

from .anthropic_kit import PING, begin, delta, end, error, event, sse, start, stop, text, thinking, tool

BEGIN = Started("msg_1", "claude-x", 0)
USED = UsageReport(Usage(input=25, output=15))
Read = tuple[list[Frame], AnthropicDecoder]


def read(*pieces: bytes) -> Read:
    decoder = AnthropicDecoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return frames + decoder.close(), decoder


def events(frames: Iterable[Frame]) -> list[Event]:
    return [event for frame in frames for event in frame.events]


CITED = {"type": "char_location", "cited_text": "x", "document_index": 0}
SEARCH = {"id": "srvtoolu_1", "name": "web_search", "input": {}}
FOUND = {"tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result", "url": "https://x.test"}]}
GOLDEN: dict[str, tuple[bytes, list[Event]]] = {
    "text, with a ping": (
        sse(start(), begin(0, "text", text=""), PING, *text("Hel", "lo")[1:], *stop()),
        [BEGIN, TextDelta("Hel"), TextDelta("lo"), USED, Finished("stop")],
    ),
    "beyond ASCII": (
        sse(start(), *text("Hé✓", "🎉"), *stop("max_tokens")),
        [BEGIN, TextDelta("Hé✓"), TextDelta("🎉"), USED, Finished("length")],
    ),
    "thinking, then text": (
        sse(start(), *thinking("Let ", "me see"), *text("4", index=1), *stop()),
        [
            BEGIN,
            ReasoningDelta(""),
            ReasoningDelta("Let "),
            ReasoningDelta("me see"),
            ReasoningSealed(ReasoningPart("Let me see", "c2ln", format=FORMAT)),
            TextDelta("4"),
            USED,
            Finished("stop"),
        ],
    ),
    "thinking that is kept from us": (
        sse(start(), *thinking(), *text("4", index=1), *stop()),
        [
            BEGIN,
            ReasoningDelta(""),
            ReasoningSealed(ReasoningPart("", "c2ln", format=FORMAT)),
            TextDelta("4"),
            USED,
            Finished("stop"),
        ],
    ),
    "thinking without a signature": (
        sse(start(), *thinking("Hm", signature=""), *text("4", index=1), *stop()),
        [BEGIN, ReasoningDelta(""), ReasoningDelta("Hm"), TextDelta("4"), USED, Finished("stop")],
    ),
    "a signature in two pieces": (
        sse(
            start(),
            begin(0, "thinking", thinking="Hm", signature="c2"),
            delta(0, "signature_delta", signature="ln"),
            end(0),
            *stop(),
        ),
        [
            BEGIN,
            ReasoningDelta("Hm"),
            ReasoningSealed(ReasoningPart("Hm", "c2ln", format=FORMAT)),
            USED,
            Finished("stop"),
        ],
    ),
    "redacted thinking": (
        sse(start(), begin(0, "redacted_thinking", data="ZW5j"), end(0), *text("4", index=1), *stop()),
        [
            BEGIN,
            ReasoningSealed(ReasoningPart(redacted="ZW5j", format=FORMAT)),
            TextDelta("4"),
            USED,
            Finished("stop"),
        ],
    ),
    "text, then a tool": (
        sse(
            start(),
            *text("Let me look."),
            *tool(1, "toolu_1", "get_weather", "", '{"loc', 'ation": "Paris"}'),
            *stop("tool_use"),
        ),
        [
            BEGIN,
            TextDelta("Let me look."),
            ToolCallDelta(0, "toolu_1", "get_weather", ""),
            ToolCallDelta(0, None, None, '{"loc'),
            ToolCallDelta(0, None, None, 'ation": "Paris"}'),
            USED,
            Finished("tool_calls"),
        ],
    ),
    "two tools, one without arguments": (
        sse(start(), *tool(0, "t0", "now"), *tool(1, "t1", "f", '{"a":', "1}"), *stop("tool_use")),
        [
            BEGIN,
            ToolCallDelta(0, "t0", "now", ""),
            ToolCallDelta(0, None, None, "{}"),
            ToolCallDelta(1, "t1", "f", ""),
            ToolCallDelta(1, None, None, '{"a":'),
            ToolCallDelta(1, None, None, "1}"),
            USED,
            Finished("tool_calls"),
        ],
    ),
    "arguments in one piece at the start": (
        sse(start(), begin(0, "tool_use", id="t0", name="f", input={"a": 1}), end(0), *stop("tool_use")),
        [
            BEGIN,
            ToolCallDelta(0, "t0", "f", ""),
            ToolCallDelta(0, None, None, '{"a":1}'),
            USED,
            Finished("tool_calls"),
        ],
    ),
    "the provider's own tools are no calls": (
        sse(
            start(),
            begin(0, "server_tool_use", **SEARCH),
            delta(0, "input_json_delta", partial_json='{"query": "x"}'),
            end(0),
            begin(1, "web_search_tool_result", **FOUND),
            end(1),
            *text("Found.", index=2),
            *tool(3, "t0", "f", "{}"),
            *stop("pause_turn"),
        ),
        [
            BEGIN,
            TextDelta("Found."),
            ToolCallDelta(0, "t0", "f", ""),
            ToolCallDelta(0, None, None, "{}"),
            USED,
            Finished("pause_turn"),
        ],
    ),
    "citations": (
        sse(
            start(),
            begin(0, "text", text="", citations=[]),
            delta(0, "citations_delta", citation=CITED),
            delta(0, "text_delta", text="x"),
            end(0),
            *stop(),
        ),
        [BEGIN, TextDelta("x"), USED, Finished("stop")],
    ),
    "a refusal, explained": (
        sse(
            start(),
            *stop("refusal", stop_details={"type": "refusal", "category": "bio", "explanation": "No."}),
        ),
        [BEGIN, USED, RefusalDelta("No."), Finished("content_filter")],
    ),
    "a refusal, unexplained": (
        sse(start(), *stop("refusal", stop_details=None)),
        [BEGIN, USED, Finished("content_filter")],
    ),
    "two deltas of the message": (
        sse(
            start(),
            *text("a"),
            event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 9}),
            *stop("stop_sequence", stop_sequence="."),
        ),
        [BEGIN, TextDelta("a"), UsageReport(Usage(input=25, output=9)), USED, Finished("stop")],
    ),
    "no usage at the end": (
        sse(
            start(),
            *text("a"),
            event("message_delta", delta={"stop_reason": "end_turn"}),
            event("message_stop"),
        ),
        [BEGIN, TextDelta("a"), Finished("stop")],
    ),
    "unknown events, blocks and deltas": (
        sse(
            start(),
            event("content_block_compacted", index=0, how={"deep": [1]}),
            begin(0, "hologram", light="x"),
            delta(0, "light_delta", light="y"),
            end(0),
            *text("a", index=1),
            delta(1, "mood_delta", mood=7),
            *stop("bored"),
        ),
        [BEGIN, TextDelta("a"), USED, Finished("bored")],
    ),
    "CRLF, comments, and data without a space": (
        b": hi\r\n\r\n"
        + sse(start(), *text("a"), *stop()).replace(b"data: ", b"data:").replace(b"\n", b"\r\n"),
        [BEGIN, TextDelta("a"), USED, Finished("stop")],
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    stream, expected = GOLDEN[name]
    frames, decoder = read(stream)
    assert events(frames) == expected
    assert decoder.failure is None
    assert decoder.complete
    assert all(frame.body == orjson.loads(frame.payload) for frame in frames)


@pytest.mark.fault("F59")
@pytest.mark.parametrize("name", GOLDEN)
def test_every_split_in_two_and_single_bytes_give_the_same_frames(name: str) -> None:
    stream, _ = GOLDEN[name]
    whole, _ = read(stream)
    for place in range(1, len(stream)):
        assert read(stream[:place], stream[place:])[0] == whole
    assert read(*[stream[place : place + 1] for place in range(len(stream))])[0] == whole


@pytest.mark.parametrize("name", GOLDEN)
def test_every_event_is_a_frame_so_that_a_client_of_the_same_language_misses_none(name: str) -> None:
    stream, _ = GOLDEN[name]
    sent = [line[5:].strip() for line in stream.splitlines() if line.startswith(b"data:")]
    assert [frame.payload for frame in read(stream)[0]] == sent


def test_what_an_answer_ends_and_counts_in_is_not_plain() -> None:
    sent = [start(), *text("a"), PING, *stop()]
    frames, _ = read(sse(*sent))
    plain = {"content_block_start", "content_block_delta", "content_block_stop", "ping"}
    assert [frame.plain for frame in frames] == [each["type"] in plain for each in sent]


@pytest.mark.fault("F59")
def test_a_payload_of_several_data_lines_is_not_plain_as_it_could_not_be_framed_as_it_came() -> None:
    lines = orjson.dumps(delta(0, "text_delta", text="a"), option=orjson.OPT_INDENT_2).split(b"\n")
    frames, _ = read(b"".join([b"data: " + line + b"\n" for line in lines]) + b"\n")
    assert (frames[0].events, frames[0].plain) == ((TextDelta("a"),), False)


@pytest.mark.parametrize("name", ["thinking that is kept from us", "redacted thinking"])
def test_a_model_that_thinks_unheard_has_begun_to_answer(name: str) -> None:
    stream, _ = GOLDEN[name]
    frames, _ = read(stream)
    assert any(isinstance(event, CONTENT) for event in frames[1].events)


STOPPED = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1})
HALTED = event("message_stop")


@pytest.mark.parametrize(
    ("sent", "complete", "done"),
    [
        ((), False, False),
        ((start(),), False, False),
        ((start(), *text("a")), False, False),
        ((start(), *text("a"), STOPPED), False, False),
        ((start(), *text("a"), HALTED), False, True),
        ((start(), *text("a"), *stop(None)), False, True),
        ((start(), *text("a"), STOPPED, HALTED), True, True),
        ((start(), STOPPED, HALTED), True, True),
    ],
)
@pytest.mark.fault("F57")
def test_complete_is_a_reason_to_stop_and_the_stop(
    sent: tuple[dict[str, Any], ...], complete: bool, done: bool
) -> None:
    _, decoder = read(sse(*sent))
    assert (decoder.complete, decoder.done, decoder.failure) == (complete, done, None)


@pytest.mark.fault("F76")
@pytest.mark.parametrize("after", [sse(HALTED), sse(*text("more")), b"data: {\n\n", sse(error())])
def test_what_follows_the_stop_is_ignored(after: bytes) -> None:
    stream = sse(start(), *text("a"), *stop())
    for pieces in ((stream + after,), (stream, after)):
        frames, decoder = read(*pieces)
        assert events(frames) == [BEGIN, TextDelta("a"), USED, Finished("stop")]
        assert decoder.failure is None
        assert decoder.complete


@pytest.mark.fault("F73", "F76")
def test_an_endless_line_after_the_stop_is_no_failure() -> None:
    decoder = AnthropicDecoder()
    decoder.feed(sse(start(), *stop()))
    assert decoder.feed(b"x" * 2_000_000) == decoder.close() == []
    assert decoder.failure is None
    assert decoder.complete


@pytest.mark.fault("F73")
def test_a_line_without_end_breaks_the_protocol() -> None:
    decoder = AnthropicDecoder()
    decoder.feed(sse(start(), *text("a")))
    for _ in range(40):
        assert decoder.feed(b"x" * 65536) == []
    assert decoder.failure is not None
    assert decoder.failure.trouble == "protocol"
    assert decoder.close() == []


@pytest.mark.fault("F73")
def test_an_event_that_its_end_makes_too_long_is_told_of_at_the_end() -> None:
    decoder = AnthropicDecoder()
    half = b"data: " + b"x" * 600_000
    assert decoder.feed(half + b"\n" + half) == []
    assert decoder.failure is None
    assert decoder.close() == []
    assert isinstance(decoder.failure, UpstreamError)


BAD_PAYLOADS = {
    "cut JSON": b'{"type": "ping"',
    "text": b"Internal Server Error",
    "invalid UTF-8": b'{"type": "\xff"}',
    "array": b"[1]",
    "string": b'"hello"',
    "number": b"7",
    "null": b"null",
    "no message": b'{"type": "message_start"}',
    "message a string": b'{"type": "message_start", "message": "m"}',
    "no block": b'{"type": "content_block_start", "index": 0}',
    "block without a type": b'{"type": "content_block_start", "index": 0, "content_block": {}}',
    "block's text a number": orjson.dumps(begin(0, "text", text=7)),
    "tool without an id": orjson.dumps(begin(0, "tool_use", name="f")),
    "tool without a name": orjson.dumps(begin(0, "tool_use", id="t")),
    "redacted without data": orjson.dumps(begin(0, "redacted_thinking")),
    "index a string": orjson.dumps(begin("0", "text")),  # type: ignore[arg-type]
    "index true": orjson.dumps(begin(True, "text")),
    "no delta": b'{"type": "content_block_delta", "index": 0}',
    "delta a string": b'{"type": "content_block_delta", "index": 0, "delta": "a"}',
    "delta without a type": b'{"type": "content_block_delta", "index": 0, "delta": {"text": "a"}}',
    "text a number": orjson.dumps(delta(0, "text_delta", text=7)),
    "no text": orjson.dumps(delta(0, "text_delta")),
    "thinking of no block": orjson.dumps(delta(5, "thinking_delta", thinking="Hm")),
    "signature a number": orjson.dumps(delta(0, "signature_delta", signature=7)),
    "arguments an object": orjson.dumps(delta(0, "input_json_delta", partial_json={})),
    "arguments of no block": orjson.dumps(delta(5, "input_json_delta", partial_json="{}")),
    "no message delta": b'{"type": "message_delta", "usage": {"output_tokens": 1}}',
    "stop reason a number": b'{"type": "message_delta", "delta": {"stop_reason": 7}}',
    "stop details a string": orjson.dumps(stop("refusal", stop_details="x")[0]),
    "nested too deep": b'{"type": ' + b"[" * 2000 + b"]" * 2000 + b"}",
}


@pytest.mark.fault("F60", "F64")
@pytest.mark.parametrize("name", BAD_PAYLOADS)
def test_what_cannot_be_read_is_bad_content_and_earlier_frames_are_kept(name: str) -> None:
    stream = sse(start(), *text("a")) + b"data: " + BAD_PAYLOADS[name] + b"\n\n" + sse(*stop())
    frames, decoder = read(stream)
    assert events(frames) == [BEGIN, TextDelta("a")]
    assert decoder.failure is not None
    assert decoder.failure.trouble == "bad_content"
    assert not decoder.complete


class TestErrorEvents:
    KINDS: ClassVar[Sequence[tuple[str, str, int | None]]] = (
        ("overloaded_error", "failed", 529),
        ("api_error", "failed", 500),
        ("rate_limit_error", "rate_limited", 429),
        ("invalid_request_error", "rejected", 400),
        ("new_error", "failed", None),
    )

    @pytest.mark.fault("F65")
    @pytest.mark.parametrize(("kind", "trouble", "status"), KINDS)
    def test_one_ends_the_answer_and_what_came_before_is_kept(
        self, kind: str, trouble: str, status: int | None
    ) -> None:
        frames, decoder = read(sse(start(), *text("a"), error(kind), *stop()))
        assert events(frames) == [BEGIN, TextDelta("a")]
        assert decoder.failure is not None
        assert (decoder.failure.trouble, decoder.failure.status) == (trouble, status)
        assert not decoder.complete

    @pytest.mark.fault("F65")
    def test_first_it_leaves_no_frames(self) -> None:
        frames, decoder = read(sse(error(), start()))
        assert frames == []
        assert decoder.failure is not None

    @pytest.mark.fault("F64")
    def test_an_error_of_no_type_is_one_too(self) -> None:
        _, decoder = read(b'data: {"error": {"message": "Bad gateway"}}\n\n')
        assert decoder.failure is not None
        assert decoder.failure.trouble == "failed"


@given(st.binary(max_size=80), st.lists(st.integers(0, 400), max_size=4))
def test_any_bytes_are_read_without_an_exception(junk: bytes, places: list[int]) -> None:
    stream = sse(start(), *text("a")) + b"data: " + junk + b"\n\n"
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    frames, _ = read(*[stream[a:b] for a, b in pairwise(edges)])
    assert events(frames)[:2] == [BEGIN, TextDelta("a")]


KINDS = [
    *("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"),
    *("message_stop", "ping", "error", "text", "thinking", "redacted_thinking", "tool_use", "text_delta"),
    *("input_json_delta", "thinking_delta", "signature_delta", "citations_delta", "refusal", "api_error"),
]
MEMBERS = [
    *("type", "index", "message", "content_block", "delta", "usage", "error", "id", "name", "input", "text"),
    *("thinking", "signature", "data", "partial_json", "stop_reason", "stop_details", "explanation"),
    *("input_tokens", "output_tokens", "cache_creation", "output_tokens_details", "details", "error_code"),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", *KINDS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.tuples(st.sampled_from(KINDS), JSON), max_size=4), JSON)
def test_any_json_is_read_without_an_exception_and_gives_events_of_the_right_types(
    sent: list[tuple[str, Any]], last: Any
) -> None:
    decoder = AnthropicDecoder()
    payloads = [{**each, "type": kind} if isinstance(each, dict) else each for kind, each in sent]
    frames = decoder.feed(b"".join([b"data: " + orjson.dumps(each) + b"\n\n" for each in [*payloads, last]]))
    for each in events(frames + decoder.close()):
        for value in each:
            assert value is None or isinstance(value, str | int | Usage | ReasoningPart)
        if isinstance(each, ToolCallDelta):
            assert isinstance(each.arguments, str)
            assert each.name is None or isinstance(each.name, str)
