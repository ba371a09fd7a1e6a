"""OpenAI's legacy completions over a chat: what is understood, what is refused, and how text comes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from openai.types import Completion

from proxy.dialects.base import EVENT_STREAM, JSON_TYPE, Answer, Bill, Encoder
from proxy.dialects.completions import CompletionsDialect
from proxy.words.chat import (
    ChatRequest,
    Event,
    Finished,
    Frame,
    Message,
    ReasoningDelta,
    RefusalDelta,
    Run,
    Started,
    TextDelta,
    TextPart,
)
from proxy.words.errors import GatewayError
from proxy.words.usage import Usage

DIALECT = CompletionsDialect("gateway")
ANSWER = Answer("gen_1", "openai", 1000, 1700000001, "upstream-model")
BILL = Bill(Usage(input=5, output=7), 1_234, estimated=False)
CUT = GatewayError("insufficient_credits", "The credits are used up.")
HEAD = {"id": "cmpl-gen_1", "object": "text_completion", "created": 1700000001, "model": "gpt-x"}
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 7,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    "cost": 0.001234,
}
BEGUN = Started("id", "gpt-x", 1)


def asked(**body: Any) -> ChatRequest:
    return DIALECT.parse(orjson.dumps({"model": "m", "prompt": "Hi", **body}))


class TestRequests:
    @pytest.mark.parametrize("prompt", ["Hi", ["Hi"]])
    def test_a_prompt_is_one_message(self, prompt: Any) -> None:
        call = asked(prompt=prompt)
        assert call.messages == (Message("user", (TextPart("Hi"),)),)
        assert (call.max_tokens, call.origin.language) == (16, "completions")

    def test_the_plain_fields(self) -> None:
        call = asked(
            max_tokens=9, n=2, stop="END", temperature=1.5, seed=7, user="u", stream=True, odd=1, best_of=1
        )
        assert (call.max_tokens, call.n, call.sampling.stop, call.stream) == (9, 2, ("END",), True)
        assert (call.sampling.temperature, call.sampling.seed, call.user) == (1.5, 7, "u")
        assert call.extra == {"odd": 1}

    @pytest.mark.parametrize(
        ("body", "name", "param"),
        [
            *[({"prompt": value}, "invalid_request", "prompt") for value in (None, "", [], ["a", "b"], 7)],
            *[({"prompt": value}, "invalid_request", "prompt") for value in ([1, 2], [[1, 2]], ["a", 1])],
            ({"echo": 1}, "invalid_request", "echo"),
            ({"messages": []}, "invalid_request", "messages"),
            ({"max_tokens": 0}, "invalid_request", "max_tokens"),
            ({"n": 99}, "invalid_request", "n"),
            ({"suffix": "."}, "unsupported_parameter", "suffix"),
            ({"logprobs": 0}, "unsupported_parameter", "logprobs"),
            ({"logprobs": 5}, "unsupported_parameter", "logprobs"),
            ({"best_of": 2}, "unsupported_parameter", "best_of"),
        ],
    )
    def test_a_wrong_field_is_named(self, body: dict[str, Any], name: str, param: str) -> None:
        with pytest.raises(GatewayError) as caught:
            asked(**body)
        assert (caught.value.name, caught.value.param) == (name, param)


def encoder(**body: Any) -> Encoder:
    return DIALECT.encoder(asked(**body), ANSWER)


def streamed(*events: Event, **body: Any) -> list[dict[str, Any]]:
    writer = encoder(stream=True, **body)
    assert writer.media_type == EVENT_STREAM
    out = writer.feed([Frame((each,)) for each in events]) + writer.finish(BILL)
    *payloads, done, rest = out.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [orjson.loads(payload.removeprefix(b"data: ")) for payload in payloads]


def whole(*events: Event, **body: Any) -> dict[str, Any]:
    writer = encoder(**body)
    assert writer.media_type == JSON_TYPE
    assert writer.feed([Frame((each,)) for each in events]) == b""
    completion = orjson.loads(writer.finish(BILL))
    Completion.model_validate(completion)
    return dict(completion)


def choice(text: str, reason: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": reason}


class TestAnswers:
    def test_a_stream_in_full(self) -> None:
        events = BEGUN, TextDelta("Hi"), ReasoningDelta("hm"), TextDelta(" you"), Finished("stop")
        told = [choice("Hi"), choice(" you"), choice("", "stop")]
        assert streamed(*events) == [{**HEAD, "choices": [each]} for each in told]

    def test_usage_comes_last_for_those_who_asked(self) -> None:
        told = streamed(BEGUN, TextDelta("Hi"), Finished("stop"), stream_options={"include_usage": True})
        assert [chunk["usage"] for chunk in told] == [None, None, USAGE]
        assert told[-1]["choices"] == []

    def test_a_run_of_chunks_is_as_many_events(self) -> None:
        texts = [b"one ", "zw\u00f6lf ".encode(), b"three"]
        many = Frame((TextDelta(b"".join(texts).decode()),), plain=True, run=Run(b"", texts, b"", b""))
        several = [Frame((TextDelta(text.decode()),)) for text in texts]
        for stream in (False, True):
            written, expected = encoder(stream=stream), encoder(stream=stream)
            out = written.feed([many]) + written.finish(BILL)
            assert out == expected.feed(several) + expected.finish(BILL)

    def test_a_whole_completion_in_full(self) -> None:
        events = BEGUN, TextDelta("Hi"), RefusalDelta(" not"), Finished("length"), Finished("stop")
        assert whole(*events) == {**HEAD, "choices": [choice("Hi not", "length")], "usage": USAGE}

    def test_an_echo_begins_every_choice(self) -> None:
        events = TextDelta("a", 0), TextDelta("b", 1), TextDelta("c", 0), Finished("stop", 0)
        found = whole(*events, echo=True)["choices"]
        assert found == [choice("Hiac", "stop"), choice("Hib", "stop", 1)]
        told = [one["text"] for chunk in streamed(*events, echo=True) for one in chunk["choices"]]
        assert told == ["Hia", "Hib", "c", ""]

    def test_a_choice_ends_once(self) -> None:
        told = streamed(TextDelta("a"), Finished("stop"), Finished("stop"))
        assert [chunk["choices"][0]["finish_reason"] for chunk in told] == [None, "stop"]


class TestFailures:
    def test_a_stream_tells_it_in_one_last_chunk(self) -> None:
        for truncated in (False, True):
            writer = encoder(stream=True)
            writer.feed([Frame((BEGUN, TextDelta("x")))])
            out = writer.truncate(BILL, CUT) if truncated else writer.fail(CUT)
            chunk = orjson.loads(out.removeprefix(b"data: "))
            assert chunk["choices"] == [choice("", "error")]
            assert (chunk["error"]["type"], chunk["error"]["code"]) == ("insufficient_balance", "402")

    def test_a_whole_answer_is_cut_or_fails(self) -> None:
        writer = encoder()
        with pytest.raises(GatewayError):
            writer.fail(CUT)
        with pytest.raises(GatewayError):
            writer.truncate(BILL, CUT)
        writer.feed([Frame((TextDelta("x"),))])
        assert orjson.loads(writer.truncate(BILL, CUT))["choices"] == [choice("x", "length")]
