"""Events become blocks that stand one after the other, however mixed they come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.blocks import Blocks, Step
from proxy.words.chat import (
    Event,
    Finished,
    ImageDelta,
    ReasoningDelta,
    ReasoningPart,
    ReasoningSealed,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from proxy.words.usage import Usage

SEAL = ReasoningPart("hm", "c2ln", format="f")
HIDDEN = ReasoningPart(redacted="x", format="f")


def call(position: int, arguments: str, name: str | None = None) -> ToolCallDelta:
    return ToolCallDelta(position, None if name is None else f"c{position}", name, arguments)


STARTS = [call(0, "", "f"), call(1, "", "g"), call(2, "", "h")]


def told(steps: Iterable[Step]) -> list[str]:
    """Write steps short: what opened, by what it grew, that it closed."""
    signs = {"open": "+{0.kind}", "grow": "{1}", "close": "-{0.kind}"}
    return [signs[step.verb].format(step.block, step.text) for step in steps]


def run(*events: Event) -> list[str]:
    blocks = Blocks()
    return told([*blocks.feed(events), *blocks.end()])


@pytest.mark.parametrize(
    ("events", "steps"),
    [
        ((), ""),
        ((TextDelta("a"), TextDelta("b")), "+text a b -text"),
        ((TextDelta(""),), ""),
        ((ReasoningDelta(""), TextDelta("a")), "+reasoning -reasoning +text a -text"),
        ((ReasoningDelta("h"), TextDelta("a")), "+reasoning h -reasoning +text a -text"),
        (
            (ReasoningDelta("h"), ReasoningSealed(SEAL), ReasoningDelta("i")),
            "+reasoning h -reasoning +reasoning i -reasoning",
        ),
        ((ReasoningSealed(SEAL), TextDelta("a")), "+reasoning -reasoning +text a -text"),
        ((TextDelta("a"), ReasoningSealed(HIDDEN)), "+text a -text +redacted -redacted"),
        ((TextDelta("a"), RefusalDelta("no")), "+text a -text +refusal no -refusal"),
        ((ImageDelta("u"), ImageDelta("v")), "+image -image +image -image"),
        ((TextDelta("a"), call(0, "", "f")), "+text a -text +call -call"),
        ((call(0, "{}", "f"), TextDelta("a")), "+call {} -call +text a -text"),
        ((call(0, "{}", "f"), call(1, "[1]", "g")), "+call {} -call +call [1] -call"),
        # A call waits for the arguments of the one before, and no longer.
        (
            (call(0, "[", "f"), call(1, "[2", "g"), call(0, "1]"), call(1, "]")),
            "+call [ 1] -call +call [2 ] -call",
        ),
        (
            (
                call(0, "", "f"),
                call(1, "", "g"),
                call(2, "", "h"),
                call(2, "{}"),
                call(1, "{}"),
                call(0, "{}"),
            ),
            "+call {} -call +call {} -call +call {} -call",
        ),
        # What is never whole holds the others up to the end, no longer.
        ((call(0, "{", "f"), call(1, "[2]", "g")), "+call { -call +call [2] -call"),
        (
            (call(0, "{", "f"), call(1, "[2]", "g"), TextDelta("a")),
            "+call { -call +call [2] -call +text a -text",
        ),
        ((Started("i", "m", 0), UsageReport(Usage()), Finished("stop")), ""),
    ],
)
def test_steps(events: Sequence[Event], steps: str) -> None:
    assert " ".join(run(*events)) == steps


def test_what_is_known_of_a_block() -> None:
    blocks = Blocks()
    blocks.feed([Started("i", "model-x", 0), ReasoningDelta("hm"), ReasoningSealed(SEAL)])
    blocks.feed([ToolCallDelta(0, "c0", "f", '{"a":', signature="s"), call(0, "1}"), Finished("tool_calls")])
    blocks.feed([Finished("stop")])
    blocks.end()
    thought, called = blocks.all
    assert (thought.index, thought.text, thought.seal) == (0, "hm", SEAL)
    assert (called.index, called.id, called.name, called.text) == (1, "c0", "f", '{"a":1}')
    assert called.signature == "s"
    assert (blocks.model, blocks.reason) == ("model-x", "tool_calls")


def test_events_go_on_where_payloads_left_off() -> None:
    blocks = Blocks()
    blocks.adopt(0, "text")
    blocks.adopt(0, None)
    blocks.adopt(1, "call")
    steps = blocks.feed([call(0, "1}"), TextDelta("a")])
    assert [(step.verb, step.block.index) for step in steps] == [
        ("grow", 1),
        ("close", 1),
        ("open", 2),
        ("grow", 2),
    ]


PIECES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=12)


@given(PIECES)
def test_no_piece_of_any_call_is_lost(pieces: list[tuple[int, int]]) -> None:
    """However calls are mixed, each has all of its arguments, and no two are open at once."""
    texts = ['{"a": [1, 2, 3]}', '{"b": "some text"}', "{}"]
    left = dict(enumerate(texts))
    events: list[Event] = []
    begun: set[int] = set()
    for position, size in [*pieces, (0, 99), (1, 99), (2, 99)]:
        events.append(call(position, left[position][:size], None if position in begun else "f"))
        left[position] = left[position][size:]
        begun.add(position)
    blocks = Blocks()
    steps = [*blocks.feed(events), *blocks.end()]
    assert sorted(block.text for block in blocks.all) == sorted(texts)
    verbs = [step.verb for step in steps if step.verb != "grow"]
    assert verbs == ["open", "close"] * 3
