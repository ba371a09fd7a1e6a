"""What an OpenAI client is answered: errors at both bases, streams, and whole completions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from proxy.dialects.base import Answer, Bill, Encoder, error_headers
from proxy.dialects.openai import OpenAIDialect
from proxy.dialects.openai_faces import Style
from proxy.dialects.openai_stream import StreamEncoder
from proxy.dialects.openai_whole import WholeEncoder
from proxy.wires.openai_stream import OpenAIDecoder
from proxy.words.chat import (
    Event,
    Finished,
    Frame,
    ImageDelta,
    ReasoningDelta,
    ReasoningPart,
    ReasoningSealed,
    RefusalDelta,
    ScoresDelta,
    Started,
    TextDelta,
    TextPart,
    TokenScore,
    ToolCallDelta,
    UsageReport,
)
from proxy.words.errors import FACES, GatewayError, Name, UpstreamError, outward
from proxy.words.money import credits_json
from proxy.words.usage import Usage

DIALECT = OpenAIDialect("aggregator")
SAME = Answer("gen_1", "openai", 1000, 1700000001, "upstream-model")
OTHER = Answer("gen_1", "anthropic", 1000, 1700000001, "upstream-model")
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-x"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
BILL = Bill(Usage(input=5, output=2), cost=1_234, estimated=False)
GUESS = BILL._replace(estimated=True)
LOGPROBS = {
    "content": [{"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}],
    "refusal": None,
}
CUT = GatewayError("insufficient_credits", "The credits are used up.")
DONE = b"data: [DONE]\n\n"


def asked(*, stream: bool = True, include_usage: bool = False) -> bytes:
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    return orjson.dumps({"messages": [{"role": "user", "content": "Hi"}], "stream": stream, **options})


def streamer(answer: Answer = SAME, *, include_usage: bool = False) -> Encoder:
    encoder = DIALECT.encoder(DIALECT.parse(asked(include_usage=include_usage)), answer)
    assert isinstance(encoder, StreamEncoder)
    return encoder


def whole(answer: Answer = SAME) -> Encoder:
    encoder = DIALECT.encoder(DIALECT.parse(asked(stream=False)), answer)
    assert isinstance(encoder, WholeEncoder)
    return encoder


def chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": list(choices), **more}


def choice(delta: Any, finish: Any = None, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish, **more}


def text(piece: str, index: int = 0) -> dict[str, Any]:
    return chunk(choice({"content": piece}, index=index))


def end(reason: str = "stop", index: int = 0) -> dict[str, Any]:
    return chunk(choice({}, reason, index))


def called(position: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    if name is None:
        return {"index": position, "function": {"arguments": arguments}}
    function = {"name": name, "arguments": arguments}
    return {"index": position, "id": f"call_{position}", "type": "function", "function": function}


def frames_of(*payloads: dict[str, Any] | bytes) -> list[Frame]:
    decoder = OpenAIDecoder()
    frames: list[Frame] = []
    for payload in payloads:
        data = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        frames += decoder.feed(b"data: " + data + b"\n\n")
    assert decoder.failure is None
    return frames


def payloads_of(out: bytes) -> list[bytes]:
    if not out:
        return []
    assert out.endswith(b"\n\n")
    events = out[:-2].split(b"\n\n")
    assert all(event.startswith(b"data: ") and b"\n" not in event for event in events)
    return [event[6:] for event in events]


def chunks_of(out: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(payload) for payload in payloads_of(out) if payload != b"[DONE]"]


def streamed(
    *payloads: dict[str, Any], include_usage: bool = False, bill: Bill = BILL
) -> list[dict[str, Any]]:
    encoder = streamer(include_usage=include_usage)
    out = encoder.feed(frames_of(*payloads)) + encoder.finish(bill)
    assert out.endswith(DONE)
    assert out.count(DONE) == 1
    return chunks_of(out)


def folded(*payloads: dict[str, Any], bill: Bill = BILL) -> dict[str, Any]:
    encoder = whole()
    assert encoder.feed(frames_of(*payloads)) == b""
    completion = orjson.loads(encoder.finish(bill))
    ChatCompletion.model_validate(completion)
    assert isinstance(completion, dict)
    return completion


class TestErrors:
    @pytest.mark.parametrize("name", get_args(Name))
    def test_every_name_at_both_bases(self, name: Name) -> None:
        face = FACES[name]
        error = GatewayError(name, "What went wrong.", param="field")
        kept = "context_length_exceeded"
        styles: tuple[tuple[Style, str, str], ...] = (
            ("aggregator", face.type, name),
            ("gateway", face.gateway_type, name if name == kept else str(face.status)),
        )
        for style, type_, code in styles:
            body = orjson.loads(OpenAIDialect(style).error(error, "req_1"))
            assert body == {
                "error": {
                    "message": "What went wrong.",
                    "type": type_,
                    "code": code,
                    "param": "field",
                    "request_id": "req_1",
                }
            }

    @pytest.mark.fault("F31")
    def test_the_example_of_the_contract(self) -> None:
        error = GatewayError("invalid_api_key", "Missing or invalid Bearer API key.")
        body = orjson.loads(OpenAIDialect("gateway").error(error, "req_2"))
        assert body["error"]["type"] == "invalid_api_key"
        assert body["error"]["code"] == "401"
        assert body["error"]["param"] is None

    @pytest.mark.fault("F69")
    @pytest.mark.parametrize("style", get_args(Style))
    @pytest.mark.parametrize("code", ["context_length_exceeded", "content_policy_violation"])
    def test_an_upstreams_own_code_is_kept_on_both(self, style: Style, code: str) -> None:
        error = outward([UpstreamError("rejected", message="No.", code=code, param="messages")])
        described = OpenAIDialect(style).describe(error)
        assert described == {
            "message": "No.",
            "type": "invalid_request_error",
            "code": code,
            "param": "messages",
        }

    @pytest.mark.parametrize("style", get_args(Style))
    def test_details_stand_beside(self, style: Style) -> None:
        amounts = {"required": credits_json(10, 1000), "available": credits_json(3, 1000)}
        error = GatewayError("insufficient_credits", "No.", detail=amounts)
        raw = OpenAIDialect(style).error(error, "req_3")
        assert b'"required":0.00001,' in raw
        assert b'"available":0.000003,' in raw

    def test_a_wait_is_a_header(self) -> None:
        assert error_headers(GatewayError("rate_limit_exceeded", "No.", retry_after=7)) == {
            "retry-after": "7"
        }
        assert error_headers(GatewayError("rate_limit_exceeded", "No.")) == {}


class TestSameLanguageStream:
    PLAIN = (
        b'{"choices": [ {"index":0, "delta": {"content":"a"}, "finish_reason":null} ],  "vendor": 1.50}',
        b'{"id":"other","choices":[{"index":0,"delta":{"content":"\\u00e9"},"logprobs":{"content":[]}}]}',
        b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}',
        b'{"choices":[{"index":0,"delta":{"reasoning":"r","reasoning_details":[{"x":1}]}}]}',
    )

    @pytest.mark.parametrize("payload", PLAIN)
    def test_a_plain_payload_passes_as_it_came(self, payload: bytes) -> None:
        encoder = streamer()
        encoder.feed(frames_of(text("first")))
        assert encoder.feed(frames_of(payload)) == b"data: " + payload + b"\n\n"

    def test_with_usage_asked_for_it_passes_if_it_says_null_itself(self) -> None:
        payload = b'{"choices":[{"index":0,"delta":{"content":"a"}}],  "usage":null}'
        encoder = streamer(include_usage=True)
        encoder.feed(frames_of(text("first")))
        assert encoder.feed(frames_of(payload)) == b"data: " + payload + b"\n\n"

    @pytest.mark.fault("F59")
    def test_a_payload_of_several_lines_leaves_as_one(self) -> None:
        encoder = streamer()
        encoder.feed(frames_of(text("first")))
        lines = orjson.dumps(text("a"), option=orjson.OPT_INDENT_2)
        decoder = OpenAIDecoder()
        frames = decoder.feed(b"data: " + lines.replace(b"\n", b"\ndata: ") + b"\n\n")
        assert chunks_of(encoder.feed(frames)) == [text("a")]

    def test_the_first_chunk_of_a_choice_carries_a_role(self) -> None:
        chunks = streamed(text("a"), text("b", 1), text("c"), end(), end(index=1))
        assert [each["choices"][0]["delta"] for each in chunks] == [
            {"role": "assistant", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"content": "c"},
            {},
            {},
        ]

    def test_a_role_that_is_there_is_left(self) -> None:
        first = chunk(choice({"role": "tool", "content": ""}))
        assert streamed(first, end())[0]["choices"][0]["delta"] == {"role": "tool", "content": ""}

    def test_two_choices_in_a_chunk_each_get_theirs(self) -> None:
        both = chunk(choice({"content": "a"}), choice({"content": "b"}, index=1))
        chunks = streamed(both, both, end(), end(index=1))
        assert [each["delta"].get("role") for each in chunks[0]["choices"]] == ["assistant"] * 2
        assert [each["delta"].get("role") for each in chunks[1]["choices"]] == [None] * 2

    def test_a_choice_finishes_once(self) -> None:
        chunks = streamed(text("a"), end(), end("length"), chunk(choice({"content": "b"}, "stop")))
        assert [each["choices"][0]["finish_reason"] for each in chunks] == [None, "stop", None, None]

    def test_an_empty_finish_reason_is_none(self) -> None:
        chunks = streamed(chunk(choice({"content": "a"}, "")), chunk(choice({"content": "b"}, "")), end())
        assert [each["choices"][0]["finish_reason"] for each in chunks] == [None, None, "stop"]

    def test_a_choice_without_index_gets_one(self) -> None:
        bare = chunk({"delta": {"content": "a"}})
        assert [each["choices"][0]["index"] for each in streamed(bare, bare, end())] == [0, 0, 0]

    def test_vendor_fields_of_rewritten_chunks_are_kept(self) -> None:
        sent = chunk(choice({"content": "a"}, "stop", native_finish_reason="STOP"), provider="X", usage=USAGE)
        (got,) = streamed(sent)
        assert got["provider"] == "X"
        assert got["choices"][0]["native_finish_reason"] == "STOP"

    def test_an_azure_preamble_passes(self) -> None:
        chunks = streamed(chunk(prompt_filter_results=[{"x": 1}]), text("a"), end())
        assert chunks[0]["prompt_filter_results"] == [{"x": 1}]
        assert chunks[1]["choices"][0]["delta"]["role"] == "assistant"


USAGE_CARRIERS = {
    "in a chunk of its own": (text("a"), end(), chunk(usage=USAGE)),
    "in the last content chunk": (text("a"), chunk(choice({"content": "b"}, "stop"), usage=USAGE)),
    "in every chunk": (
        chunk(choice({"content": "a"}), usage={**USAGE, "completion_tokens": 1}),
        chunk(choice({}, "stop"), usage=USAGE),
    ),
    "with nulls before": (
        chunk(choice({"content": "a"}), usage=None),
        chunk(choice({}, "stop"), usage=None),
        chunk(usage=USAGE),
    ),
}


class TestStreamedUsage:
    @pytest.mark.fault("F62")
    @pytest.mark.parametrize("carrier", USAGE_CARRIERS)
    def test_never_asked_for_it_is_nowhere(self, carrier: str) -> None:
        chunks = streamed(*USAGE_CARRIERS[carrier])
        assert all(each.get("usage") is None for each in chunks)
        assert all(each["choices"] for each in chunks)
        if carrier != "with nulls before":
            assert all("usage" not in each for each in chunks)

    @pytest.mark.fault("F62")
    @pytest.mark.parametrize("carrier", USAGE_CARRIERS)
    def test_asked_for_it_is_null_until_one_last_chunk(self, carrier: str) -> None:
        *before, last = streamed(*USAGE_CARRIERS[carrier], include_usage=True)
        assert all(each["usage"] is None and each["choices"] for each in before)
        assert last["choices"] == []
        assert last["usage"] == {**USAGE, "cost": 0.001234}
        assert {name: last[name] for name in HEAD} == HEAD

    @pytest.mark.parametrize(
        ("cost", "written"),
        [
            (0, b"0"),
            (1, b"0.000001"),
            (1_234, b"0.001234"),
            (123_456_789_012_345_678, b"123456789012.345678"),
        ],
    )
    def test_cost_is_an_exact_decimal(self, cost: int, written: bytes) -> None:
        encoder = streamer(include_usage=True)
        encoder.feed(frames_of(text("a"), end(), chunk(usage=USAGE)))
        out = encoder.finish(BILL._replace(cost=cost))
        assert b'"cost":' + written + b"}" in out

    def test_what_the_operator_pays_stays_inside(self) -> None:
        theirs = {"cost": 9, "cost_details": {"upstream_inference_cost": 9}, "cost_in_usd_ticks": 9}
        *_, last = streamed(text("a"), end(), chunk(usage={**USAGE, **theirs}), include_usage=True)
        assert last["usage"] == {**USAGE, "cost": 0.001234}

    def test_details_of_an_upstream_that_is_believed_are_kept(self) -> None:
        detailed = {**USAGE, "prompt_tokens_details": {"cached_tokens": 3}, "prompt_cache_hit_tokens": 3}
        *_, last = streamed(text("a"), end(), chunk(usage=detailed), include_usage=True)
        assert last["usage"] == {**detailed, "cost": 0.001234}

    @pytest.mark.fault("F61", "F63")
    @pytest.mark.parametrize("carrier", [(), (chunk(usage={**USAGE, "prompt_tokens": -1}),)])
    def test_an_estimate_is_ours_and_says_so(self, carrier: Sequence[dict[str, Any]]) -> None:
        guess = Bill(Usage(input=5, cache_read=1, output=2, reasoning=3), 1_234, estimated=True)
        *_, last = streamed(text("a"), end(), *carrier, include_usage=True, bill=guess)
        assert last["usage"] == {
            "prompt_tokens": 6,
            "completion_tokens": 5,
            "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
            "cost": 0.001234,
            "estimated": True,
        }
        ChatCompletionChunk.model_validate(last)


class TestFailedStream:
    @pytest.mark.fault("F55", "F56", "F57", "F65")
    @pytest.mark.parametrize("include_usage", [False, True])
    def test_it_ends_with_one_chunk_and_no_done(self, include_usage: bool) -> None:
        encoder = streamer(include_usage=include_usage)
        encoder.feed(frames_of(text("a")))
        error = outward([UpstreamError("reset")])
        (last,) = chunks_of(encoder.fail(error))
        assert last["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
        assert last["error"] == DIALECT.describe(error)
        assert last["error"]["code"] == "upstream_error"
        assert {name: last[name] for name in HEAD} == HEAD

    @pytest.mark.fault("F39")
    def test_a_stream_whose_hold_cannot_grow_is_told_in_band(self) -> None:
        encoder = streamer()
        encoder.feed(frames_of(text("a")))
        out = encoder.truncate(BILL, CUT)
        assert out == streamer_after_a().fail(CUT)
        assert b"[DONE]" not in out

    def test_before_anything_came_it_has_a_head_of_ours(self) -> None:
        (last,) = chunks_of(streamer().fail(CUT))
        assert (last["id"], last["created"], last["model"]) == (
            "chatcmpl-gen_1",
            1700000001,
            "upstream-model",
        )

    def test_the_openai_sdk_finds_the_error(self) -> None:
        # Its stream raises where a payload has a truthy `error` (openai/_streaming.py).
        (last,) = chunks_of(streamer().fail(CUT))
        assert last["error"]["message"] == "The credits are used up."


def streamer_after_a() -> Encoder:
    encoder = streamer()
    encoder.feed(frames_of(text("a")))
    return encoder


def told(*events: Event) -> Frame:
    return Frame(events)


class TestAnotherLanguage:
    FRAMES = (
        told(Started("msg_1", "claude", 0)),
        told(ReasoningDelta("Hm")),
        told(TextDelta("Hel"), TextDelta("lo"), TextDelta("Hallo", 1)),
        told(ToolCallDelta(0, "c0", "f", ""), ToolCallDelta(1, "c1", "g", "[]")),
        told(ToolCallDelta(0, None, None, "{}"), RefusalDelta("No", 1)),
        told(TextDelta("!"), Finished("tool_calls"), Finished("stop", 1)),
        told(UsageReport(Usage(input=5, output=2))),
    )

    def test_its_events_make_chunks(self) -> None:
        encoder = streamer(OTHER)
        chunks = chunks_of(encoder.feed(self.FRAMES))
        assert [each["choices"] for each in chunks] == [
            [choice({"role": "assistant", "reasoning_content": "Hm"})],
            [choice({"content": "Hello"}), choice({"role": "assistant", "content": "Hallo"}, index=1)],
            [choice({"tool_calls": [called_as("c0", 0, "f", ""), called_as("c1", 1, "g", "[]")]})],
            [
                choice({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
                choice({"refusal": "No"}, index=1),
            ],
            [choice({"content": "!"}, "tool_calls"), choice({}, "stop", 1)],
        ]
        assert {(each["id"], each["model"], each["created"]) for each in chunks} == {
            ("chatcmpl-gen_1", "upstream-model", 1700000001)
        }
        for each in chunks:
            ChatCompletionChunk.model_validate(each)

    SEALED = (
        told(ReasoningDelta("")),
        told(ReasoningDelta("Hm")),
        told(ReasoningSealed(ReasoningPart("Hm", "c2ln", format="anthropic-claude-v1"))),
        told(ReasoningSealed(ReasoningPart(redacted="ZW5j", format="anthropic-claude-v1"))),
        told(TextDelta("4"), Finished("stop")),
    )
    DETAILS = (
        {"type": "reasoning.text", "text": "Hm", "signature": "c2ln", "format": "anthropic-claude-v1"},
        {"type": "reasoning.encrypted", "data": "ZW5j", "format": "anthropic-claude-v1"},
    )

    def test_sealed_reasoning_is_shown_in_one_piece_beside_its_text(self) -> None:
        chunks = chunks_of(streamer(OTHER).feed(self.SEALED))
        assert [each["choices"][0]["delta"] for each in chunks] == [
            {"role": "assistant", "reasoning_content": ""},
            {"reasoning_content": "Hm"},
            {"reasoning_details": [self.DETAILS[0]]},
            {"reasoning_details": [self.DETAILS[1]]},
            {"content": "4"},
        ]

    def test_a_client_that_sends_back_the_message_it_was_given_sends_back_the_reasoning(self) -> None:
        encoder = whole(OTHER)
        encoder.feed(self.SEALED)
        message = orjson.loads(encoder.finish(BILL))["choices"][0]["message"]
        assert message["reasoning_content"] == "Hm"
        assert message["reasoning_details"] == list(self.DETAILS)
        asked_again = DIALECT.parse(orjson.dumps({"messages": [message]}))
        assert asked_again.messages[0].content == (
            ReasoningPart("Hm", "c2ln", format="anthropic-claude-v1"),
            ReasoningPart(redacted="ZW5j", format="anthropic-claude-v1"),
            TextPart("4"),
        )

    def test_usage_comes_last_where_it_was_asked_for(self) -> None:
        encoder = streamer(OTHER, include_usage=True)
        *before, last = chunks_of(encoder.feed(self.FRAMES) + encoder.finish(BILL))
        assert all(each["usage"] is None and each["choices"] for each in before)
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == 7
        assert last["usage"]["cost"] == 0.001234
        assert "estimated" not in last["usage"]
        ChatCompletionChunk.model_validate(last)

    def test_it_makes_a_completion(self) -> None:
        encoder = whole(OTHER)
        encoder.feed(self.FRAMES)
        completion = orjson.loads(encoder.finish(BILL))
        ChatCompletion.model_validate(completion)
        first, second = completion["choices"]
        assert first["message"] == {
            "role": "assistant",
            "content": "Hello!",
            "refusal": None,
            "reasoning_content": "Hm",
            "tool_calls": [
                {"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "c1", "type": "function", "function": {"name": "g", "arguments": "[]"}},
            ],
        }
        assert (first["finish_reason"], second["finish_reason"]) == ("tool_calls", "stop")
        assert second["message"] == {"role": "assistant", "content": "Hallo", "refusal": "No"}
        assert (completion["id"], completion["object"]) == ("chatcmpl-gen_1", "chat.completion")
        assert completion["usage"]["completion_tokens"] == 2

    VENDORS = (
        told(ToolCallDelta(0, "c0", "f", "{}", signature="U0lH"), ToolCallDelta(1, "c1", "g", "{}")),
        told(
            ImageDelta("data:a"), ImageDelta("data:b"), ScoresDelta((TokenScore("é", -0.5, (("e", -1.0),)),))
        ),
        told(ScoresDelta((TokenScore("!", 0.0),)), ImageDelta("data:c"), Finished("stop")),
    )
    SIGNED: ClassVar[dict[str, Any]] = {"extra_content": {"google": {"thought_signature": "U0lH"}}}
    SCORES: ClassVar[list[dict[str, Any]]] = [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -1.0, "bytes": [101]}],
        },
        {"token": "!", "logprob": 0.0, "bytes": [33], "top_logprobs": []},
    ]

    def images(self, *urls: str) -> list[dict[str, Any]]:
        return [{"type": "image_url", "image_url": {"url": url}} for url in urls]

    def test_signatures_images_and_scores_make_chunks(self) -> None:
        chunks = chunks_of(streamer(OTHER).feed(self.VENDORS))
        first, second = self.SCORES
        assert [each["choices"] for each in chunks] == [
            [
                choice(
                    {
                        "role": "assistant",
                        "tool_calls": [
                            called_as("c0", 0, "f", "{}") | self.SIGNED,
                            called_as("c1", 1, "g", "{}"),
                        ],
                    }
                )
            ],
            [
                choice(
                    {"images": self.images("data:a", "data:b")},
                    logprobs={"content": [first], "refusal": None},
                )
            ],
            [
                choice(
                    {"images": self.images("data:c")}, "stop", logprobs={"content": [second], "refusal": None}
                )
            ],
        ]
        for each in chunks:
            ChatCompletionChunk.model_validate(each)

    def test_signatures_images_and_scores_make_a_completion(self) -> None:
        encoder = whole(OTHER)
        encoder.feed(self.VENDORS)
        completion = orjson.loads(encoder.finish(BILL))
        ChatCompletion.model_validate(completion)
        (got,) = completion["choices"]
        function = {"arguments": "{}", "name": "f"}
        assert got["message"]["tool_calls"][0] == {
            "id": "c0",
            "type": "function",
            "function": function,
            **self.SIGNED,
        }
        assert got["message"]["images"] == self.images("data:a", "data:b", "data:c")
        assert got["logprobs"] == {"content": self.SCORES}


def called_as(id_: str, position: int, name: str, arguments: str) -> dict[str, Any]:
    function = {"arguments": arguments, "name": name}
    return {"index": position, "id": id_, "type": "function", "function": function}


def message(content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "refusal": None, **more}


CALLS = [
    {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
    {"id": "call_1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
]
FOLDED: dict[str, tuple[tuple[dict[str, Any], ...], dict[str, Any], str]] = {
    "text": (
        (chunk(choice({"role": "assistant", "content": ""})), text("Hel"), text("lo"), end()),
        message("Hello"),
        "stop",
    ),
    "nothing said": (
        (chunk(choice({"role": "assistant", "content": ""})), end("length")),
        message(""),
        "length",
    ),
    "tool calls": (
        (
            chunk(choice({"role": "assistant", "content": None, "tool_calls": [called(0, "", "f")]})),
            chunk(choice({"tool_calls": [called(0, '{"a"')]})),
            chunk(choice({"tool_calls": [called(0, ":1}"), called(1, "{}", "g")]})),
            end("tool_calls"),
        ),
        message(None, tool_calls=CALLS),
        "tool_calls",
    ),
    "tool calls after empty text": (
        (text(""), chunk(choice({"tool_calls": [called(0, "{}", "f")]}, "tool_calls"))),
        message(None, tool_calls=[{**CALLS[0], "function": {"name": "f", "arguments": "{}"}}]),
        "tool_calls",
    ),
    "function_call": (
        (
            chunk(
                choice(
                    {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}}
                )
            ),
            chunk(choice({"function_call": {"arguments": '{"a"'}})),
            chunk(choice({"function_call": {"arguments": ":1}"}}, "function_call")),
        ),
        message(None, function_call={"name": "f", "arguments": '{"a":1}'}),
        "function_call",
    ),
    "refusal": (
        (chunk(choice({"refusal": "I "})), chunk(choice({"refusal": "won't"})), end()),
        message(None, refusal="I won't"),
        "stop",
    ),
    "reasoning": (
        (
            chunk(choice({"reasoning_content": "H"})),
            chunk(choice({"reasoning_content": "m"})),
            text("a"),
            end(),
        ),
        message("a", reasoning_content="Hm"),
        "stop",
    ),
    "reasoning with details": (
        (
            chunk(choice({"reasoning": "H", "reasoning_details": [{"a": 1}]})),
            chunk(choice({"reasoning": "m", "reasoning_details": [{"b": 2}]})),
            end(),
        ),
        message(None, reasoning="Hm", reasoning_details=[{"a": 1}, {"b": 2}]),
        "stop",
    ),
    "audio": (
        (
            chunk(choice({"audio": {"id": "a1", "transcript": "He"}})),
            chunk(choice({"audio": {"data": "AA", "transcript": "y"}})),
            chunk(choice({"audio": {"data": "BB", "expires_at": 7}})),
            end(),
        ),
        message(None, audio={"id": "a1", "transcript": "Hey", "data": "AABB", "expires_at": 7}),
        "stop",
    ),
    "finish twice": ((text("a"), end(), end("length")), message("a"), "stop"),
}


class TestWhole:
    @pytest.mark.fault("F7")
    @pytest.mark.parametrize("name", FOLDED)
    def test_the_message_is_what_a_whole_answer_would_have_had(self, name: str) -> None:
        payloads, expected, finish = FOLDED[name]
        completion = folded(*payloads)
        (only,) = completion["choices"]
        assert only == {"index": 0, "message": expected, "logprobs": None, "finish_reason": finish}

    def test_the_frame_around_it(self) -> None:
        completion = folded(text("a"), end(), chunk(usage=USAGE))
        del completion["choices"]
        assert completion == {**HEAD, "object": "chat.completion", "usage": {**USAGE, "cost": 0.001234}}

    def test_logprobs_join(self) -> None:
        more = {"content": [{**LOGPROBS["content"][0], "token": "!"}], "refusal": None}  # type: ignore[index]
        completion = folded(
            chunk(choice({"content": "Hi"}, logprobs=LOGPROBS)),
            chunk(choice({"content": "!"}, logprobs=more)),
            end(),
        )
        assert [each["token"] for each in completion["choices"][0]["logprobs"]["content"]] == ["Hi", "!"]

    def test_choices_are_in_order(self) -> None:
        completion = folded(text("b", 1), text("a"), text("b", 1), end("length", 1), end())
        assert [
            (each["index"], each["message"]["content"], each["finish_reason"])
            for each in completion["choices"]
        ] == [(0, "a", "stop"), (1, "bb", "length")]

    def test_vendor_fields_are_kept_at_every_level(self) -> None:
        completion = folded(
            chunk(choice({"content": "a", "sources": [1]}), provider="X", system_fingerprint="fp"),
            chunk(choice({"sources": [2]}, "stop", native_finish_reason="STOP"), service_tier="flex"),
            chunk(usage=USAGE, citations=["c"]),
        )
        assert completion["provider"] == "X"
        assert completion["system_fingerprint"] == "fp"
        assert completion["service_tier"] == "flex"
        assert completion["citations"] == ["c"]
        assert completion["choices"][0]["native_finish_reason"] == "STOP"
        assert completion["choices"][0]["message"]["sources"] == [1, 2]

    def test_an_estimate_says_so(self) -> None:
        usage = folded(text("a"), end(), bill=GUESS)["usage"]
        assert (usage["estimated"], usage["total_tokens"], usage["cost"]) == (True, 7, 0.001234)

    @pytest.mark.fault("F39")
    def test_a_hold_that_cannot_grow_cuts_for_length(self) -> None:
        encoder = whole()
        encoder.feed(frames_of(text("a"), text("b", 1), end(index=1)))
        completion = orjson.loads(encoder.truncate(GUESS, CUT))
        ChatCompletion.model_validate(completion)
        assert [each["finish_reason"] for each in completion["choices"]] == ["length", "stop"]

    def test_a_failure_is_a_true_status(self) -> None:
        encoder = whole()
        encoder.feed(frames_of(text("a")))
        with pytest.raises(GatewayError) as caught:
            encoder.fail(CUT)
        assert caught.value is CUT


PIECES = st.text(max_size=3)
MEMBERS = st.sampled_from(["content", "refusal", "reasoning_content"])
DELTAS = st.one_of(
    st.builds(lambda name, piece: {name: piece}, MEMBERS, PIECES),
    st.builds(lambda a, b: {"content": a, "reasoning_content": b}, PIECES, PIECES),
    st.builds(lambda position, piece: {"tool_calls": [called(position, piece)]}, st.integers(0, 2), PIECES),
    st.just({"role": "assistant"}),
)
STEPS = st.lists(st.tuples(st.integers(0, 1), DELTAS, st.booleans()), max_size=12)


def upstream_chunks(steps: Iterable[tuple[int, dict[str, Any], bool]]) -> list[dict[str, Any]]:
    """Make an honest upstream's chunks of random steps: ids and names with the first fragment of a call."""
    chunks: list[dict[str, Any]] = []
    begun: set[tuple[int, int]] = set()
    seen = {0}
    for index, delta, probable in steps:
        seen.add(index)
        sent = delta
        if "tool_calls" in delta:
            (fragment,) = delta["tool_calls"]
            position = fragment["index"]
            if (index, position) not in begun:
                begun.add((index, position))
                sent = {"tool_calls": [called(position, fragment["function"]["arguments"], f"f{position}")]}
        more = {"logprobs": LOGPROBS} if probable else {}
        chunks.append(chunk(choice(sent, index=index, **more)))
    return [*chunks, *[end(index=index) for index in sorted(seen)], chunk(usage=USAGE)]


