"""The three protocols a scripted upstream answers in, told apart by the path it is asked at.

A tongue makes payloads; framing, pauses and faults are the server's. Scripts are written in OpenAI's words:
each tongue says the same in its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

from .script import Problem, Script

Wire = Literal["openai", "anthropic", "gemini"]
Payload = dict[str, Any] | str


class Tongue(Protocol):
    """One answer's payloads.

    Attributes:
        tokens: how many of each choice.
        choices: how many there are.
        streams: the client asked for a stream.
    """

    tokens: int
    choices: int
    streams: bool

    def start(self, choice: int) -> list[Payload]:
        """Say that an answer begins, with no content yet."""
        ...

    def token(self, choice: int, k: int) -> list[Payload]:
        """Say token `k`."""
        ...

    def finish(self) -> list[Payload]:
        """Say why it ended, and what it used."""
        ...

    def done(self) -> list[Payload]:
        """Say the end marker, where there is one."""
        ...

    def whole(self) -> dict[str, Any]:
        """Say everything at once."""
        ...


class OpenAI:
    """Chat Completions."""

    def __init__(self, script: Script, request: Mapping[str, Any], number: int) -> None:
        self.script = script
        self.request = request
        self.number = number
        asked = request.get("max_tokens") or request.get("max_completion_tokens") or 8
        self.tokens: int = asked if script.tokens is None else script.tokens
        self.choices: int = script.choices or request.get("n") or 1
        self.streams = request.get("stream") is True
        options = request.get("stream_options") or {}
        wanted = script.usage_unasked or bool(options.get("include_usage"))
        self.reports = wanted and script.usage is not None
        self.nulls = self.reports and script.usage_null

    def start(self, choice: int) -> list[Payload]:
        return [self._chunk(choice, {"role": "assistant", "content": ""})]

    def token(self, choice: int, k: int) -> list[Payload]:
        script, word = self.script, self.script.word
        delta: dict[str, Any] = {script.kind: word}
        if script.kind == "tool_calls":
            call: dict[str, Any] = {"index": 0, "function": {"arguments": word}}
            if k == 0:
                call = {
                    "index": 0,
                    "id": f"call_{choice}",
                    "type": "function",
                    "function": {"name": "look", "arguments": word},
                }
            delta = {"tool_calls": [call]}
        last = k == self.tokens - 1 and choice == self.choices - 1
        reports = self._here("every") or (last and self._here("last_content"))
        done = k * self.choices + choice + 1
        return [self._chunk(choice, delta, usage=reports, done=done)]

    def finish(self) -> list[Payload]:
        payloads: list[Payload] = []
        if self.script.finish is not None:
            for choice in range(self.choices):
                usage = choice == self.choices - 1 and self._here("finish")
                payloads.append(self._chunk(choice, {}, finish=self.script.finish, usage=usage))
        if self._here("own"):
            payloads.append({**self._chunk(0, {}, usage=True), "choices": []})
        return payloads

    def done(self) -> list[Payload]:
        return ["[DONE]"]

    def whole(self) -> dict[str, Any]:
        script = self.script
        text = script.word * self.tokens
        message: dict[str, Any] = {"role": "assistant", "content": None}
        message[script.kind] = text
        if script.kind == "tool_calls":
            function = {"name": "look", "arguments": text}
            message["tool_calls"] = [{"id": "call_0", "type": "function", "function": function}]
        answer = {
            "id": f"chatcmpl-{self.number}",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": self.request.get("model", "scripted"),
            "choices": [
                {"index": index, "message": message, "finish_reason": script.finish}
                for index in range(self.choices)
            ],
        }
        if script.usage is not None:
            answer["usage"] = self._usage(self.tokens * self.choices)
        return answer

    def _here(self, place: str) -> bool:
        return self.reports and self.script.usage_at == place

    def _chunk(
        self,
        choice: int,
        delta: dict[str, Any],
        *,
        finish: str | None = None,
        usage: bool = False,
        done: int | None = None,
    ) -> dict[str, Any]:
        script = self.script
        one: dict[str, Any] = {"index": choice, "delta": delta, "finish_reason": finish}
        if script.logprobs and delta.get("content"):
            one["logprobs"] = {"content": [{"token": script.word, "logprob": -0.5, "top_logprobs": []}]}
        chunk: dict[str, Any] = {
            "id": f"chatcmpl-{self.number}",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": self.request.get("model", "scripted"),
            "choices": [one],
        }
        if usage:
            chunk["usage"] = self._usage(self.tokens * self.choices if done is None else done)
        elif self.nulls:
            chunk["usage"] = None
        return chunk

    def _usage(self, tokens: int) -> dict[str, Any]:
        return figures(self.script, tokens)


class Anthropic:
    """The Messages API. The message starts with the first token where the script has no role."""

    def __init__(self, script: Script, request: Mapping[str, Any], number: int) -> None:
        self.script = script
        self.tokens: int = request.get("max_tokens", 8) if script.tokens is None else script.tokens
        self.choices = 1
        self.streams = request.get("stream") is True
        self._model = request.get("model", "scripted")
        self._number = number
        self._begun = False

    def start(self, choice: int) -> list[Payload]:
        self._begun = True
        message = self._message([], None)
        if self.script.usage is not None:
            message["usage"] = {"input_tokens": self._figures()["prompt_tokens"], "output_tokens": 1}
        block = {"type": "text", "text": ""}
        return [
            {"type": "message_start", "message": message},
            {"type": "ping"},
            {"type": "content_block_start", "index": 0, "content_block": block},
        ]

    def token(self, choice: int, k: int) -> list[Payload]:
        begun: list[Payload] = [] if self._begun else self.start(choice)
        delta = {"type": "text_delta", "text": self.script.word}
        return [*begun, {"type": "content_block_delta", "index": 0, "delta": delta}]

    def finish(self) -> list[Payload]:
        if self.script.finish is None:
            return []
        delta = {"stop_reason": _STOPS[self.script.finish], "stop_sequence": None}
        stopped: dict[str, Any] = {"type": "message_delta", "delta": delta}
        if self.script.usage is not None:
            stopped["usage"] = {"output_tokens": self._figures()["completion_tokens"]}
        return [{"type": "content_block_stop", "index": 0}, stopped]

    def done(self) -> list[Payload]:
        return [{"type": "message_stop"}]

    def whole(self) -> dict[str, Any]:
        told = self._figures()
        usage = {"input_tokens": told["prompt_tokens"], "output_tokens": told["completion_tokens"]}
        content = [{"type": "text", "text": self.script.word * self.tokens}]
        return {**self._message(content, _STOPS[self.script.finish or "stop"]), "usage": usage}

    def _message(self, content: list[Any], reason: str | None) -> dict[str, Any]:
        return {
            "id": f"msg_{self._number}",
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
        }

    def _figures(self) -> dict[str, Any]:
        return figures(self.script, self.tokens)


class Gemini:
    """`streamGenerateContent`, whose stream has no end marker."""

    def __init__(self, script: Script, request: Mapping[str, Any], number: int, *, streams: bool) -> None:
        config = request.get("generationConfig") or {}
        self.script = script
        self.tokens: int = config.get("maxOutputTokens", 8) if script.tokens is None else script.tokens
        self.choices: int = config.get("candidateCount", 1)
        self.streams = streams
        self._number = number

    def start(self, choice: int) -> list[Payload]:
        return [self._response(choice, "")]

    def token(self, choice: int, k: int) -> list[Payload]:
        return [self._response(choice, self.script.word)]

    def finish(self) -> list[Payload]:
        if self.script.finish is None:
            return []
        payloads: list[Payload] = []
        for choice in range(self.choices):
            usage = {"usageMetadata": self._usage()} if self._reports(choice) else {}
            payloads.append(self._response(choice, "", _FINISHES[self.script.finish], **usage))
        return payloads

    def done(self) -> list[Payload]:
        return []

    def whole(self) -> dict[str, Any]:
        text = self.script.word * self.tokens
        return self._response(0, text, _FINISHES[self.script.finish or "stop"], usageMetadata=self._usage())

    def _reports(self, choice: int) -> bool:
        return self.script.usage is not None and choice == self.choices - 1

    def _response(self, choice: int, text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
        candidate: dict[str, Any] = {
            "content": {"role": "model", "parts": [{"text": text}]},
            "index": choice,
        }
        if finish is not None:
            candidate["finishReason"] = finish
        return {
            "candidates": [candidate],
            "modelVersion": "scripted",
            "responseId": f"r{self._number}",
            **more,
        }

    def _usage(self) -> dict[str, Any]:
        told = figures(self.script, self.tokens * self.choices)
        usage = {
            "promptTokenCount": told["prompt_tokens"],
            "candidatesTokenCount": told["completion_tokens"],
            "totalTokenCount": told["total_tokens"],
        }
        if "prompt_tokens_details" in told:
            usage["cachedContentTokenCount"] = told["prompt_tokens_details"]["cached_tokens"]
        return usage


_STOPS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_FINISHES: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_TOO_LONG: Final = {
    "anthropic": "prompt is too long: 9000 tokens > 8192 maximum",
    "gemini": "The input token count (9000) exceeds the maximum number of tokens allowed (8192).",
}


def figures(script: Script, tokens: int) -> dict[str, Any]:
    """Return the usage of so many tokens in OpenAI's words, with what the script puts over it."""
    prompt = script.prompt_tokens
    told: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": tokens}
    told |= script.usage or {}
    whole = [told["prompt_tokens"], told["completion_tokens"]]
    if all(type(figure) is int for figure in whole):
        told.setdefault("total_tokens", sum(whole))
    return {"total_tokens": prompt + tokens, **told}


