"""An OpenAI stream becomes the same frames however it is cut, and what cannot be true is not believed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wires.openai_stream import OpenAIDecoder
from proxy.wires.openai_usage import read_usage
from proxy.words.chat import (
    Event,
    Finished,
    Frame,
    OpaqueDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from proxy.words.errors import UpstreamError
from proxy.words.usage import MAX_TOKENS, Usage

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-x"}
BEGIN = Started("chatcmpl-1", "gpt-x", 1700000000)
DISTRUSTED = UsageReport(Usage(), trusted=False)


def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": list(choices), **more}


def choice(delta: Any, finish: Any = None, index: Any = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish, **more}


def text(piece: str, index: int = 0) -> dict[str, Any]:
    return chunk(choice({"content": piece}, index=index))


def end(reason: str = "stop", index: int = 0) -> dict[str, Any]:
    return chunk(choice({}, reason, index))


def sse(*chunks: Any) -> bytes:
    return b"".join([b"data: " + orjson.dumps(each) + b"\n\n" for each in chunks])


def call(position: int, arguments: str, name: str | None = None, id_: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"index": position, "function": function} | (
        {} if id_ is None else {"id": id_, "type": "function"}
    )


Read = tuple[list[Frame], OpenAIDecoder]


def read(*pieces: bytes) -> Read:
    decoder = OpenAIDecoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return frames + decoder.close(), decoder


def events(frames: Iterable[Frame]) -> list[Event]:
    return [event for frame in frames for event in frame.events]


USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
LOGPROBS = {"content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}]}
GOLDEN: dict[str, tuple[bytes, list[Event]]] = {
    "text": (
        sse(text("Hel"), text("lo"), end()) + b"data: [DONE]\n\n",
        [BEGIN, TextDelta("Hel"), TextDelta("lo"), Finished("stop")],
    ),
    "role first": (
        sse(chunk(choice({"role": "assistant", "content": ""})), text("Hé✓"), end("length")),
        [BEGIN, TextDelta("Hé✓"), Finished("length")],
    ),
    "one tool": (
        sse(
            chunk(choice({"role": "assistant", "tool_calls": [call(0, "", "f", "c1")]})),
            chunk(choice({"tool_calls": [call(0, '{"a"')]})),
            chunk(choice({"tool_calls": [call(0, ":1}")]})),
            end("tool_calls"),
        ),
        [
            BEGIN,
            ToolCallDelta(0, "c1", "f", ""),
            ToolCallDelta(0, None, None, '{"a"'),
            ToolCallDelta(0, None, None, ":1}"),
            Finished("tool_calls"),
        ],
    ),
    "parallel tools": (
        sse(
            chunk(choice({"tool_calls": [call(0, "{}", "f", "c1"), call(1, "[]", "g", "c2")]}, "tool_calls"))
        ),
        [BEGIN, ToolCallDelta(0, "c1", "f", "{}"), ToolCallDelta(1, "c2", "g", "[]"), Finished("tool_calls")],
    ),
    "tool without index": (
        sse(
            chunk(choice({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}, "stop"))
        ),
        [BEGIN, ToolCallDelta(0, "c", "f", "{}"), Finished("stop")],
    ),
    "function_call, the old way": (
        sse(
            chunk(choice({"function_call": {"name": "f", "arguments": ""}})),
            chunk(choice({"function_call": {"arguments": "{}"}})),
            end("function_call"),
        ),
        [
            BEGIN,
            ToolCallDelta(0, None, "f", ""),
            ToolCallDelta(0, None, None, "{}"),
            Finished("function_call"),
        ],
    ),
    "reasoning_content": (
        sse(chunk(choice({"content": None, "reasoning_content": "Hm"})), text("Yes"), end()),
        [BEGIN, ReasoningDelta("Hm"), TextDelta("Yes"), Finished("stop")],
    ),
    "reasoning, with text in one chunk": (
        sse(chunk(choice({"content": "Yes", "reasoning": "Hm"}, "stop"))),
        [BEGIN, TextDelta("Yes"), ReasoningDelta("Hm"), Finished("stop")],
    ),
    "both names of reasoning count once": (
        sse(chunk(choice({"reasoning_content": "Hm", "reasoning": "Hm"}, "stop"))),
        [BEGIN, ReasoningDelta("Hm"), Finished("stop")],
    ),
    "refusal": (
        sse(chunk(choice({"refusal": "No"})), end()),
        [BEGIN, RefusalDelta("No"), Finished("stop")],
    ),
    "logprobs": (
        sse(chunk(choice({"content": "Hi"}, logprobs=LOGPROBS)), end()),
        [BEGIN, TextDelta("Hi"), Finished("stop")],
    ),
    "two choices": (
        sse(text("a"), text("b", 1), end(), end("length", 1)),
        [BEGIN, TextDelta("a"), TextDelta("b", 1), Finished("stop"), Finished("length", 1)],
    ),
    "two choices in one chunk": (
        sse(chunk(choice({"content": "a"}, "stop"), choice({"content": "b"}, "stop", 1))),
        [BEGIN, TextDelta("a"), Finished("stop"), TextDelta("b", 1), Finished("stop", 1)],
    ),
    "usage in a chunk of its own": (
        sse(text("a"), end(), chunk(usage=USAGE)) + b"data: [DONE]\n\n",
        [BEGIN, TextDelta("a"), Finished("stop"), UsageReport(Usage(input=5, output=2))],
    ),
    "usage in the last content chunk": (
        sse(chunk(choice({"content": "a"}, "stop"), usage=USAGE)),
        [BEGIN, TextDelta("a"), Finished("stop"), UsageReport(Usage(input=5, output=2))],
    ),
    "finish twice": (sse(text("a"), end(), end("length")), [BEGIN, TextDelta("a"), Finished("stop")]),
    "a vendor's reason": (sse(end("eos")), [BEGIN, Finished("eos")]),
    "content filter results first": (
        sse(chunk(prompt_filter_results=[]), text("a"), end()),
        [BEGIN, TextDelta("a"), Finished("stop")],
    ),
    "comments, CRLF and lines without a space": (
        b": hi\r\n\r\ndata:" + orjson.dumps(text("a")) + b"\r\n\r\n: ping\r\n\r\n" + sse(end()),
        [BEGIN, TextDelta("a"), Finished("stop")],
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    stream, expected = GOLDEN[name]
    frames, decoder = read(stream)
    assert events(frames) == expected
    assert decoder.failure is None
    assert decoder.complete
    assert decoder.done == stream.endswith(b"[DONE]\n\n")
    assert all(frame.run or frame.body == orjson.loads(frame.payload) for frame in frames)


@pytest.mark.fault("F59")
@pytest.mark.parametrize("name", GOLDEN)
def test_every_split_in_two_and_single_bytes_give_the_same_frames(name: str) -> None:
    stream, _ = GOLDEN[name]
    whole = apart(read(stream)[0])
    for place in range(1, len(stream)):
        assert apart(read(stream[:place], stream[place:])[0]) == whole
    assert apart(read(*[stream[place : place + 1] for place in range(len(stream))])[0]) == whole


def apart(frames: list[Frame]) -> list[tuple[tuple[Event, ...], bytes]]:
    """Return the events of each payload, and the payload."""
    alone = [one for frame in frames for one in (frame.run.apart() if frame.run else [frame])]
    return [(one.events, one.run.raw[6:-2] if one.run else one.payload) for one in alone]


@pytest.mark.parametrize(
    ("sent", "plain"),
    [
        (text("a"), True),
        (chunk(choice({"content": "a"}), usage=None), True),
        (chunk(choice({"content": "a"}, logprobs=LOGPROBS)), True),
        (chunk(choice({"tool_calls": [call(0, "{}")]})), True),
        (chunk(choice({"content": "a"}, "stop")), False),
        (chunk(choice({"content": "a"}, "")), False),
        (chunk(choice({"content": "a"}), usage=USAGE), False),
        (chunk(usage=USAGE), False),
    ],
)
def test_a_frame_is_plain_unless_it_ends_or_counts(sent: dict[str, Any], plain: bool) -> None:
    frames, _ = read(sse(sent))
    assert [frame.plain for frame in frames] == [plain]


@pytest.mark.fault("F59")
def test_a_payload_of_several_data_lines_is_not_plain_as_it_could_not_be_framed_as_it_came() -> None:
    lines = orjson.dumps(text("a"), option=orjson.OPT_INDENT_2).split(b"\n")
    frames, decoder = read(b"".join([b"data: " + line + b"\n" for line in lines]) + b"\n" + sse(end()))
    assert events(frames) == [BEGIN, TextDelta("a"), Finished("stop")]
    assert not frames[0].plain
    assert decoder.complete


@pytest.mark.parametrize(
    ("chunks", "complete"),
    [
        ((), False),
        ((chunk(),), False),
        ((text("a"),), False),
        ((text("a"), end()), True),
        ((end(),), True),
        ((text("a"), text("b", 1), end()), False),
        ((text("a"), text("b", 1), end(index=1)), False),
        ((text("a"), text("b", 1), end(), end(index=1)), True),
        ((text("a"), end(), text("b", 1)), False),
        ((text("a"), chunk(usage=USAGE)), False),
        ((chunk(choice({"content": "a"}, "")),), False),
    ],
)
@pytest.mark.parametrize("marker", [b"", b"data: [DONE]\n\n"])
@pytest.mark.fault("F55", "F58")
def test_complete_is_every_begun_choice_finished_whatever_the_marker_says(
    chunks: tuple[dict[str, Any], ...], complete: bool, marker: bytes
) -> None:
    _, decoder = read(sse(*chunks) + marker)
    assert decoder.complete is complete
    assert decoder.done is bool(marker)
    assert decoder.failure is None


@pytest.mark.fault("F58")
@pytest.mark.parametrize(
    ("chunks", "marker", "complete"),
    [
        ((text("a"), end(), text("b", 1), end(index=1)), b"", True),
        ((text("a"), end()), b"", False),
        ((text("a"), end()), b"data: [DONE]\n\n", True),
    ],
)
def test_of_two_choices_both_must_finish_unless_the_upstream_says_that_was_all(
    chunks: tuple[dict[str, Any], ...], marker: bytes, complete: bool
) -> None:
    decoder = OpenAIDecoder(2)
    decoder.feed(sse(*chunks) + marker)
    assert decoder.complete is complete


@pytest.mark.parametrize(
    ("delta", "size"),
    [
        ({"audio": {"id": "audio_1", "data": "A" * 6400, "transcript": "Hello"}}, 7 + 100 + 5),
        ({"images": [{"type": "image_url", "image_url": {"url": "B" * 64_000}}]}, 9 + 1000),
        ({"annotations": [{"type": "url", "url": "http://a"}], "role": "assistant"}, 3 + 8),
        ({"reasoning_details": [{"text": "Hm"}]}, 2),
        ({"vendor": "größe"}, 7),
    ],
)
def test_output_of_unknown_kinds_weighs(delta: dict[str, Any], size: int) -> None:
    frames, decoder = read(sse(chunk(choice(delta)), end()))
    assert events(frames) == [BEGIN, OpaqueDelta(size), Finished("stop")]
    assert decoder.complete


def test_reasoning_told_twice_weighs_once() -> None:
    frames, _ = read(sse(chunk(choice({"reasoning": "Hm", "reasoning_details": [{"text": "Hm"}]}))))
    assert events(frames) == [BEGIN, ReasoningDelta("Hm")]


@pytest.mark.parametrize("delta", [{"role": "assistant"}, {"vendor": None}, {"vendor": [7, {"a": False}]}])
def test_what_holds_no_text_weighs_nothing(delta: dict[str, Any]) -> None:
    frames, _ = read(sse(chunk(choice(delta))))
    assert events(frames) == [BEGIN]


def test_a_custom_tools_input_is_a_tool_call() -> None:
    first = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "f", "input": "x"}}
    more = {"index": 0, "custom": {"input": "y"}}
    frames, _ = read(sse(*(chunk(choice({"tool_calls": [each]})) for each in (first, more))))
    assert events(frames) == [BEGIN, ToolCallDelta(0, "c1", "f", "x"), ToolCallDelta(0, None, None, "y")]


@pytest.mark.fault("F76")
@pytest.mark.parametrize("after", [b"data: [DONE]\n\n", sse(text("more")), b"data: {\n\n"])
def test_what_follows_done_is_ignored(after: bytes) -> None:
    stream = sse(text("a"), end()) + b"data: [DONE]\n\n"
    for pieces in ((stream + after,), (stream, after)):
        frames, decoder = read(*pieces)
        assert events(frames) == [BEGIN, TextDelta("a"), Finished("stop")]
        assert decoder.failure is None
        assert decoder.done


@pytest.mark.fault("F73", "F76")
def test_an_endless_line_after_done_is_no_failure() -> None:
    decoder = OpenAIDecoder()
    decoder.feed(sse(end()) + b"data: [DONE]\n\n")
    assert decoder.feed(b"x" * 2_000_000) == decoder.close() == []
    assert decoder.failure is None
    assert decoder.complete


BAD_PAYLOADS = {
    "cut JSON": b'{"choices": [',
    "text": b"Internal Server Error",
    "invalid UTF-8": b'{"choices": "\xff"}',
    "array": b"[1]",
    "string": b'"hello"',
    "number": b"7",
    "null": b"null",
    "choices not an array": b'{"choices": 7}',
    "choices an object": b'{"choices": {"a": 1}}',
    "choice not an object": b'{"choices": ["a"]}',
    "delta not an object": b'{"choices": [{"index": 0, "delta": "a"}]}',
    "index a string": b'{"choices": [{"index": "0", "delta": {"content": "a"}}]}',
    "index an array": b'{"choices": [{"index": [], "delta": {"content": "a"}}]}',
    "index true": b'{"choices": [{"index": true, "delta": {"content": "a"}}]}',
    "content a number": b'{"choices": [{"index": 0, "delta": {"content": 7}}]}',
    "content an object": b'{"choices": [{"index": 0, "delta": {"content": {"a": 1}}}]}',
    "reasoning a number": b'{"choices": [{"index": 0, "delta": {"reasoning": 7}}]}',
    "refusal a number": b'{"choices": [{"index": 0, "delta": {"refusal": 7}}]}',
    "tool calls an object": b'{"choices": [{"index": 0, "delta": {"tool_calls": {"a": 1}}}]}',
    "tool call a string": b'{"choices": [{"index": 0, "delta": {"tool_calls": ["a"]}}]}',
    "tool call's index a string": b'{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": "a"}]}}]}',
    "arguments an object": b'{"choices": [{"index": 0, "delta": {"tool_calls": '
    b'[{"function": {"arguments": {"a": 1}}}]}}]}',
    "name a number": b'{"choices": [{"index": 0, "delta": {"tool_calls": [{"function": {"name": 7}}]}}]}',
    "function a string": b'{"choices": [{"index": 0, "delta": {"tool_calls": [{"function": "f"}]}}]}',
    "function_call a string": b'{"choices": [{"index": 0, "delta": {"function_call": "f"}}]}',
    "nested deeper than can be written": b'{"x": ' + b"[" * 300 + b"]" * 300 + b"}",
    "nested too deep": b'{"choices": ' + b"[" * 2000 + b"]" * 2000 + b"}",
}


@pytest.mark.fault("F60", "F64")
@pytest.mark.parametrize("name", BAD_PAYLOADS)
def test_what_cannot_be_read_is_bad_content_and_earlier_frames_are_kept(name: str) -> None:
    stream = sse(text("a")) + b"data: " + BAD_PAYLOADS[name] + b"\n\n" + sse(text("b"), end())
    frames, decoder = read(stream)
    assert events(frames) == [BEGIN, TextDelta("a")]
    assert decoder.failure is not None
    assert decoder.failure.trouble == "bad_content"
    assert not decoder.complete


@given(st.binary(max_size=80), st.lists(st.integers(0, 200), max_size=4))
def test_any_bytes_are_read_without_an_exception(junk: bytes, places: list[int]) -> None:
    stream = sse(text("a")) + b"data: " + junk + b"\n\n"
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    frames, _ = read(*[stream[a:b] for a, b in pairwise(edges)])
    assert events(frames)[:2] == [BEGIN, TextDelta("a")]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("choices", "index", "delta", "content", "finish_reason", "usage", "error", "code"),
                    *("tool_calls", "function", "name", "arguments", "prompt_tokens", "completion_tokens"),
                    *("prompt_tokens_details", "cached_tokens", "reasoning", "refusal", "function_call"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON, JSON)
def test_any_json_is_read_without_an_exception_and_gives_events_of_the_right_types(
    delta: Any, top: Any, usage: Any
) -> None:
    decoder = OpenAIDecoder()
    sent = [chunk(choice(delta)), top, chunk(usage=usage), {"error": top}]
    for event in events(decoder.feed(sse(*sent)) + decoder.close()):
        for value in event:
            assert value is None or isinstance(value, str | int | Usage)
        if isinstance(event, ToolCallDelta):
            assert isinstance(event.arguments, str)
            assert event.name is None or isinstance(event.name, str)


class TestUsage:
    DETAILED: ClassVar[Sequence[tuple[dict[str, Any], Usage]]] = (
        (USAGE, Usage(input=5, output=2)),
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": 3}}, Usage(input=2, cache_read=3, output=2)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10, "audio_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 4},
            },
            Usage(
                input=25,
                cache_read=60,
                cache_write=10,
                input_audio=5,
                output=16,
                reasoning=30,
                output_audio=4,
            ),
        ),
        ({**USAGE, "prompt_tokens_details": None, "completion_tokens_details": {}}, Usage(input=5, output=2)),
        (
            {**USAGE, "completion_tokens_details": {"reasoning_tokens": None, "audio_tokens": None}},
            Usage(input=5, output=2),
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage()),
        ({**USAGE, "completion_tokens_details": {"reasoning_tokens": 2}}, Usage(input=5, reasoning=2)),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 2,
                "total_tokens": 17,
                "completion_tokens_details": {"reasoning_tokens": 10},
            },
            Usage(input=5, output=2, reasoning=10),
        ),
        ({"prompt_tokens": MAX_TOKENS, "completion_tokens": 1}, Usage(input=MAX_TOKENS, output=1)),
    )

    @pytest.mark.parametrize(("reported", "usage"), DETAILED)
    def test_details_are_made_disjoint(self, reported: dict[str, Any], usage: Usage) -> None:
        assert read_usage(reported) == UsageReport(usage)

    UNBELIEVABLE: ClassVar[Sequence[Any]] = (
        None,
        7,
        "7",
        True,
        [],
        {},
        {"prompt_tokens": 5},
        {"completion_tokens": 5},
        {**USAGE, "prompt_tokens": -1},
        {**USAGE, "completion_tokens": -1},
        {**USAGE, "prompt_tokens": 5.0},
        {**USAGE, "completion_tokens": 2.5},
        {**USAGE, "prompt_tokens": "5"},
        {**USAGE, "prompt_tokens": True},
        {**USAGE, "prompt_tokens": 10**18},
        {**USAGE, "completion_tokens": MAX_TOKENS + 1},
        {**USAGE, "completion_tokens": 1e18},
        {**USAGE, "prompt_tokens": [5]},
        {**USAGE, "prompt_tokens_details": {"cached_tokens": 6}},
        {**USAGE, "prompt_tokens_details": {"cached_tokens": -1}},
        {**USAGE, "prompt_tokens_details": {"cached_tokens": "3"}},
        {**USAGE, "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 3}},
        {**USAGE, "prompt_tokens_details": [1]},
        {**USAGE, "prompt_tokens_details": "x"},
        {**USAGE, "completion_tokens_details": 7},
        {**USAGE, "completion_tokens_details": {"reasoning_tokens": 3}},
        {**USAGE, "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 2}},
        {**USAGE, "completion_tokens_details": {"reasoning_tokens": 1.0}},
    )

    @pytest.mark.fault("F63")
    @pytest.mark.parametrize("reported", UNBELIEVABLE, ids=repr)
    def test_what_cannot_be_true_is_not_trusted(self, reported: object) -> None:
        assert read_usage(reported) == DISTRUSTED

    @pytest.mark.fault("F63")
    @pytest.mark.parametrize("reported", UNBELIEVABLE[1:], ids=repr)
    def test_and_it_does_not_end_the_answer(self, reported: object) -> None:
        frames, decoder = read(sse(text("a"), end(), chunk(usage=reported)))
        assert events(frames) == [BEGIN, TextDelta("a"), Finished("stop"), DISTRUSTED]
        assert decoder.failure is None
        assert decoder.complete

    @given(
        st.fixed_dictionaries(
            {"prompt_tokens": st.integers(-2, 20), "completion_tokens": st.integers(-2, 20)},
            optional={
                "total_tokens": st.integers(0, 60),
                "prompt_tokens_details": st.dictionaries(
                    st.sampled_from(["cached_tokens", "audio_tokens", "cache_write_tokens"]),
                    st.integers(-1, 9),
                ),
                "completion_tokens_details": st.dictionaries(
                    st.sampled_from(["reasoning_tokens", "audio_tokens"]), st.integers(-1, 9)
                ),
            },
        )
    )
    def test_trusted_classes_add_up_to_what_was_reported(self, reported: dict[str, Any]) -> None:
        usage, trusted = read_usage(reported)
        if not trusted:
            assert usage == Usage()
            return
        assert min(usage) >= 0
        assert usage.prompt_tokens == reported["prompt_tokens"]
        beside = usage.completion_tokens - reported["completion_tokens"]
        assert beside in {0, usage.reasoning}

    @pytest.mark.fault("F62")
    def test_a_usage_chunk_with_empty_choices_changes_no_choice(self) -> None:
        frames, decoder = read(sse(text("a"), end(), chunk(usage=USAGE)))
        assert frames[-1].events == (UsageReport(Usage(input=5, output=2)),)
        assert decoder.complete


def failure_of(*chunks: Any) -> UpstreamError:
    frames, decoder = read(sse(text("a"), *chunks, text("b")))
    assert events(frames) == [BEGIN, TextDelta("a")]
    assert decoder.failure is not None
    return decoder.failure


class TestErrorFrames:
    REPORTED = (
        ({"message": "Boom"}, "failed", None),
        ({"message": "Boom", "code": None}, "failed", None),
        ("Boom", "failed", None),
        (["Boom"], "failed", None),
        ({"code": 500}, "failed", 500),
        ({"code": "502"}, "failed", 502),
        ({"status": 503}, "failed", 503),
        ({"code": 429}, "rate_limited", 429),
        ({"code": "429"}, "rate_limited", 429),
        ({"code": 401}, "auth", 401),
        ({"code": 404}, "gone", 404),
        ({"code": 400}, "rejected", 400),
        ({"code": "422"}, "rejected", 422),
        ({"status": "INVALID_ARGUMENT", "code": 400}, "rejected", 400),
        ({"code": "server_error"}, "failed", None),
        ({"code": 200}, "failed", None),
        ({"code": 4000}, "failed", None),
        ({"code": "4000"}, "failed", None),
        ({"code": -1}, "failed", None),
        ({"code": 400.0}, "failed", None),
        ({"code": True}, "failed", None),
        ({"code": "²"}, "failed", None),
        ({"code": "9" * 5000}, "failed", None),
    )

    @pytest.mark.fault("F65")
    @pytest.mark.parametrize(("reported", "trouble", "status"), REPORTED)
    def test_it_is_classified_by_the_status_it_may_carry(
        self, reported: Any, trouble: str, status: int | None
    ) -> None:
        failure = failure_of({"error": reported})
        assert (failure.trouble, failure.status) == (trouble, status)

    @pytest.mark.fault("F65")
    def test_first_it_leaves_no_frames(self) -> None:
        frames, decoder = read(sse({"error": {"message": "Boom", "code": 500}}, text("a"), end()))
        assert frames == []
        assert decoder.failure is not None
        assert not decoder.complete

    def test_its_words_are_kept_only_where_the_request_was_at_fault(self) -> None:
        words = {"message": "Too long for sk-abcdefgh123 at api.example.com", "param": "messages"}
        kept = failure_of({"error": {**words, "code": 400}})
        assert kept.message == "Too long for [redacted] at [redacted]"
        assert kept.param == "messages"
        dropped = failure_of({"error": {**words, "code": 500}})
        assert (dropped.message, dropped.param) == (None, None)

    def test_a_status_in_code_is_no_machine_code(self) -> None:
        assert failure_of({"error": {"code": "400"}}).code is None

    def test_openrouter_reports_beside_choices(self) -> None:
        failed = chunk(choice({"content": ""}, "error"), error={"code": 502, "message": "Provider down"})
        assert failure_of(failed).trouble == "failed"

    @pytest.mark.parametrize("nothing", [None, {}, "", []])
    def test_an_empty_error_is_none(self, nothing: object) -> None:
        _, decoder = read(sse(chunk(choice({"content": "a"}, "stop"), error=nothing)))
        assert decoder.failure is None
        assert decoder.complete


def trouble_of(decoder: OpenAIDecoder) -> str | None:
    return decoder.failure.trouble if decoder.failure else None


class TestLongLines:
    @pytest.mark.fault("F73")
    def test_a_line_without_end_breaks_the_protocol(self) -> None:
        decoder = OpenAIDecoder()
        assert events(decoder.feed(sse(text("a")))) == [BEGIN, TextDelta("a")]
        for _ in range(40):
            assert decoder.feed(b"x" * 65536) == []
        assert decoder.failure is not None
        assert decoder.failure.trouble == "protocol"
        assert decoder.close() == []

    @pytest.mark.fault("F73")
    def test_an_event_that_its_end_makes_too_long_is_told_of_at_the_end(self) -> None:
        decoder = OpenAIDecoder()
        half = b"data: " + b"x" * 600_000
        assert decoder.feed(half + b"\n" + half) == []
        assert trouble_of(decoder) is None
        assert decoder.close() == []
        assert trouble_of(decoder) == "protocol"
