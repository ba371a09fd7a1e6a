"""Chunks read many at once are as chunks read one by one: bytes, bill, and what is taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.base import Answer, Encoder
from proxy.dialects.openai_stream import StreamEncoder
from proxy.dialects.openai_whole import WholeEncoder
from proxy.policy.plan import Terms
from proxy.relay import Meter, Relay
from proxy.wires.alike import Alike
from proxy.wires.openai_stream import OpenAIDecoder
from proxy.words.chat import TextDelta
from proxy.words.errors import GatewayError, UpstreamError, outward
from proxy.words.money import Price, Rates
from proxy.words.usage import Usage

PENNY = Terms("m", Price(Rates(input=1_000_000, output=1_000_000)), Fraction(1), 4000, 100, "1")
REFUSAL = GatewayError("insufficient_credits", "The credits are used up.")
ANSWER = Answer("gen_1", "openai", 1000, 1, "m")


def payload(text: str, *, index: int = 0, tail: str = "", scores: Any = None, **more: Any) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "logprobs": scores, "finish_reason": None}
    body = {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice]}
    return orjson.dumps({**body, **more}) + tail.encode()


def framed(*payloads: bytes) -> bytes:
    return b"".join(b"data: %b\n\n" % each for each in payloads)


SCORES = {"content": [{"token": "a", "logprob": -0.5}]}
FINISH = payload("").replace(b'"finish_reason":null', b'"finish_reason":"stop"')


class OneByOne(OpenAIDecoder):
    """Learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._lessons = 0


class Purse:
    """Refuses, or has not decided."""

    def __init__(self, answer: GatewayError | None) -> None:
        self._answer = answer

    def extend(self) -> GatewayError | None:
        return self._answer

    def replays(self) -> bool:
        return False

    def outward(self, error: UpstreamError) -> GatewayError:
        return outward([error])


def stream_encoder(include_usage: bool) -> StreamEncoder:
    return StreamEncoder(ANSWER, include_usage=include_usage, describe=lambda error: {"code": error.name})


def relay(decoder: OpenAIDecoder, encoder: Encoder, hold: int, purse: Purse) -> Relay:
    return Relay(decoder, encoder, Meter(PENNY, Usage(input=1), hold), purse)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(edges)]


TEXTS = st.one_of(
    st.sampled_from(["a", " the", "é", "水車", "\u2028", "", "\n", '"', "\\", "\x00", '{"content":"a"}']),
    st.text(max_size=8),
)
CHUNKS = st.builds(
    payload,
    TEXTS,
    index=st.sampled_from([0, 0, 0, 0, 1]),
    tail=st.sampled_from(["", "", "", " "]),
    scores=st.sampled_from([None, None, None, SCORES]),
    system_fingerprint=st.sampled_from(["fp", "fp", "fp", "other"]),
)
USAGE_CHUNKS = st.builds(payload, TEXTS, usage=st.none())
STREAMS = st.one_of(st.lists(CHUNKS, max_size=24), st.lists(USAGE_CHUNKS, max_size=24))


@given(
    STREAMS,
    st.lists(st.integers(0, 10_000), max_size=6),
    st.sampled_from([2, 8, 30, 1000]),
    st.sampled_from([REFUSAL, None]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3000),
)
def test_many_at_once_come_to_the_same_as_one_by_one(
    payloads: list[bytes],
    places: list[int],
    hold: int,
    purse: GatewayError | None,
    include_usage: bool,
    whole: bool,
    unsent: int,
) -> None:
    data = framed(*payloads, FINISH, b"[DONE]")
    encoder: Callable[[], Encoder] = (
        (lambda: WholeEncoder(ANSWER)) if whole else (lambda: stream_encoder(include_usage))
    )
    ours = relay(OpenAIDecoder(), encoder(), hold, Purse(purse))
    theirs = relay(OneByOne(), encoder(), hold, Purse(purse))
    for piece in cut(data, places):
        told = []
        for each in (ours, theirs):
            try:
                told.append(each.feed(piece))
            except GatewayError as error:
                told.append(error.name.encode())
        assert told[0] == told[1]
        assert (ours.done, ours.starved, str(ours.error)) == (theirs.done, theirs.starved, str(theirs.error))
        assert ours.meter.relayed_bytes == theirs.meter.relayed_bytes
        assert ours.complete == theirs.complete
        if ours.done or ours.starved:
            break
    if not whole:
        for each in (ours, theirs):
            each.take_back(unsent)
        assert ours.meter.relayed_bytes == theirs.meter.relayed_bytes


def test_what_is_alike_is_one_frame_and_the_rest_is_left() -> None:
    decoder = OpenAIDecoder()
    decoder.feed(framed(payload("one")))
    frames = decoder.feed(framed(payload(" two"), payload(" three"), FINISH))
    assert [len(frame.run.texts) if frame.run else 0 for frame in frames] == [2, 0]
    assert frames[0].events == (TextDelta(" two three"),)


@pytest.mark.parametrize("spaced", [False, True])
def test_a_space_after_the_colon_is_learnt_too(spaced: bool) -> None:
    first = payload("one").replace(b'"content":', b'"content": ' if spaced else b'"content":')
    assert Alike.learn(first, orjson.loads(first), TextDelta("one")) is not None


def test_the_same_words_elsewhere_are_not_taken_for_the_text() -> None:
    first = orjson.dumps({"x": {"content": "hi"}, "choices": [{"index": 0, "delta": {"content": "hi"}}]})
    assert Alike.learn(first, orjson.loads(first), TextDelta("hi")) is None


def test_a_chunk_without_choices_teaches_nothing() -> None:
    decoder = OpenAIDecoder()
    assert [frame.run for frame in decoder.feed(framed(b'{"id":"c-1"}'))] == [None]
    assert decoder.failure is None


def test_obfuscated_chunks_are_read_one_by_one() -> None:
    decoder = OpenAIDecoder()
    for number in range(20):
        frames = decoder.feed(framed(payload("word", obfuscation="x" * number)))
        assert frames[0].run is None
        assert TextDelta("word") in frames[0].events
