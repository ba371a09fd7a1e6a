"""Gemini's `usageMetadata`, made disjoint.

Source: ai.google.dev/api/generate-content, UsageMetadata. The prompt's count holds the cached tokens;
thoughts and the results of the provider's own tools are counted beside prompt and candidates; the total is
the sum of the four. Figures are cumulative within a stream. JSON of protocol buffers leaves out what is
zero, so a count that is missing is taken for zero where the total agrees, and not believed without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import add
from typing import Any, Final

from proxy.words.chat import UsageReport
from proxy.words.usage import MAX_TOKENS, Usage

_TOOLS: Final = "toolUsePromptTokensDetails"
_DISTRUSTED: Final = UsageReport(Usage(), trusted=False)


def read_usage(metadata: object) -> UsageReport:
    """Read the figures.

    Not trusted are such as are negative, not integers, beyond the sanity cap, larger than the whole they
    belong to, or at odds with the total. A model that counts its thoughts among the candidates (its total
    says so) is read right.
    """
    if not isinstance(metadata, dict):
        return _DISTRUSTED
    try:
        return _text_alone(metadata) or _read(metadata)
    except (TypeError, ValueError, AttributeError):
        return _DISTRUSTED


def _text_alone(metadata: Mapping[str, Any]) -> UsageReport | None:
    """Read the figures of text in, thoughts and text out, which come with nearly every chunk of a stream.

    None leaves the rest, and whatever is wrong, to `_read`.
    """
    prompt, answer = metadata.get("promptTokenCount"), metadata.get("candidatesTokenCount")
    thoughts, details = metadata.get("thoughtsTokenCount", 0), metadata.get("promptTokensDetails")
    if not type(prompt) is type(answer) is type(thoughts) is int or min(prompt, answer, thoughts) < 0:
        return None
    total = metadata.get("totalTokenCount")
    if total != prompt + answer + thoughts or type(total) is not int or total > MAX_TOKENS:
        return None
    known = 3 + ("thoughtsTokenCount" in metadata)
    if details is not None:
        if type(details) is not list or len(details) != 1 or details[0].get("modality") != "TEXT":
            return None
        known += 1
    if len(metadata) != known:
        return None
    return UsageReport(Usage(prompt, 0, 0, 0, 0, 0, answer, thoughts))


def _read(metadata: Mapping[str, Any]) -> UsageReport:
    prompt = _figure(metadata.get("promptTokenCount"))
    cached = _figure(metadata.get("cachedContentTokenCount", 0))
    tools = _figure(metadata.get("toolUsePromptTokenCount", 0))
    thoughts = _figure(metadata.get("thoughtsTokenCount", 0))
    total = metadata.get("totalTokenCount")
    answer = _figure(metadata.get("candidatesTokenCount", 0 if total is not None else None))
    if total is not None:
        beside = _figure(total) - prompt - tools - answer
        if beside not in {0, thoughts}:
            raise ValueError("the figures do not sum up")
        if not beside:
            answer -= thoughts
    return UsageReport(_classed(metadata, prompt + tools, cached, answer, thoughts))


def _classed(metadata: Mapping[str, Any], prompt: int, cached: int, answer: int, thoughts: int) -> Usage:
    heard, seen = map(add, _details(metadata, "promptTokensDetails"), _details(metadata, _TOOLS))
    kept_heard, kept_seen = _details(metadata, "cacheTokensDetails")
    audio, image = _details(metadata, "candidatesTokensDetails")
    fresh = prompt - cached
    # Which of the cached tokens were sound or image is not always said.
    heard = min(_figure(heard - kept_heard), fresh)
    seen = min(_figure(seen - kept_seen), fresh - heard)
    return Usage(
        input=_figure(fresh - heard - seen),
        cache_read=cached,
        input_audio=_figure(heard),
        input_image=_figure(seen),
        output=_figure(answer - audio - image),
        reasoning=thoughts,
        output_audio=audio,
        output_image=image,
    )


def _details(metadata: Mapping[str, Any], name: str) -> tuple[int, int]:
    """Return the tokens of sound and of images, pages of documents among them, in a list by modality."""
    sums = {"AUDIO": 0, "IMAGE": 0, "DOCUMENT": 0}
    for item in metadata.get(name) or ():
        modality = item.get("modality")
        if modality in sums:
            sums[modality] += _figure(item.get("tokenCount", 0))
    return sums["AUDIO"], sums["IMAGE"] + sums["DOCUMENT"]


def _figure(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not a number of tokens")
    if not 0 <= value <= MAX_TOKENS:
        raise ValueError("no true number of tokens")
    return value
