"""Reading Gemini's stream: SSE payloads, each a GenerateContentResponse.

Sources: ai.google.dev/api/generate-content (GenerateContentResponse, Candidate, FinishReason,
LogprobsResult), /gemini-api/docs/thinking (thoughts) and /thought-signatures. The stream has no end marker:
it is whole when its body ends cleanly and every candidate has said why it finished. A function call comes
in one piece; one without an id gets one here, unlike any other.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Final

import orjson

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
)
from proxy.words.errors import UpstreamError, cleaned

from .gemini_contents import MINTED
from .gemini_errors import blocked, failure_in_stream, reported_in
from .gemini_usage import read_usage
from .payloads import PayloadDecoder

MAX_LINE: Final = 8 * 1024 * 1024
"""Bytes of one payload: an image comes whole in its base64."""
FILTERED: Final = "content_filter"
FINISHES: Final[Mapping[str, str]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"), FILTERED
    ),
    **dict.fromkeys(("ESCALATION", "MODEL_ARMOR"), FILTERED),
    **dict.fromkeys(("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"), FILTERED),
}
"""What a client is told; others are passed on in lower case."""
BROKEN: Final = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"}
)
"""The model failed to write an answer: what there is of it must not pass for one."""
_UNSIGNED: Final = "MISSING_THOUGHT_SIGNATURE"
_ACCOUNT: Final = "PUP_LIMITED_DISABLED"
"""The operator's account is barred."""


class _Candidate:
    """What is known of one candidate."""

    __slots__ = ("calls", "finished")

    def __init__(self) -> None:
        self.calls = 0
        self.finished = False


class GeminiDecoder(PayloadDecoder):
    """Reads one answer."""

    __slots__ = ("_candidates", "_choices", "_mark", "_started")

    def __init__(self, choices: int = 1) -> None:
        super().__init__(MAX_LINE)
        self._choices = choices
        self._mark = ""
        self._started = False
        self._candidates: dict[int, _Candidate] = {}

    @property
    def complete(self) -> bool:
        """Whether every candidate has finished."""
        begun = self._candidates.values()
        return len(begun) >= self._choices and all(each.finished for each in begun)

    def _frame(self, payload: bytes) -> Frame:
        body = orjson.loads(payload)
        said = self._text_alone(body)
        if said is None:
            return Frame(self._events(body), payload, body)
        usage = body.get("usageMetadata")
        return Frame((said,) if usage is None else (said, read_usage(usage)), payload, body)

    def _text_alone(self, body: Any) -> TextDelta | None:
        """Return the text of a payload that holds no other event but usage: by far the most.

        Whatever looks different, or wrong, is left to `_events`, which reads everything.
        """
        if type(body) is not dict or "error" in body or "promptFeedback" in body:
            return None
        candidates = body.get("candidates")
        candidate = candidates[0] if type(candidates) is list and len(candidates) == 1 else None
        if type(candidate) is not dict or "finishReason" in candidate or "logprobsResult" in candidate:
            return None
        content, choice = candidate.get("content"), candidate.get("index", 0)
        parts = content.get("parts") if type(content) is dict else None
        if type(parts) is not list or len(parts) != 1 or type(choice) is not int:
            return None
        part = parts[0]
        text = part.get("text") if type(part) is dict and len(part) == 1 else None
        # Of a candidate that is known the answer has begun, so that `Started` has been said.
        return TextDelta(text, choice) if text and type(text) is str and choice in self._candidates else None

    def _events(self, body: Any) -> tuple[Event, ...]:
        reported = reported_in(body)
        if reported is not None:
            raise failure_in_stream(reported)
        feedback = body.get("promptFeedback") or {}
        if feedback.get("blockReason"):
            raise blocked(feedback)
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(Started(str(body.get("responseId") or ""), str(body.get("modelVersion") or ""), 0))
        for candidate in body.get("candidates") or ():
            self._read_candidate(candidate, events)
        usage = body.get("usageMetadata")
        if usage is not None:
            events.append(read_usage(usage))
        # Not before: of a payload that cannot be read, no part counts.
        for event in events:
            if isinstance(event, Finished):
                self._candidates[event.choice].finished = True
        return tuple(events)

    def _read_candidate(self, candidate: Mapping[str, Any], events: list[Event]) -> None:
        choice = candidate.get("index", 0)
        if type(choice) is not int:
            raise TypeError("an index is not an integer")
        known = self._candidates.setdefault(choice, _Candidate())
        content = candidate.get("content") or {}
        for part in content.get("parts") or ():
            self._read_part(part, choice, known, events)
        scores = candidate.get("logprobsResult")
        if scores:
            events.append(_scores(scores, choice))
        reason = candidate.get("finishReason")
        if reason and not known.finished:
            events.append(Finished(_finish(str(reason), candidate, called=bool(known.calls)), choice))

    def _read_part(
        self, part: Mapping[str, Any], choice: int, known: _Candidate, events: list[Event]
    ) -> None:
        text = part.get("text")
        if text:
            events.append(_text(text, choice, thought=bool(part.get("thought"))))
        call = part.get("functionCall")
        if call is not None:
            signature = part.get("thoughtSignature")
            events.append(self._call(call, choice, known.calls, signature))
            known.calls += 1
        blob = part.get("inlineData")
        # Sketches made while thinking are no part of the answer.
        if blob and not part.get("thought"):
            events.append(_image(blob, choice))

    def _call(
        self, call: Mapping[str, Any], choice: int, position: int, signature: str | None
    ) -> ToolCallDelta:
        name, arguments, id_ = call["name"], call.get("args") or {}, call.get("id")
        if not isinstance(name, str) or not name or not isinstance(arguments, dict):
            raise TypeError("a function call without a name, or whose arguments are no object")
        if signature is not None and not isinstance(signature, str):
            raise TypeError("a signature is not a string")
        call_id = id_ if isinstance(id_, str) and id_ else self._mint(choice, position)
        written = orjson.dumps(arguments).decode()
        return ToolCallDelta(position, call_id, name, written, choice, signature)

    def _mint(self, choice: int, position: int) -> str:
        # Ids of earlier turns come back in one conversation, so they must differ between answers too.
        self._mark = self._mark or secrets.token_hex(8)
        return f"{MINTED}{self._mark}_{choice}_{position}"


