"""The short cuts for a chunk that is text alone give what the long way gives."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.base import Answer
from proxy.dialects.openai_chunk import chunk_of
from proxy.dialects.openai_stream import StreamEncoder
from proxy.wires import gemini_usage
from proxy.wires.gemini_stream import GeminiDecoder
from proxy.words.chat import Event, Finished, Frame, ReasoningDelta, TextDelta, UsageReport
from proxy.words.sse import frame
from proxy.words.usage import Usage

ANSWER = Answer("01J", "gemini", 1000, 1_700_000_000, 'a"model')


class LongWay(GeminiDecoder):
    def _text_alone(self, body: Any) -> None:
        return


odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, 1, -1, True, "", "x", "TEXT", [], {}, [{}], ["x"], 10**8, 2.5]
)
figures = st.sampled_from([0, 1, 2, 3, 7])
details = st.lists(st.fixed_dictionaries({"modality": st.sampled_from(["TEXT", "AUDIO", 1])}), max_size=2)
usages = st.fixed_dictionaries(
    {},
    optional={
        "promptTokenCount": figures | odd,
        "candidatesTokenCount": figures | odd,
        "thoughtsTokenCount": figures | odd,
        "totalTokenCount": figures | odd,
        "promptTokensDetails": details | odd,
        "cachedContentTokenCount": figures | odd,
    },
)
parts = st.fixed_dictionaries({"text": st.text(max_size=3)}, optional={"thought": st.booleans()}) | odd
contents = st.fixed_dictionaries({"parts": st.lists(parts, max_size=2) | odd}) | odd
candidates = st.fixed_dictionaries(
    {"content": contents},
    optional={"index": st.sampled_from([0, 1]) | odd, "finishReason": st.just("STOP") | odd},
)
payloads = st.fixed_dictionaries(
    {"candidates": st.lists(candidates, max_size=2) | odd},
    optional={"usageMetadata": usages | odd, "error": odd, "promptFeedback": odd},
)


@given(st.lists(payloads | odd, max_size=4))
def test_a_payload_of_text_alone_is_read_as_any_other(bodies: list[Any]) -> None:
    first = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}
    quick, slow = GeminiDecoder(), LongWay()
    for body in (first, *bodies):
        data = frame(orjson.dumps(body))
        assert quick.feed(data) == slow.feed(data)
    assert quick.complete == slow.complete
    assert (quick.failure is None) == (slow.failure is None)
    if quick.failure is not None and slow.failure is not None:
        assert quick.failure.trouble == slow.failure.trouble


@given(usages)
def test_figures_of_text_alone_are_read_as_any_others(usage: dict[str, Any]) -> None:
    try:
        expected = gemini_usage._read(usage)
    except (TypeError, ValueError, AttributeError):
        expected = UsageReport(Usage(), trusted=False)
    assert gemini_usage.read_usage(usage) == expected


def test_the_short_cut_for_figures_is_taken() -> None:
    usage = {"promptTokenCount": 4, "candidatesTokenCount": 2, "thoughtsTokenCount": 1, "totalTokenCount": 7}
    usage |= {"promptTokensDetails": [{"modality": "TEXT", "tokenCount": 4}]}  # type: ignore[dict-item]
    assert gemini_usage._text_alone(usage) == UsageReport(Usage(input=4, output=2, reasoning=1))


events = st.one_of(
    st.builds(TextDelta, st.text(max_size=4), st.integers(0, 2)),
    st.builds(ReasoningDelta, st.just("hm"), st.integers(0, 2)),
    st.builds(Finished, st.just("stop"), st.integers(0, 2)),
    st.just(UsageReport(Usage(1))),
)


@pytest.mark.parametrize("include_usage", [True, False])
@given(st.lists(st.lists(events, max_size=3), max_size=6))
def test_a_chunk_of_text_alone_is_written_as_any_other(include_usage: bool, said: list[list[Event]]) -> None:
    quick = StreamEncoder(ANSWER, include_usage=include_usage, describe=lambda _: {})
    slow = StreamEncoder(ANSWER, include_usage=include_usage, describe=lambda _: {})
    for each in said:
        piece = Frame(tuple(each), b"{}", {})
        assert quick._frame(piece) == slow._rewritten(chunk_of(piece, ANSWER), ours=False)
