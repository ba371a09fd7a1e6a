"""What an Anthropic client is answered: events and whole messages, from its own language and from others."""

from __future__ import annotations

from typing import Any, Final, get_args

import orjson
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from proxy.dialects.anthropic import AnthropicDialect
from proxy.dialects.base import EVENT_STREAM, JSON_TYPE, Answer, Bill, Encoder
from proxy.wires.anthropic_stream import AnthropicDecoder
from proxy.words.chat import (
    Event,
    Finished,
    Frame,
    ImageDelta,
    ReasoningDelta,
    ReasoningPart,
    ReasoningSealed,
    RefusalDelta,
    Run,
    Started,
    TextDelta,
    ToolCallDelta,
)
from proxy.words.errors import FACES, GatewayError, Name
from proxy.words.usage import Usage
from tests.wires.anthropic_kit import PING, begin, delta, end, event, sse, start, stop, text, thinking, tool

DIALECT = AnthropicDialect()
OTHER = Answer("gen_1", "openai", 1000, 1700000001, "upstream-model")
SAME = Answer("gen_1", "anthropic", 1000, 1700000001, "upstream-model")
BILL = Bill(
    Usage(input=5, cache_read=3, cache_write=2, cache_write_1h=1, output=7, reasoning=2),
    1_234,
    estimated=False,
)
USAGE: Final = {
    "input_tokens": 5,
    "cache_creation_input_tokens": 3,
    "cache_read_input_tokens": 3,
    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 1},
    "output_tokens": 9,
    "output_tokens_details": {"thinking_tokens": 2},
    "cost": 0.001234,
}
CUT = GatewayError("insufficient_credits", "The credits are used up.")
EVENT: Final[TypeAdapter[Any]] = TypeAdapter(RawMessageStreamEvent)


def encoder(answer: Answer, *, stream: bool) -> Encoder:
    asked = {"model": "m", "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": "Hi"}]}
    return DIALECT.encoder(DIALECT.parse(orjson.dumps(asked)), answer)


def events_of(out: bytes) -> list[dict[str, Any]]:
    """Read what was written, which must be named as it says, and known to the SDK."""
    found = []
    for each in out.decode().split("\n\n")[:-1]:
        name, _, data = each.partition("\n")
        body = orjson.loads(data.removeprefix("data: "))
        assert name == f"event: {body['type']}"
        found.append(body)
    for body in found:
        if body["type"] not in {"ping", "error"}:
            EVENT.validate_python(body)
    return found


