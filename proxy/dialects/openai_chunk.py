"""Chunks from events: what a stream in another language looks like in OpenAI's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proxy.words.chat import (
    Embedded,
    Event,
    Finished,
    Frame,
    ImageDelta,
    OpaqueDelta,
    ReasoningDelta,
    ReasoningSealed,
    RefusalDelta,
    ScoresDelta,
    Started,
    TextDelta,
    TokenScore,
    ToolCallDelta,
    UsageReport,
)

from .base import Answer
from .openai_reasoning import FIELD as DETAILS
from .openai_reasoning import written

OBJECT = "chat.completion.chunk"


def envelope(answer: Answer, choices: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a chunk of our own making."""
    return {
        "id": "chatcmpl-" + answer.generation_id,
        "object": OBJECT,
        "created": answer.created,
        "model": answer.model,
        "choices": choices,
    }


def chunk_of(frame: Frame, answer: Answer) -> dict[str, Any]:
    """Return a frame's chunk: the upstream's own in the same language, else one made from its events."""
    if answer.language == "openai" and frame.body is not None:
        body: dict[str, Any] = frame.body
        return body
    return envelope(answer, _choices(frame.events))


def _choices(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Gather events by choice: clients look for one entry per choice in a chunk."""
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, Started | UsageReport | OpaqueDelta | Embedded):
            continue
        index = event.choice
        choice = choices.setdefault(index, {"index": index, "delta": {}, "finish_reason": None})
        if isinstance(event, Finished):
            choice["finish_reason"] = event.reason
        elif isinstance(event, ScoresDelta):
            scores = choice.setdefault("logprobs", {"content": [], "refusal": None})
            scores["content"] += [_score(score) for score in event.scores]
        else:
            _add(choice["delta"], event)
    return list(choices.values())


def _add(
    delta: dict[str, Any],
    event: TextDelta | ReasoningDelta | ReasoningSealed | RefusalDelta | ImageDelta | ToolCallDelta,
) -> None:
    match event:
        case TextDelta():
            delta["content"] = delta.get("content", "") + event.text
        case ReasoningDelta():
            delta["reasoning_content"] = delta.get("reasoning_content", "") + event.text
        case ReasoningSealed():
            delta.setdefault(DETAILS, []).append(written(event.part))
        case RefusalDelta():
            delta["refusal"] = delta.get("refusal", "") + event.text
        case ImageDelta():
            # OpenAI has no word for it; OpenRouter has (openrouter.ai/docs, "Image Generation").
            image = {"type": "image_url", "image_url": {"url": event.url}}
            delta.setdefault("images", []).append(image)
        case ToolCallDelta():
            delta.setdefault("tool_calls", []).append(_fragment(event))


def _fragment(event: ToolCallDelta) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": event.arguments}
    if event.name is not None:
        function["name"] = event.name
    fragment: dict[str, Any] = {"index": event.position, "function": function}
    if event.id is not None:
        fragment |= {"id": event.id, "type": "function"}
    if event.signature is not None:
        fragment["extra_content"] = {"google": {"thought_signature": event.signature}}
    return fragment


def _score(score: TokenScore) -> dict[str, Any]:
    top = [_likely(token, logprob) for token, logprob in score.top]
    return {**_likely(score.token, score.logprob), "top_logprobs": top}


def _likely(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "replace"))}
