"""Gemini's figures, overlapping and apart, become disjoint; those that cannot be true are not believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wires.gemini_usage import read_usage
from proxy.words.chat import UsageReport
from proxy.words.usage import MAX_TOKENS, Usage

Json = dict[str, Any]


def detail(**tokens: int) -> list[Json]:
    return [{"modality": name, "tokenCount": count} for name, count in tokens.items()]


PLAIN = {"promptTokenCount": 10, "candidatesTokenCount": 4, "totalTokenCount": 14}
TRUE: dict[str, tuple[Json, Usage]] = {
    "prompt and answer": (PLAIN, Usage(input=10, output=4)),
    "without a total": (
        {"promptTokenCount": 10, "candidatesTokenCount": 4},
        Usage(input=10, output=4),
    ),
    "zeros that are said": (
        {"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0, "thoughtsTokenCount": 0},
        Usage(),
    ),
    "an answer of zero tokens is left out": (
        {"promptTokenCount": 10, "thoughtsTokenCount": 7, "totalTokenCount": 17},
        Usage(input=10, reasoning=7),
    ),
    "no answer at all": ({"promptTokenCount": 10, "totalTokenCount": 10}, Usage(input=10)),
    "cached tokens are inside the prompt": (
        {**PLAIN, "cachedContentTokenCount": 8},
        Usage(input=2, cache_read=8, output=4),
    ),
    "a prompt that was cached whole": (
        {**PLAIN, "cachedContentTokenCount": 10},
        Usage(cache_read=10, output=4),
    ),
    "thoughts are beside the answer": (
        {**PLAIN, "thoughtsTokenCount": 6, "totalTokenCount": 20},
        Usage(input=10, output=4, reasoning=6),
    ),
    "thoughts inside the answer, as the total says": (
        {**PLAIN, "thoughtsTokenCount": 3},
        Usage(input=10, output=1, reasoning=3),
    ),
    "thoughts without a total are beside": (
        {"promptTokenCount": 10, "candidatesTokenCount": 4, "thoughtsTokenCount": 6},
        Usage(input=10, output=4, reasoning=6),
    ),
    "results of the provider's tools are prompt": (
        {**PLAIN, "toolUsePromptTokenCount": 5, "totalTokenCount": 19},
        Usage(input=15, output=4),
    ),
    "sound and images in, pages of a document being images": (
        {**PLAIN, "promptTokensDetails": detail(TEXT=1, IMAGE=3, AUDIO=4, VIDEO=1, DOCUMENT=1)},
        Usage(input=2, input_audio=4, input_image=4, output=4),
    ),
    "cached sound is cached": (
        {
            **PLAIN,
            "cachedContentTokenCount": 5,
            "promptTokensDetails": detail(TEXT=4, AUDIO=6),
            "cacheTokensDetails": detail(TEXT=2, AUDIO=3),
        },
        Usage(input=2, cache_read=5, input_audio=3, output=4),
    ),
    "cached sound of which nothing is said": (
        {**PLAIN, "cachedContentTokenCount": 8, "promptTokensDetails": detail(TEXT=1, AUDIO=6, IMAGE=3)},
        Usage(cache_read=8, input_audio=2, output=4),
    ),
    "images and sound out": (
        {
            "promptTokenCount": 10,
            "candidatesTokenCount": 1300,
            "totalTokenCount": 1310,
            "candidatesTokensDetails": detail(IMAGE=1290, AUDIO=2),
        },
        Usage(input=10, output=8, output_audio=2, output_image=1290),
    ),
    "one kind in two rows": (
        {**PLAIN, "promptTokensDetails": detail(IMAGE=1) + detail(IMAGE=2)},
        Usage(input=7, input_image=3, output=4),
    ),
    "a row without tokens": (
        {**PLAIN, "promptTokensDetails": [{"modality": "AUDIO"}, {"tokenCount": 3}]},
        Usage(input=10, output=4),
    ),
    "details that are null": ({**PLAIN, "promptTokensDetails": None}, Usage(input=10, output=4)),
    "at the cap": (
        {"promptTokenCount": MAX_TOKENS, "candidatesTokenCount": 0},
        Usage(input=MAX_TOKENS),
    ),
}


@pytest.mark.parametrize("name", TRUE)
def test_figures_are_made_disjoint(name: str) -> None:
    metadata, usage = TRUE[name]
    assert read_usage(metadata) == UsageReport(usage)


@pytest.mark.parametrize(
    "name", [name for name, (metadata, _) in TRUE.items() if "totalTokenCount" in metadata]
)
def test_the_classes_sum_to_the_stated_total(name: str) -> None:
    metadata, usage = TRUE[name]
    assert usage.total_tokens == metadata["totalTokenCount"]


FALSE: Sequence[Any] = (
    None,
    7,
    "tokens",
    [PLAIN],
    {},
    {"totalTokenCount": 14, "candidatesTokenCount": 4},
    {"promptTokenCount": 10},
    {**PLAIN, "promptTokenCount": None},
    {**PLAIN, "promptTokenCount": -1},
    {**PLAIN, "promptTokenCount": 10.0},
    {**PLAIN, "promptTokenCount": "10"},
    {**PLAIN, "promptTokenCount": True},
    {**PLAIN, "promptTokenCount": MAX_TOKENS + 1},
    {**PLAIN, "candidatesTokenCount": None},
    {**PLAIN, "candidatesTokenCount": 10**18},
    {**PLAIN, "cachedContentTokenCount": 11},
    {**PLAIN, "cachedContentTokenCount": -1},
    {**PLAIN, "cachedContentTokenCount": None},
    {**PLAIN, "thoughtsTokenCount": -1},
    {**PLAIN, "thoughtsTokenCount": 5},
    {**PLAIN, "toolUsePromptTokenCount": 5},
    {**PLAIN, "totalTokenCount": 15},
    {**PLAIN, "totalTokenCount": 13},
    {**PLAIN, "totalTokenCount": "14"},
    {**PLAIN, "totalTokenCount": -14},
    {**PLAIN, "promptTokensDetails": 7},
    {**PLAIN, "promptTokensDetails": ["AUDIO"]},
    {**PLAIN, "promptTokensDetails": [{"modality": ["AUDIO"]}]},
    {**PLAIN, "promptTokensDetails": detail(AUDIO=-1)},
    {**PLAIN, "promptTokensDetails": detail(AUDIO=1), "cacheTokensDetails": detail(AUDIO=2)},
    {**PLAIN, "candidatesTokensDetails": detail(IMAGE=5)},
    {**PLAIN, "candidatesTokensDetails": detail(IMAGE=3, AUDIO=2)},
    {**PLAIN, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1.5}]},
)


@pytest.mark.fault("F63")
@pytest.mark.parametrize("metadata", FALSE)
def test_what_cannot_be_true_is_not_believed(metadata: Any) -> None:
    assert read_usage(metadata) == UsageReport(Usage(), trusted=False)


COUNT = st.integers(-1, 8) | st.none()
DETAILS = st.lists(
    st.fixed_dictionaries(
        {"modality": st.sampled_from(["TEXT", "AUDIO", "IMAGE"]), "tokenCount": st.integers(0, 5)}
    ),
    max_size=3,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "promptTokenCount": COUNT,
            "candidatesTokenCount": COUNT,
            "cachedContentTokenCount": COUNT,
            "thoughtsTokenCount": COUNT,
            "toolUsePromptTokenCount": COUNT,
            "totalTokenCount": st.integers(0, 24),
            "promptTokensDetails": DETAILS,
            "cacheTokensDetails": DETAILS,
            "candidatesTokensDetails": DETAILS,
        },
    )
)
def test_whatever_is_believed_is_not_negative_and_sums_up(metadata: Json) -> None:
    usage, trusted = read_usage(metadata)
    assert min(usage) >= 0
    if trusted and "totalTokenCount" in metadata:
        assert usage.total_tokens == metadata["totalTokenCount"]
    assert trusted or usage == Usage()