def fold_as_clients_do(chunks: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    choices: dict[int, dict[str, Any]] = {}
    for each in chunks:
        for part in each["choices"]:
            kept = choices.setdefault(
                part["index"], {"texts": {}, "calls": {}, "finish": None, "logprobs": 0}
            )
            delta = part["delta"]
            for name in ("content", "refusal", "reasoning_content"):
                if delta.get(name) is not None:
                    kept["texts"][name] = kept["texts"].get(name, "") + delta[name]
            for fragment in delta.get("tool_calls") or ():
                spoken = kept["calls"].setdefault(fragment["index"], {"arguments": ""})
                spoken |= {name: fragment[name] for name in ("id",) if name in fragment}
                spoken |= {
                    name: fragment["function"][name] for name in ("name",) if name in fragment["function"]
                }
                spoken["arguments"] += fragment["function"]["arguments"]
            kept["logprobs"] += len((part.get("logprobs") or {"content": []})["content"])
            if part["finish_reason"] is not None:
                assert kept["finish"] is None
                kept["finish"] = part["finish_reason"]
            kept.setdefault("role", delta.get("role"))
    return choices


def as_clients_see(completion: dict[str, Any]) -> dict[int, dict[str, Any]]:
    seen: dict[int, dict[str, Any]] = {}
    for part in completion["choices"]:
        body = part["message"]
        texts = {
            name: body[name]
            for name in ("content", "refusal", "reasoning_content")
            if body.get(name) is not None
        }
        calls = {
            position: {"id": each["id"], **each["function"]}
            for position, each in enumerate(body.get("tool_calls", ()))
        }
        seen[part["index"]] = {
            "texts": texts,
            "calls": calls,
            "finish": part["finish_reason"],
            "logprobs": len((part["logprobs"] or {"content": []})["content"]),
            "role": body["role"],
        }
    return seen


def in_order(choices: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Number tool calls by rank, and take empty text beside them for none, as a whole answer does."""
    for kept in choices.values():
        kept["calls"] = dict(enumerate(kept["calls"][position] for position in sorted(kept["calls"])))
        if kept["calls"] and kept["texts"].get("content") == "":
            del kept["texts"]["content"]
    return choices


@given(STEPS, st.booleans())
def test_a_stream_folds_into_the_whole_answer(
    steps: list[tuple[int, dict[str, Any], bool]], include_usage: bool
) -> None:
    frames = frames_of(*upstream_chunks(steps))
    for answer, carried in (
        (SAME, frames),
        (OTHER, [frame._replace(body=None, payload=b"") for frame in frames]),
    ):
        stream = streamer(answer, include_usage=include_usage)
        chunks = chunks_of(stream.feed(carried) + stream.finish(BILL))
        for each in chunks:
            ChatCompletionChunk.model_validate(each)
        encoder = whole(answer)
        encoder.feed(carried)
        completion = orjson.loads(encoder.finish(BILL))
        ChatCompletion.model_validate(completion)
        assert in_order(fold_as_clients_do(chunks)) == as_clients_see(completion)
        if include_usage:
            assert chunks[-1]["usage"] == completion["usage"]


def test_openais_own_accumulator_agrees() -> None:
    payloads, expected, finish = FOLDED["tool calls"]
    state = ChatCompletionStreamState()
    for each in streamed(*payloads, chunk(usage=USAGE), include_usage=True):
        state.handle_chunk(ChatCompletionChunk.model_validate(each))
    snapshot = state.current_completion_snapshot
    only = snapshot.choices[0]
    assert only.finish_reason == finish
    assert [each.function.arguments for each in only.message.tool_calls or ()] == ['{"a":1}', "{}"]
    assert only.message.content == expected["content"]
    assert snapshot.usage is not None
    assert snapshot.usage.total_tokens == 7


def test_a_custom_tool_call_folds_like_a_function() -> None:
    first = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "f", "input": "x"}}
    more = {"index": 0, "custom": {"input": "y"}}
    encoder = whole(SAME)
    encoder.feed(frames_of(*[chunk(choice({"tool_calls": [each]})) for each in (first, more)]))
    (told,) = orjson.loads(encoder.finish(BILL))["choices"]
    assert told["message"]["tool_calls"] == [
        {"id": "c1", "type": "custom", "custom": {"name": "f", "input": "xy"}}
    ]


@pytest.mark.parametrize("odd", [{"delta": []}, {"delta": 0}, {"delta": {"tool_calls": False}}])
def test_an_odd_nothing_folds_into_nothing(odd: dict[str, Any]) -> None:
    encoder = whole(SAME)
    encoder.feed(frames_of(chunk({"index": 0, **odd}), chunk(choice({"content": "a"}, "stop"))))
    (told,) = orjson.loads(encoder.finish(BILL))["choices"]
    assert told["message"]["content"] == "a"