def added_up(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Add events up as the SDK does."""
    snapshot: Any = None
    pieces: dict[int, bytes] = {}
    for body in events:
        if body["type"] != "ping":
            parsed = EVENT.validate_python(body)
            snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=pieces)
    return dict(snapshot.to_dict())


def streamed(*events: Event) -> list[dict[str, Any]]:
    writer = encoder(OTHER, stream=True)
    assert writer.media_type == EVENT_STREAM
    return events_of(writer.feed([Frame((each,)) for each in events]) + writer.finish(BILL))


def whole(*events: Event) -> dict[str, Any]:
    writer = encoder(OTHER, stream=False)
    assert writer.media_type == JSON_TYPE
    assert writer.feed([Frame((each,)) for each in events]) == b""
    message = orjson.loads(writer.finish(BILL))
    Message.model_validate(message)
    return dict(message)


def blocks(*events: Event) -> list[dict[str, Any]]:
    """Return the content, which a stream and a whole answer must agree on."""
    content: list[dict[str, Any]] = whole(*events)["content"]
    assert added_up(streamed(*events))["content"] == content
    return content


class TestFromOtherLanguages:
    def test_a_stream_in_full(self) -> None:
        events = streamed(Started("id", "gpt-x", 1), TextDelta("Hi"), TextDelta(" you"), Finished("stop"))
        message: dict[str, Any] = {
            "id": "msg_gen_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 5,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 0,
            },
        }
        assert events == [
            event("message_start", message=message),
            begin(0, "text", text=""),
            delta(0, "text_delta", text="Hi"),
            delta(0, "text_delta", text=" you"),
            end(0),
            event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=USAGE),
            event("message_stop"),
        ]

    def test_a_run_of_chunks_is_as_many_events(self) -> None:
        """What a client did not take is given back by the event, so none may hold more than a chunk did."""
        texts = [b"one ", "zw\u00f6lf ".encode(), b"three"]
        run = Run(b"", texts, b"", b"")
        many = Frame((TextDelta(b"".join(texts).decode()),), plain=True, run=run)
        several = [Frame((TextDelta(text.decode()),)) for text in texts]
        for first in ([], [Frame((TextDelta("zero "),))], [Frame((ReasoningDelta("hm"),))]):
            written, expected = encoder(OTHER, stream=True), encoder(OTHER, stream=True)
            out = written.feed([*first, many, many]) + written.finish(BILL)
            assert out == expected.feed([*first, *several, *several]) + expected.finish(BILL)
        folded, expected = encoder(OTHER, stream=False), encoder(OTHER, stream=False)
        folded.feed([many])
        expected.feed(several)
        assert folded.finish(BILL) == expected.finish(BILL)

    def test_a_whole_message_in_full(self) -> None:
        assert whole(Started("id", "gpt-x", 1), TextDelta("Hi"), TextDelta(" you"), Finished("stop")) == {
            "id": "msg_gen_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": "Hi you"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": USAGE,
        }

    def test_thinking_with_and_without_a_seal(self) -> None:
        sealed = ReasoningSealed(ReasoningPart("hm", "c2ln", format="f"))
        hidden = ReasoningSealed(ReasoningPart(redacted="x", format="f"))
        assert blocks(ReasoningDelta("hm"), sealed, hidden, ReasoningDelta("well"), TextDelta("4")) == [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "thinking", "thinking": "well", "signature": ""},
            {"type": "text", "text": "4"},
        ]

    def test_calls(self) -> None:
        sealed = ToolCallDelta(0, "call_1", "f", '{"a":', signature="sig")
        rest = ToolCallDelta(0, None, None, "1}")
        assert blocks(sealed, rest, ToolCallDelta(1, None, "g", "")) == [
            {
                "type": "tool_use",
                "id": "call_1",
                "name": "f",
                "input": {"a": 1},
                "extra_content": {"google": {"thought_signature": "sig"}},
            },
            {"type": "tool_use", "id": "toolu_gen_1_1", "name": "g", "input": {}},
        ]

    @pytest.mark.parametrize("arguments", ['{"a":', "[1]", "nonsense"])
    def test_arguments_that_are_no_object_are_kept(self, arguments: str) -> None:
        (call,) = whole(ToolCallDelta(0, "c", "f", arguments))["content"]
        assert call["input"] == {"INVALID_JSON": arguments}

    def test_what_has_no_word_is_told_in_text(self) -> None:
        assert blocks(TextDelta("See:"), ImageDelta("data:image/png;base64,AA==")) == [
            {"type": "text", "text": "See:"},
            {"type": "text", "text": "![image](data:image/png;base64,AA==)"},
        ]

    def test_a_refusal(self) -> None:
        message = whole(RefusalDelta("I will not."), Finished("stop"))
        assert message["content"] == [{"type": "text", "text": "I will not."}]
        assert message["stop_reason"] == "refusal"

    @pytest.mark.parametrize(
        ("reason", "told"),
        [
            ("stop", "end_turn"),
            ("length", "max_tokens"),
            ("tool_calls", "tool_use"),
            ("function_call", "tool_use"),
            ("content_filter", "refusal"),
            ("pause_turn", "pause_turn"),
            ("something_new", "end_turn"),
        ],
    )
    def test_why_it_ended(self, reason: str, told: str) -> None:
        assert whole(TextDelta("x"), Finished(reason))["stop_reason"] == told

    def test_our_own_figures_are_marked(self) -> None:
        writer = encoder(OTHER, stream=False)
        writer.feed([Frame((TextDelta("x"),))])
        usage = orjson.loads(writer.finish(BILL._replace(estimated=True)))["usage"]
        assert usage == {**USAGE, "estimated": True}


UPSTREAM = [
    start(cache_read_input_tokens=60),
    PING,
    *thinking("Let ", "me see."),
    *text("It is ", "sunny.", index=1),
    *tool(2, "toolu_1", "f", '{"a":', " 1}"),
    begin(3, "server_tool_use", id="s", name="web_search", input={}),
    delta(3, "input_json_delta", partial_json='{"q": 1}'),
    end(3),
    *stop("tool_use", 15, context_note="kept"),
]


def frames_of(*events: dict[str, Any]) -> list[Frame]:
    decoder = AnthropicDecoder()
    frames = decoder.feed(sse(*events))
    assert decoder.failure is None
    return frames


class TestFromItsOwnLanguage:
    def test_payloads_pass_as_they_came(self) -> None:
        """But for the model's name, and the end, which has the bill in it."""
        writer = encoder(SAME, stream=True)
        frames = frames_of(*UPSTREAM)
        out = writer.feed(frames)
        first, last = UPSTREAM[0], UPSTREAM[-2]
        named = {**first, "message": {**first["message"], "model": "m"}}
        assert out == sse(named, *UPSTREAM[1:-2])
        usage = {**first["message"]["usage"], "output_tokens": 15, "cost": 0.001234}
        assert events_of(writer.finish(BILL)) == [{**last, "usage": usage}, event("message_stop")]

    def test_a_whole_message_is_what_the_sdk_adds_up(self) -> None:
        cited = delta(1, "citations_delta", citation={"type": "page_location", "cited_text": "x"})
        upstream = [*UPSTREAM[:9], cited, *UPSTREAM[9:]]
        writer = encoder(SAME, stream=False)
        writer.feed(frames_of(*upstream))
        message = orjson.loads(writer.finish(BILL))
        assert message["id"] == "msg_1"
        assert message["model"] == "m"
        assert message["content"] == [
            {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"},
            {
                "type": "text",
                "text": "It is sunny.",
                "citations": [{"type": "page_location", "cited_text": "x"}],
            },
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
        ]
        assert (message["stop_reason"], message["context_note"]) == ("tool_use", "kept")
        assert message["usage"]["cache_read_input_tokens"] == 60
        assert message["usage"]["cost"] == 0.001234

    def test_events_alone_go_on_where_payloads_left_off(self) -> None:
        """So a second stream, which repeats the first and goes on, is one answer with it."""
        writer = encoder(SAME, stream=True)
        head = frames_of(start(), *text("It is "))[:-1]
        rest = [
            Frame((TextDelta("sunny."),)),
            Frame((ToolCallDelta(0, "c", "f", "{}"), Finished("tool_calls"))),
        ]
        message = added_up(events_of(writer.feed([*head, *rest]) + writer.finish(BILL)))
        assert message["content"] == [
            {"type": "text", "text": "It is sunny."},
            {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        ]
        assert message["stop_reason"] == "tool_use"

    def test_figures_that_are_not_believed_are_replaced(self) -> None:
        writer = encoder(SAME, stream=False)
        writer.feed(frames_of(*UPSTREAM))
        usage = orjson.loads(writer.finish(BILL._replace(estimated=True)))["usage"]
        assert usage == {**USAGE, "estimated": True}

    def test_an_event_that_is_new_passes_and_one_with_a_strange_name_does_not(self) -> None:
        writer = encoder(SAME, stream=True)
        frames = [
            Frame((), b"", {"type": "message_note", "x": 1}),
            Frame((), b"", {"type": "a\nevent: b"}),
            Frame((), b"", {"x": 1}),
        ]
        assert writer.feed(frames) == b'event: message_note\ndata: {"type":"message_note","x":1}\n\n'


class TestFailures:
    @pytest.mark.parametrize("name", get_args(Name))
    def test_every_name_has_its_type(self, name: Name) -> None:
        error = GatewayError(name, "No.", param="model", detail={"reason": "why"})
        body = orjson.loads(DIALECT.error(error, "r1"))
        status = FACES[name].status
        assert DIALECT.status(error) == status
        kinds = {
            401: "authentication_error",
            402: "billing_error",
            403: "permission_error",
            404: "not_found_error",
            409: "conflict_error",
            413: "request_too_large",
            429: "rate_limit_error",
            503: "overloaded_error",
            504: "timeout_error",
        }
        kind = kinds.get(status, "invalid_request_error" if status < 500 else "api_error")
        assert body == {
            "type": "error",
            "error": {
                "type": kind,
                "message": "No.",
                "details": {"error_code": name, "reason": "why", "param": "model"},
            },
            "request_id": "r1",
        }

    def test_an_upstreams_own_code_is_kept(self) -> None:
        error = GatewayError("invalid_request", "No.", code="content_policy_violation")
        assert orjson.loads(DIALECT.error(error, "r"))["error"]["details"] == {
            "error_code": "content_policy_violation"
        }

    @pytest.mark.parametrize("begun", [False, True])
    def test_a_stream_tells_it_in_band_and_ends(self, begun: bool) -> None:
        for cut in (False, True):
            writer = encoder(OTHER, stream=True)
            if begun:
                writer.feed([Frame((TextDelta("x"),))])
            (told,) = events_of(writer.truncate(BILL, CUT) if cut else writer.fail(CUT))
            assert told["error"]["type"] == "billing_error"
            assert told["error"]["details"]["error_code"] == "insufficient_credits"

    def test_a_whole_answer_is_cut_or_fails(self) -> None:
        writer = encoder(OTHER, stream=False)
        with pytest.raises(GatewayError):
            writer.fail(CUT)
        with pytest.raises(GatewayError):
            writer.truncate(BILL, CUT)
        writer.feed([Frame((TextDelta("x"),))])
        message = orjson.loads(writer.truncate(BILL, CUT))
        assert (message["content"], message["stop_reason"]) == ([{"type": "text", "text": "x"}], "max_tokens")