def _finish(reason: str, candidate: Mapping[str, Any], *, called: bool) -> str:
    if reason in BROKEN:
        raise UpstreamError("failed")
    if reason == _ACCOUNT:
        raise UpstreamError("auth")
    if reason == _UNSIGNED:
        message = candidate.get("finishMessage")
        said = cleaned(message) if isinstance(message, str) else "A tool call lacks its thought signature."
        raise UpstreamError("rejected", message=said)
    if reason == "STOP" and called:
        return "tool_calls"
    return FINISHES.get(reason) or reason.lower()


def _text(text: object, choice: int, *, thought: bool) -> TextDelta | ReasoningDelta:
    if not isinstance(text, str):
        raise TypeError("text is not a string")
    return ReasoningDelta(text, choice) if thought else TextDelta(text, choice)


def _image(blob: Mapping[str, Any], choice: int) -> ImageDelta:
    mime, data = blob["mimeType"], blob["data"]
    if not isinstance(mime, str) or not mime.startswith("image/") or not isinstance(data, str):
        raise ValueError("not an image")
    return ImageDelta(f"data:{mime};base64,{data}", choice)


def _scores(result: Mapping[str, Any], choice: int) -> ScoresDelta:
    tops = result.get("topCandidates") or ()
    scores = []
    for place, chosen in enumerate(result.get("chosenCandidates") or ()):
        likely = tops[place].get("candidates") or () if place < len(tops) else ()
        scores.append(TokenScore(*_score(chosen), tuple([_score(each) for each in likely])))
    return ScoresDelta(tuple(scores), choice)


def _score(candidate: Mapping[str, Any]) -> tuple[str, float]:
    token, logprob = candidate.get("token", ""), candidate.get("logProbability", 0.0)
    if not isinstance(token, str) or type(logprob) not in {int, float}:
        raise TypeError("a token's score is not a number")
    return token, float(logprob)
