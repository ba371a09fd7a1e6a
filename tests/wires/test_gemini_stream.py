"""A Gemini stream becomes the same frames however it is cut, and what is no answer does not pass for one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wires.gemini import GeminiWire
from proxy.wires.gemini_contents import MINTED
from proxy.wires.gemini_stream import BROKEN, FINISHES, MAX_LINE, GeminiDecoder
from proxy.words.chat import (
    Event,
    Finished,
    Frame,
    ImageDelta,
    ReasoningDelta,
    ScoresDelta,
    Started,
    TextDelta,
    TokenScore,
    ToolCallDelta,
    UsageReport,
)
from proxy.words.usage import Usage

Json = dict[str, Any]
BEGIN = Started("resp-1", "gemini-x", 0)
HEAD = {"modelVersion": "gemini-x", "responseId": "resp-1"}


def chunk(*candidates: Json, **more: Any) -> Json:
    return {"candidates": list(candidates), **HEAD, **more}


def candidate(*parts: Json, finish: str | None = None, index: int | None = None, **more: Any) -> Json:
    written: Json = {"content": {"parts": list(parts), "role": "model"}, **more}
    if finish is not None:
        written["finishReason"] = finish
    return written if index is None else {**written, "index": index}


def text(piece: str, finish: str | None = None, index: int | None = 0) -> Json:
    return chunk(candidate({"text": piece}, finish=finish, index=index))


def end(reason: str = "STOP", index: int = 0) -> Json:
    return chunk({"finishReason": reason, "index": index})


def call(name: str, args: Any = None, **more: Any) -> Json:
    return {"functionCall": {"name": name, **({} if args is None else {"args": args})}, **more}


def sse(*chunks: Any, line_end: bytes = b"\r\n") -> bytes:
    """Frame payloads as Google does, with CRLF."""
    return b"".join([b"data: " + orjson.dumps(each) + line_end * 2 for each in chunks])


Read = tuple[list[Frame], GeminiDecoder]


def read(*pieces: bytes) -> Read:
    decoder = GeminiWire().decoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return frames + decoder.close(), decoder


def events(frames: Iterable[Frame]) -> list[Event]:
    return [event for frame in frames for event in frame.events]


def usage(prompt: int, answer: int, thoughts: int = 0) -> Json:
    return {
        "promptTokenCount": prompt,
        "candidatesTokenCount": answer,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": prompt + answer + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }


PIXEL = {"mimeType": "image/png", "data": "iVBORw0KGgo="}
GOLDEN: dict[str, tuple[bytes, list[Event]]] = {
    "text, with usage in each chunk": (
        sse(
            {**text("Hel", index=None), "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}},
            {**text("lo", "STOP", index=None), "usageMetadata": usage(4, 2)},
        ),
        [
            BEGIN,
            TextDelta("Hel"),
            UsageReport(Usage(input=4)),
            TextDelta("lo"),
            Finished("stop"),
            UsageReport(Usage(input=4, output=2)),
        ],
    ),
    "not only ASCII, LF": (
        sse(text("Hé"), text("✓🙂", "MAX_TOKENS"), line_end=b"\n"),
        [BEGIN, TextDelta("Hé"), TextDelta("✓🙂"), Finished("length")],
    ),
    "thoughts": (
        sse(
            chunk(candidate({"text": "Hm", "thought": True})),
            chunk(candidate({"text": "", "thought": True}, {"text": "Yes", "thoughtSignature": "U0lH"})),
            chunk(candidate({"text": "", "thoughtSignature": "U0lH"}, finish="STOP")),
        ),
        [BEGIN, ReasoningDelta("Hm"), TextDelta("Yes"), Finished("stop")],
    ),
    "calls with ids, in two chunks, finished in a third": (
        sse(
            chunk(candidate({"text": "See: "}, call("f", {"a": [1, "é"]}, thoughtSignature="U0lH"))),
            chunk(candidate({"functionCall": {"id": "fc-2", "name": "g", "args": {}}})),
            chunk(candidate({"text": ""}, finish="STOP")),
        ).replace(b'"name":"f"', b'"id":"fc-1","name":"f"'),
        [
            BEGIN,
            TextDelta("See: "),
            ToolCallDelta(0, "fc-1", "f", '{"a":[1,"é"]}', signature="U0lH"),
            ToolCallDelta(1, "fc-2", "g", "{}"),
            Finished("tool_calls"),
        ],
    ),
    "a call cut short by the limit": (
        sse(chunk(candidate({"functionCall": {"id": "c", "name": "f"}}, finish="MAX_TOKENS"))),
        [BEGIN, ToolCallDelta(0, "c", "f", "{}"), Finished("length")],
    ),
    "an image; a sketch of one is a thought": (
        sse(
            chunk(
                candidate({"inlineData": PIXEL, "thought": True}, {"text": "Here:"}, {"inlineData": PIXEL})
            ),
            end(),
        ),
        [
            BEGIN,
            TextDelta("Here:"),
            ImageDelta("data:image/png;base64,iVBORw0KGgo="),
            Finished("stop"),
        ],
    ),
    "two candidates": (
        sse(
            chunk(candidate({"text": "a"}, index=0), candidate({"text": "b"}, index=1)),
            end(index=1),
            end("MAX_TOKENS"),
        ),
        [BEGIN, TextDelta("a"), TextDelta("b", 1), Finished("stop", 1), Finished("length")],
    ),
    "calls of two candidates are counted apart": (
        sse(
            chunk(
                candidate({"functionCall": {"id": "x", "name": "f"}}, index=0, finish="STOP"),
                candidate({"functionCall": {"id": "y", "name": "f"}}, index=1, finish="STOP"),
            )
        ),
        [
            BEGIN,
            ToolCallDelta(0, "x", "f", "{}"),
            Finished("tool_calls"),
            ToolCallDelta(0, "y", "f", "{}", 1),
            Finished("tool_calls", 1),
        ],
    ),
    "log probabilities": (
        sse(
            chunk(
                candidate(
                    {"text": "Hi!"},
                    finish="STOP",
                    logprobsResult={
                        "topCandidates": [
                            {
                                "candidates": [
                                    {"token": "Hi", "logProbability": -0.1},
                                    {"token": "Yo", "logProbability": -2},
                                ]
                            }
                        ],
                        "chosenCandidates": [
                            {"token": "Hi", "logProbability": -0.1, "tokenId": 5},
                            {"token": "!"},
                        ],
                    },
                )
            )
        ),
        [
            BEGIN,
            TextDelta("Hi!"),
            ScoresDelta((TokenScore("Hi", -0.1, (("Hi", -0.1), ("Yo", -2.0))), TokenScore("!", 0.0))),
            Finished("stop"),
        ],
    ),
    "safety ratings and unknown members and parts": (
        sse(
            chunk(promptFeedback={"safetyRatings": [{"category": "X"}]}),
            chunk(candidate({"text": "a"}, {"executableCode": {}}, safetyRatings=[], citationMetadata={})),
            {**end("SAFETY"), "news": {"a": 1}},
        ),
        [BEGIN, TextDelta("a"), Finished("content_filter")],
    ),
    "finished twice": (
        sse(text("a", "STOP"), text("b", "MAX_TOKENS")),
        [BEGIN, TextDelta("a"), Finished("stop"), TextDelta("b")],
    ),
    "the last blank line is missing": (
        sse(text("a"), end())[:-4],
        [BEGIN, TextDelta("a"), Finished("stop")],
    ),
    "nothing but an end": (sse(end()), [BEGIN, Finished("stop")]),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    stream, expected = GOLDEN[name]
    frames, decoder = read(stream)
    assert events(frames) == expected
    assert decoder.failure is None
    assert decoder.complete
    assert not decoder.done
    assert all(frame.body == orjson.loads(frame.payload) for frame in frames)


@pytest.mark.fault("F59")
@pytest.mark.parametrize("name", GOLDEN)
def test_every_split_in_two_and_single_bytes_give_the_same_frames(name: str) -> None:
    stream, _ = GOLDEN[name]
    whole, _ = read(stream)
    for place in range(1, len(stream)):
        assert read(stream[:place], stream[place:])[0] == whole
    assert read(*[stream[place : place + 1] for place in range(len(stream))])[0] == whole


class TestIdsWeMake:
    def ids(self) -> list[str | None]:
        frames, _ = read(
            sse(
                chunk(candidate(call("f", {"a": 1}), call("f", {"a": 2}), index=0)),
                chunk(candidate(call("g"), index=1)),
                chunk(candidate({"functionCall": {"name": "h", "id": ""}}, index=0)),
            )
        )
        return [event.id for event in events(frames) if isinstance(event, ToolCallDelta)]

    def test_no_two_are_alike_in_one_answer_or_in_two(self) -> None:
        ids = self.ids() + self.ids()
        assert len(set(ids)) == len(ids) == 8

    def test_they_can_be_told_and_fit_every_vendor(self) -> None:
        for each in self.ids():
            assert each is not None
            assert each.startswith(MINTED)
            assert len(each) <= 40
            assert each.replace("_", "").isalnum()


@pytest.mark.parametrize("reason", FINISHES)
def test_reasons_are_openais(reason: str) -> None:
    frames, decoder = read(sse(text("a", reason)))
    assert events(frames)[-1] == Finished(FINISHES[reason])
    assert FINISHES[reason] in {"stop", "length", "content_filter"}
    assert decoder.complete


@pytest.mark.parametrize("reason", ["OTHER", "NO_IMAGE", "SOMETHING_NEW"])
def test_other_reasons_pass_in_lower_case(reason: str) -> None:
    assert events(read(sse(text("a", reason)))[0])[-1] == Finished(reason.lower())


@pytest.mark.parametrize("reason", sorted(BROKEN))
@pytest.mark.parametrize("before", [(), (text("a"),)])
def test_an_answer_the_model_could_not_write_is_a_failure(reason: str, before: tuple[Json, ...]) -> None:
    frames, decoder = read(sse(*before, end(reason), text("more", "STOP")))
    assert events(frames) == [BEGIN, TextDelta("a")][: 2 * len(before)]
    assert decoder.failure is not None
    assert decoder.failure.trouble == "failed"
    assert decoder.failure.fails_over
    assert not decoder.complete


def test_an_account_that_is_barred_is_the_operators_affair() -> None:
    _, decoder = read(sse(end("PUP_LIMITED_DISABLED")))
    assert decoder.failure is not None
    assert decoder.failure.trouble == "auth"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "Function call `f` is missing a thought_signature.",
            "Function call `f` is missing a thought_signature.",
        ),
        (None, "A tool call lacks its thought signature."),
        (7, "A tool call lacks its thought signature."),
    ],
)
def test_a_missing_signature_is_the_requests_own_fault(message: Any, said: str) -> None:
    finish = {"finishReason": "MISSING_THOUGHT_SIGNATURE", "finishMessage": message}
    _, decoder = read(sse(chunk(finish)))
    assert decoder.failure is not None
    assert (decoder.failure.trouble, decoder.failure.message) == ("rejected", said)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("SAFETY", "The model provider blocked the prompt: SAFETY."),
        ("PROHIBITED_CONTENT", "The model provider blocked the prompt: PROHIBITED_CONTENT."),
        (7, "The model provider blocked the prompt: 7."),
        ("AIza" + "k" * 30, "The model provider blocked the prompt: [redacted]."),
    ],
)
def test_a_blocked_prompt_is_a_400_of_the_clients_and_no_answer(reason: Any, said: str) -> None:
    feedback = {"promptFeedback": {"blockReason": reason}, "usageMetadata": usage(5, 0), **HEAD}
    frames, decoder = read(sse(feedback))
    assert frames == []
    failure = decoder.failure
    assert failure is not None
    assert (failure.trouble, failure.code, failure.message) == ("rejected", "content_policy_violation", said)
    assert not failure.fails_over
    assert not decoder.complete


@pytest.mark.parametrize(
    ("chunks", "complete"),
    [
        ((), False),
        ((chunk(),), False),
        ((text("a"),), False),
        ((text("a"), end()), True),
        ((end(),), True),
        ((text("a"), text("b", index=1), end()), False),
        ((text("a"), text("b", index=1), end(index=1)), False),
        ((text("a"), text("b", index=1), end(), end(index=1)), True),
        ((text("a"), end(), text("b", index=1)), False),
        ((text("a"), chunk(usageMetadata=usage(1, 1))), False),
        ((text("a", ""),), False),
        ((text("a"), chunk({"finishReason": None})), False),
    ],
)
@pytest.mark.fault("F55", "F58")
def test_complete_is_every_begun_candidate_finished(chunks: tuple[Json, ...], complete: bool) -> None:
    _, decoder = read(sse(*chunks))
    assert decoder.complete is complete
    assert decoder.failure is None


ERROR = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.fault("F65")
@pytest.mark.parametrize("wrapped", [ERROR, [ERROR]])
@pytest.mark.parametrize("before", [(), (text("a"),)])
def test_an_error_in_the_stream_ends_it(wrapped: Any, before: tuple[Json, ...]) -> None:
    frames, decoder = read(sse(*before, wrapped, text("more", "STOP")))
    assert events(frames) == [BEGIN, TextDelta("a")][: 2 * len(before)]
    assert decoder.failure is not None
    assert (decoder.failure.trouble, decoder.failure.status) == ("failed", 503)
    assert not decoder.complete


def with_part(part: Any) -> bytes:
    return orjson.dumps(chunk({"content": {"parts": [part]}}))


BAD_PAYLOADS: dict[str, bytes] = {
    "a good candidate, finished, and a bad one": orjson.dumps(
        chunk(candidate({"text": "b"}, finish="STOP"), {"index": "1"})
    ),
    "cut JSON": b'{"candidates": [',
    "text": b"Internal Server Error",
    "invalid UTF-8": b'{"candidates": "\xff"}',
    "empty array": b"[]",
    "array": b"[1]",
    "string": b'"hello"',
    "number": b"7",
    "null": b"null",
    "candidates not an array": b'{"candidates": 7}',
    "candidate not an object": b'{"candidates": ["a"]}',
    "content not an object": b'{"candidates": [{"content": "a"}]}',
    "parts not an array": b'{"candidates": [{"content": {"parts": 7}}]}',
    "index a string": b'{"candidates": [{"index": "0", "content": {"parts": [{"text": "a"}]}}]}',
    "index true": b'{"candidates": [{"index": true, "content": {"parts": [{"text": "a"}]}}]}',
    "feedback a string": b'{"promptFeedback": "x"}',
    "part a string": with_part("a"),
    "text a number": with_part({"text": 7}),
    "text an object": with_part({"text": {"a": 1}}),
    "call a string": with_part({"functionCall": "f"}),
    "call without a name": with_part({"functionCall": {"args": {}}}),
    "call with an empty name": with_part(call("")),
    "call with a name that is a number": with_part(call("f") | {"functionCall": {"name": 7}}),
    "arguments an array": with_part(call("f", [1])),
    "signature a number": with_part(call("f", thoughtSignature=7)),
    "sound": with_part({"inlineData": {"mimeType": "audio/wav", "data": "UklG"}}),
    "image without data": with_part({"inlineData": {"mimeType": "image/png"}}),
    "image's data a number": with_part({"inlineData": {"mimeType": "image/png", "data": 7}}),
    "scores an array": orjson.dumps(chunk({"logprobsResult": [1]})),
    "score a string": orjson.dumps(chunk({"logprobsResult": {"chosenCandidates": ["a"]}})),
    "score's token a number": orjson.dumps(chunk({"logprobsResult": {"chosenCandidates": [{"token": 7}]}})),
    "score true": orjson.dumps(chunk({"logprobsResult": {"chosenCandidates": [{"logProbability": True}]}})),
    "nested too deep": b'{"candidates": ' + b"[" * 2000 + b"]" * 2000 + b"}",
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


@pytest.mark.fault("F73")
def test_a_line_without_end_breaks_the_protocol_and_an_image_does_not() -> None:
    large = {"mimeType": "image/png", "data": "A" * (2 * 1024 * 1024)}
    frames, decoder = read(sse(chunk(candidate({"inlineData": large}, finish="STOP"))))
    assert [type(event) for event in events(frames)] == [Started, ImageDelta, Finished]
    assert decoder.failure is None
    _, decoder = read(sse(text("a")), b"data: " + b"x" * MAX_LINE + b"x")
    assert decoder.failure is not None
    assert decoder.failure.trouble == "protocol"
    assert decoder.feed(sse(end())) == []


def test_a_line_that_only_the_end_shows_to_be_too_long_is_told_too() -> None:
    half = b"data: " + b"x" * (MAX_LINE // 2)
    fed = GeminiDecoder()
    fed.feed(half + b"\n")
    fed.feed(half)
    assert fed.failure is None
    frames, closed = read(half + b"\n", half)
    assert frames == []
    assert closed.failure is not None
    assert closed.failure.trouble == "protocol"


@given(st.binary(max_size=80), st.lists(st.integers(0, 200), max_size=4))
def test_any_bytes_are_read_without_an_exception(junk: bytes, places: list[int]) -> None:
    stream = sse(text("a")) + b"data: " + junk + b"\n\n"
    edges = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    frames, _ = read(*[stream[a:b] for a, b in pairwise(edges)])
    assert events(frames)[:2] == [BEGIN, TextDelta("a")]


NAMES = (
    *("candidates", "index", "content", "parts", "text", "thought", "functionCall", "name", "args", "id"),
    *("finishReason", "usageMetadata", "promptTokenCount", "promptTokensDetails", "modality", "tokenCount"),
    *("promptFeedback", "blockReason", "error", "code", "status", "details", "retryDelay", "inlineData"),
    *("mimeType", "data", "logprobsResult", "chosenCandidates", "topCandidates", "thoughtSignature"),
)
LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "STOP"])
)
JSON = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=24,
)


@given(JSON)
def test_any_json_is_read_without_an_exception(body: Any) -> None:
    stream = sse(body)
    frames, decoder = read(stream)
    assert decoder.failure is not None or len(frames) == 1