def wire_of(path: str) -> Wire:
    """Tell by its path in which protocol a request is."""
    plain = path.partition("?")[0]
    if plain.endswith("/messages"):
        return "anthropic"
    return "gemini" if plain.rpartition(":")[2].lower().endswith("generatecontent") else "openai"


def tongue_for(path: str, script: Script, request: Mapping[str, Any], number: int) -> Tongue:
    """Begin an answer to a request."""
    wire = wire_of(path)
    if wire == "anthropic":
        return Anthropic(script, request, number)
    if wire == "gemini":
        return Gemini(script, request, number, streams=":stream" in path)
    return OpenAI(script, request, number)


def problem_in(wire: Wire, problem: Problem) -> bytes:
    """Write an error object."""
    return json.dumps(_problem(wire, problem)).encode()


def problem_event(wire: Wire, problem: Problem) -> bytes:
    """Write an error in mid-stream."""
    name = b"event: error\n" if wire == "anthropic" else b""
    return name + b"data: " + problem_in(wire, problem) + b"\n\n"


def _problem(wire: Wire, problem: Problem) -> dict[str, Any]:
    message = problem.message
    if problem.code == "context_length_exceeded":
        message = _TOO_LONG.get(wire, message)
    if wire == "anthropic":
        kind = _TYPES.get(problem.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    if wire == "gemini":
        name = _STATUSES.get(problem.status, "INTERNAL")
        return {"error": {"code": problem.status, "message": message, "status": name}}
    members = {"message": message, "type": problem.type, "param": None, "code": problem.code}
    return {"error": members}


def garbage_in(wire: Wire) -> bytes:
    """Write an event that is no JSON."""
    name = b"event: content_block_delta\n" if wire == "anthropic" else b""
    return name + b'data: {"choices": [CANARY-NOT-JSON\n\n'


_NEW: Final[Mapping[Wire, Mapping[str, Any]]] = {
    "openai": {"object": "chat.completion.novelty", "choices": [], "novelty": {"text": "of late"}},
    "anthropic": {"type": "content_block_novelty", "index": 0, "novelty": {"text": "CANARY"}},
    "gemini": {"candidates": [], "novelty": {"text": "CANARY"}},
}


def novelty_in(wire: Wire) -> bytes:
    """Write an event of a kind that nobody knows, with the fields of an event stream that nobody needs."""
    payload = json.dumps(_NEW[wire]).encode()
    return b"event: novelty\nid: 7\nretry: 1000\nnovelty: x\ndata: " + payload + b"\n\n"
