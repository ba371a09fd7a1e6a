"""A second answer is swallowed while it repeats the first, and never patched onto a different one."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rerun import Rerun, Said
from proxy.wires.openai_stream import OpenAIDecoder
from proxy.words.chat import (
    Event,
    Finished,
    Frame,
    ImageDelta,
    OpaqueDelta,
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

USAGE = UsageReport(Usage(input=3, output=4))
WHOLE: list[Event] = [
    ReasoningDelta("Hm, let me see. "),
    TextDelta("Thé quick "),
    TextDelta("brown fox", 1),
    TextDelta("brown fox"),
    RefusalDelta("no", 1),
    ToolCallDelta(0, "call_1", "find", '{"a":'),
    ToolCallDelta(0, None, None, ' "b"}'),
    Finished("tool_calls"),
    Finished("stop", 1),
]


class Scripted:
    """A decoder that hands out one event a feed, and is complete at the end."""

    failure: UpstreamError | None = None
    done = False

    def __init__(self, events: list[Event]) -> None:
        self._events = [Started("2", "m", 0), *events]

    @property
    def complete(self) -> bool:
        return not self._events

    def feed(self, data: bytes) -> list[Frame]:
        return [Frame((self._events.pop(0),))]

    def close(self) -> list[Frame]:
        frames = [Frame((event,)) for event in self._events]
        self._events.clear()
        return frames


def said(*events: Event) -> Said:
    found = Said()
    found.add([Frame(events)])
    return found


def texts(events: list[Event]) -> dict[tuple[Any, ...], str]:
    """Join what a client reads, by kind, choice and tool call."""
    return said(*events).left()


def rerun(first: list[Event], second: list[Event]) -> tuple[list[Event], Rerun]:
    decoder = Rerun(Scripted(second), said(*first))
    frames = [frame for _ in range(len(second) // 2) for frame in decoder.feed(b"")] + decoder.close()
    assert all(frame.body is None and not frame.plain and not frame.payload for frame in frames)
    return [event for frame in frames for event in frame.events], decoder


def chopped(events: list[Event], places: list[int]) -> list[Event]:
    """Cut every text at the same places."""
    cut: list[Event] = []
    for event in events:
        if isinstance(event, TextDelta | ReasoningDelta | RefusalDelta):
            ends = sorted({0, len(event.text), *(place % (len(event.text) + 1) for place in places)})
            cut += [event._replace(text=event.text[a:b]) for a, b in pairwise(ends)]
        else:
            cut.append(event)
    return cut


@given(st.integers(0, 30), st.lists(st.integers(0, 40)), st.lists(st.integers(0, 40)))
def test_what_was_sent_and_what_is_beyond_is_the_answer(sent: int, one: list[int], other: list[int]) -> None:
    first = chopped(WHOLE, one)[:sent]
    beyond, decoder = rerun(first, [*chopped(WHOLE, other), USAGE])
    assert decoder.failure is None
    assert decoder.complete
    assert texts([*first, *beyond]) == texts(WHOLE)
    assert beyond[-1] == USAGE


@given(st.integers(1, 9), st.data())
def test_a_difference_is_a_failure_and_nothing_beyond_it_is_passed_on(sent: int, data: st.DataObject) -> None:
    first = WHOLE[:sent]
    strand = data.draw(st.sampled_from(sorted(texts(first), key=repr)))
    spoiled = [_spoil(event) if strand in texts([event]) else event for event in WHOLE]
    beyond, decoder = rerun(first, spoiled)
    assert decoder.failure is not None
    assert decoder.failure.trouble == "truncated"
    assert not decoder.complete
    assert not any(strand in texts([event]) for event in beyond)


def _spoil(event: Event) -> Event:
    if isinstance(event, ToolCallDelta):
        return event._replace(id="call_2", name="seek", arguments="[" + event.arguments)
    if isinstance(event, Finished):
        return event._replace(reason="length")
    assert isinstance(event, TextDelta | ReasoningDelta | RefusalDelta)
    return event._replace(text="x" + event.text)


def test_a_shorter_second_answer_is_not_complete() -> None:
    beyond, decoder = rerun([TextDelta("abc")], [TextDelta("ab"), Finished("stop")])
    assert (texts(beyond), decoder.failure) == (texts([Finished("stop")]), None)
    assert not decoder.complete


@pytest.mark.parametrize("event", [OpaqueDelta(3), ImageDelta("data:image/png;base64,AAAA")])
def test_what_cannot_be_compared_is_not_repeatable(event: Event) -> None:
    assert said(TextDelta("a")).repeatable
    assert not said(TextDelta("a"), event).repeatable


SEAL = ReasoningSealed(ReasoningPart("Hmm", "signature"))


@pytest.mark.parametrize(
    ("first", "second", "rest"),
    [
        ([TextDelta("a")], [TextDelta("a"), ImageDelta("data:")], [ImageDelta("data:")]),
        ([ReasoningDelta("Hm")], [ReasoningDelta("Hmm"), SEAL], [ReasoningDelta("m"), SEAL]),
        ([ReasoningDelta("Hmm"), SEAL], [ReasoningDelta("Hmm"), SEAL, TextDelta("a")], [TextDelta("a")]),
    ],
    ids=["image", "seal to come", "seal there"],
)
def test_what_has_no_text_is_passed_on_once(
    first: list[Event], second: list[Event], rest: list[Event]
) -> None:
    end = Finished("stop")
    beyond, decoder = rerun(first, [*second, end])
    assert (beyond, decoder.failure, decoder.complete) == ([*rest, end], None, True)


def test_what_only_the_payload_holds_is_not_left_out_in_silence() -> None:
    beyond, decoder = rerun([TextDelta("a")], [TextDelta("a"), OpaqueDelta(3), Finished("stop")])
    assert beyond == []
    assert decoder.failure is not None
    assert not decoder.complete


@pytest.mark.parametrize(("marker", "done"), [(b"", False), (b"data: [DONE]\n\n", True)])
def test_around_a_real_decoder(marker: bytes, done: bool) -> None:
    chunks = [
        {"id": "2", "choices": [{"index": 0, "delta": {"role": "assistant", "content": piece}}]}
        for piece in ("Hel", "lo ", "you")
    ]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    stream = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in [*chunks, end]) + marker
    for cut in range(len(stream)):
        decoder = Rerun(OpenAIDecoder(), said(TextDelta("Hello")))
        frames = decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]) + decoder.close()
        assert texts([event for frame in frames for event in frame.events]) == texts(
            [TextDelta(" you"), Finished("stop")]
        )
        assert (decoder.complete, decoder.done, decoder.failure) == (True, done, None)


def test_a_broken_second_answer_fails_as_it_does() -> None:
    decoder = Rerun(OpenAIDecoder(), said(TextDelta("Hello")))
    decoder.feed(b'data: {"error": {"code": 503}}\n\n')
    assert decoder.failure is not None
    assert decoder.failure.trouble == "failed"
