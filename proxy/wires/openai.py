"""The OpenAI wire: Chat Completions, always streamed.

Source: platform.openai.com/docs/api-reference/chat (create, and "The chat completion chunk object").
Most providers speak it with small deviations; those seen in the field are read here without being told:
usage in the last content chunk or in one of its own, `reasoning` for `reasoning_content`, an error
inside a 200 stream, no `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from proxy.words.call import Call
from proxy.words.chat import (
    ChatRequest,
    Event,
    Finished,
    Frame,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    TextPart,
    Tool,
    ToolCallDelta,
    UsageReport,
)
from proxy.words.errors import GatewayError, UpstreamError, cleaned
from proxy.words.sse import LineTooLongError, SSEDecoder
from proxy.words.usage import MAX_TOKENS, Usage

from .base import Outgoing, Target, failure_for

_BAD_CONTENT: Final = "bad_content"


class OpenAIWire:
    """Writes and reads OpenAI's protocol."""

    language = "openai"

    def headers(self, api_key: str | None) -> Sequence[tuple[str, str]]:
        """Return the bearer key, where there is one."""
        fixed = (("content-type", "application/json"), ("accept", "text/event-stream"))
        return fixed if api_key is None else (*fixed, ("authorization", f"Bearer {api_key}"))

    def encode(self, call: Call, target: Target) -> Outgoing:
        """Write a chat completion request that streams and reports usage."""
        if not isinstance(call, ChatRequest):
            raise GatewayError("unsupported_parameter", "This provider serves chat completions only.")
        same = call.origin.language == self.language
        body = dict(call.origin.body) if same else _from_words(call)
        body["model"] = target.model
        body["stream"] = True
        body.pop("stream_options", None)
        if target.stream_options:
            offered = call.origin.body.get("stream_options") if same else None
            body["stream_options"] = {**(offered or {}), "include_usage": True}
        if target.reasoning:
            _suit_reasoning_model(body)
        return Outgoing("/chat/completions", orjson.dumps(body))

    def decoder(self) -> OpenAIDecoder:
        """Begin to read a stream of chunks."""
        return OpenAIDecoder()

    def failure(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> UpstreamError:
        """Read OpenAI's error object; its words are kept only where the request was at fault."""
        error = failure_for(status, headers, now)
        if error.trouble == "rejected":
            _add_words(error, _error_object(body))
        return error


def _suit_reasoning_model(body: dict[str, Any]) -> None:
    """Reasoning models refuse these two (platform.openai.com/docs/guides/reasoning)."""
    limit = body.pop("max_tokens", None)
    if limit is not None:
        body.setdefault("max_completion_tokens", limit)
    body.pop("temperature", None)


def _from_words(call: ChatRequest) -> dict[str, Any]:
    """Write a request that came in another language."""
    sampling = call.sampling
    fields: dict[str, Any] = {
        "messages": [_message(message) for message in call.messages],
        "max_tokens": call.max_tokens,
        "n": call.n if call.n != 1 else None,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
        "tools": [_tool(tool) for tool in call.tools] or None,
        "tool_choice": call.tool_choice,
        "parallel_tool_calls": call.parallel_tool_calls,
        "response_format": call.response_format,
        "reasoning_effort": call.reasoning_effort,
        "user": call.user,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _tool(tool: Tool) -> dict[str, Any]:
    members = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    return {"type": "function", "function": {k: v for k, v in members.items() if v is not None}}


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": _content(message.content)}
    if message.name is not None:
        written["name"] = message.name
    if message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": use.arguments}}
            for use in message.tool_calls
        ]
    return written


def _content(parts: tuple[Part, ...]) -> str | list[Mapping[str, Any]] | None:
    if not parts:
        return None
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> Mapping[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            image = {"url": part.url} if part.detail is None else {"url": part.url, "detail": part.detail}
            return {"type": "image_url", "image_url": image}
        case OpaquePart():
            return part.raw


class OpenAIDecoder:
    """Reads one answer: SSE payloads, each a `chat.completion.chunk`."""

    __slots__ = ("_finished", "_seen", "_sse", "_started", "done", "failure")

    def __init__(self) -> None:
        self._sse = SSEDecoder()
        self._started = False
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self.done = False
        self.failure: UpstreamError | None = None

    @property
    def complete(self) -> bool:
        """Whether every choice that began has finished."""
        return bool(self._finished) and self._seen == self._finished

    def feed(self, data: bytes) -> list[Frame]:
        """Take body bytes; return the frames they complete."""
        try:
            payloads = self._sse.feed(data)
        except LineTooLongError:
            return self._too_long()
        return self._frames(payloads)

    def close(self) -> list[Frame]:
        """Take the end of the body."""
        try:
            payloads = self._sse.close()
        except LineTooLongError:
            return self._too_long()
        return self._frames(payloads)

    def _too_long(self) -> list[Frame]:
        if not self.done and self.failure is None:
            self.failure = UpstreamError("protocol")
        return []

    def _frames(self, payloads: list[bytes]) -> list[Frame]:
        frames: list[Frame] = []
        for payload in payloads:
            if self.done or self.failure is not None:
                break
            if payload == b"[DONE]":
                self.done = True
                break
            try:
                frames.append(self._frame(payload))
            except (ValueError, TypeError, AttributeError, KeyError):
                # Whatever is wrong with its shape: text may be missing, so the answer is not whole.
                self.failure = UpstreamError(_BAD_CONTENT)
            except UpstreamError as error:
                self.failure = error
        return frames

    def _frame(self, payload: bytes) -> Frame:
        body = orjson.loads(payload)
        if body.get("error"):
            raise _reported_error(body["error"])
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(_started(body))
        # A payload that came in several `data` lines is not one line, so it must be written anew.
        plain = b"\n" not in payload
        for choice in body.get("choices") or ():
            index = choice.get("index", 0)
            if index not in self._seen:
                self._seen.add(_index(choice))
            delta = choice.get("delta")
            if delta:
                text = delta.get("content")
                if len(delta) == 1 and type(text) is str and text:  # by far the most
                    events.append(TextDelta(text, index))
                else:
                    _read_delta(delta, index, events)
            reason = choice.get("finish_reason")
            if reason is not None:
                plain = False
                # Some upstreams say "" for null.
                if reason and index not in self._finished:
                    self._finished.add(index)
                    events.append(Finished(str(reason), index))
        usage = body.get("usage")
        if usage is not None:
            plain = False
            events.append(read_usage(usage))
        return Frame(tuple(events), payload, body, plain)


def _started(body: Mapping[str, Any]) -> Started:
    created = body.get("created")
    return Started(
        str(body.get("id") or ""), str(body.get("model") or ""), created if isinstance(created, int) else 0
    )


def _read_delta(delta: Mapping[str, Any], index: int, events: list[Event]) -> None:
    text = delta.get("content")
    if text:
        events.append(TextDelta(_text(text), index))
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    if reasoning:
        events.append(ReasoningDelta(_text(reasoning), index))
    refusal = delta.get("refusal")
    if refusal:
        events.append(RefusalDelta(_text(refusal), index))
    for fragment in delta.get("tool_calls") or ():
        function = fragment.get("function") or {}
        events.append(_tool_call(_index(fragment), fragment.get("id"), function, index))
    function = delta.get("function_call")
    if function:
        events.append(_tool_call(0, None, function, index))


def _tool_call(position: int, id_: str | None, function: Mapping[str, Any], choice: int) -> ToolCallDelta:
    name, arguments = function.get("name"), function.get("arguments")
    return ToolCallDelta(position, id_, None if name is None else _text(name), _text(arguments or ""), choice)


def _index(member: Mapping[str, Any]) -> int:
    index = member.get("index", 0)
    if type(index) is not int:
        raise TypeError("an index is not an integer")
    return index


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("text is not a string")
    return value


def read_usage(usage: object) -> UsageReport:
    """Make OpenAI's usage object disjoint: cached tokens are inside the prompt, reasoning inside completion.

    Figures that are negative, not integers, beyond the sanity cap or larger than the whole they belong
    to are not trusted. An upstream that counts reasoning beside completion (its total says so) is read right.
    """
    if not isinstance(usage, dict):
        return UsageReport(Usage(), trusted=False)
    inside = usage.get("prompt_tokens_details") or {}
    outside = usage.get("completion_tokens_details") or {}
    if not isinstance(inside, dict) or not isinstance(outside, dict):
        return UsageReport(Usage(), trusted=False)
    figures: tuple[Any, ...] = (
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        inside.get("cached_tokens") or 0,
        inside.get("cache_write_tokens") or 0,
        inside.get("audio_tokens") or 0,
        outside.get("reasoning_tokens") or 0,
        outside.get("audio_tokens") or 0,
    )
    if any(type(figure) is not int or not 0 <= figure <= MAX_TOKENS for figure in figures):
        return UsageReport(Usage(), trusted=False)
    prompt, completion, cached, written, audio_in, reasoning, audio_out = figures
    fresh = prompt - cached - written - audio_in
    output = completion - reasoning - audio_out
    if reasoning and usage.get("total_tokens") == prompt + completion + reasoning:
        output = completion - audio_out
    if fresh < 0 or output < 0:
        return UsageReport(Usage(), trusted=False)
    return UsageReport(
        Usage(
            input=fresh,
            cache_read=cached,
            cache_write=written,
            input_audio=audio_in,
            output=output,
            reasoning=reasoning,
            output_audio=audio_out,
        )
    )


def _error_object(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = orjson.loads(body)
    except ValueError:
        return {}
    # Mistral and older vLLM put the members at the top.
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _add_words(error: UpstreamError, reported: Mapping[str, Any]) -> None:
    message, code, param = reported.get("message"), reported.get("code"), reported.get("param")
    error.message = cleaned(message) if isinstance(message, str) else None
    error.code = cleaned(code, 64) if isinstance(code, str) and not code.isdecimal() else None
    error.param = cleaned(param, 64) if isinstance(param, str) else None


def _reported_error(reported: object) -> UpstreamError:
    """Read an error frame inside a 200 stream; some put the HTTP status in `code`, some in `status`."""
    found = reported if isinstance(reported, dict) else {}
    status = _http_status(found.get("status")) or _http_status(found.get("code"))
    if status is None:
        return UpstreamError("failed")
    error = failure_for(status, {}, 0.0)
    if error.trouble == "rejected":
        _add_words(error, found)
    return error


def _http_status(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) == 3:
        value = int(value)
    return value if type(value) is int and 400 <= value < 600 else None
