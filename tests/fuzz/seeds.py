"""Valid streams and requests, to be broken: each stream a list of payloads, each request a body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.fakes import recordings

Json = Any
_USAGE: Final = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def _chunk(delta: Json, finish: str | None = None, index: int = 0, **more: Json) -> Json:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **more,
    }


def _call(**members: Json) -> Json:
    return {"tool_calls": [{"index": 0, **members}]}


OPENAI: Final[Sequence[Json]] = (
    _chunk({"role": "assistant", "content": ""}),
    _chunk({"reasoning_content": "Hm"}),
    _chunk({"content": "One "}),
    _chunk({"content": "twö "}, index=1),
    _chunk({"refusal": "No"}),
    _chunk(_call(id="t1", type="function", function={"name": "f", "arguments": ""})),
    _chunk(_call(function={"arguments": '{"a":1}'})),
    _chunk({"audio": {"data": "AAAA"}}),
    _chunk({"content": "three"}, "stop"),
    _chunk({}, "length", index=1),
    {"id": "c1", "choices": [], "usage": _USAGE},
)


def _block(kind: str, index: int, **members: Json) -> Json:
    return {"type": f"content_block_{kind}", "index": index, **members}


ANTHROPIC: Final[Sequence[Json]] = (
    {
        "type": "message_start",
        "message": {"id": "m1", "model": "m", "usage": {"input_tokens": 9, "cache_read_input_tokens": 3}},
    },
    _block("start", 0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
    _block("delta", 0, delta={"type": "thinking_delta", "thinking": "Hm"}),
    _block("delta", 0, delta={"type": "signature_delta", "signature": "sig"}),
    _block("stop", 0),
    {"type": "ping"},
    _block("start", 1, content_block={"type": "text", "text": "One "}),
    _block("delta", 1, delta={"type": "text_delta", "text": "twö "}),
    _block("delta", 1, delta={"type": "text_delta", "text": "three"}),
    _block("stop", 1),
    _block("start", 2, content_block={"type": "tool_use", "id": "t1", "name": "f", "input": {}}),
    _block("delta", 2, delta={"type": "input_json_delta", "partial_json": '{"a":1}'}),
    _block("stop", 2),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
)


def _candidate(*parts: Json, finish: str | None = None, index: int = 0, **more: Json) -> Json:
    candidate: Json = {"content": {"parts": list(parts), "role": "model"}, "index": index}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r1", **more}


_METADATA: Final = {
    "promptTokenCount": 9,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 2,
    "totalTokenCount": 16,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
}
_SCORE: Final = {"token": "One", "logProbability": -0.5}
GEMINI: Final[Sequence[Json]] = (
    _candidate({"text": "Hm", "thought": True}),
    _candidate({"text": "One "}, usageMetadata=_METADATA),
    _candidate({"text": "twö "}, usageMetadata=_METADATA),
    _candidate({"text": "three"}, {"text": " four"}, index=1),
    _candidate({"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "sig"}),
    _candidate({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
    {
        "candidates": [
            {
                "content": {"parts": [{"text": "five"}]},
                "logprobsResult": {"chosenCandidates": [_SCORE], "topCandidates": [{"candidates": [_SCORE]}]},
            }
        ]
    },
    _candidate({"text": ""}, finish="STOP", usageMetadata=_METADATA),
    _candidate(finish="MAX_TOKENS", index=1, usageMetadata=_METADATA),
)
STREAMS: Final[Mapping[str, Sequence[Json]]] = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}

_TOOL: Final = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
}
_USED: Final = {
    "id": "t1",
    "type": "function",
    "function": {"name": "f", "arguments": '{"a":1}'},
    "extra_content": {"google": {"thought_signature": "sig"}},
}
_PARTS: Final = [
    {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
    {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
]
_DETAILS: Final = [
    {"type": "reasoning.text", "text": "Hm", "signature": "sig", "format": "anthropic-claude-v1"}
]
REQUESTS: Final[Sequence[Json]] = (
    {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True, "max_tokens": 9},
    {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": _PARTS, "name": "Bob"},
            {"role": "assistant", "content": "Hm", "tool_calls": [_USED], "reasoning_details": _DETAILS},
            {"role": "tool", "tool_call_id": "t1", "content": '{"b": 2}'},
        ],
        "tools": [_TOOL],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "s", "schema": {"type": "object"}},
        },
    },
    {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_completion_tokens": 5,
        "n": 2,
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "seed": 7,
        "stop": ["x"],
        "logprobs": True,
        "top_logprobs": 2,
        "logit_bias": {"1": 5},
        "parallel_tool_calls": True,
        "reasoning_effort": "low",
        "user": "u",
        "stream": True,
        "stream_options": {"include_usage": True},
        "extra_body": {"google": {"thinking_config": {"thinking_budget": 1024}}},
        "modalities": ["text"],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "models": ["a", "b"],
        "provider": {"order": ["a"], "require_parameters": True},
    },
)
_DETAILS_OF_ERROR: Final = [{"reason": "API_KEY_INVALID", "retryDelay": "1.5s"}]
FAILURES: Final[Sequence[Json]] = (
    {"error": {"message": "prompt is too long", "type": "invalid_request_error", "code": "x", "param": "n"}},
    {"type": "error", "error": {"type": "rate_limit_error", "message": "m", "details": {"error_code": "x"}}},
    {
        "error": {
            "code": 400,
            "message": "the input token count 9 exceeds the maximum",
            "status": "INVALID_ARGUMENT",
            "details": _DETAILS_OF_ERROR,
        }
    },
    [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": _DETAILS_OF_ERROR}}],
    {"object": "error", "message": "bad", "code": 422},
    {"error": "words"},
)

_TALK: Final = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": [{"type": "text", "text": "Ho"}]},
]
_ITEMS: Final = [
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "Hi"},
            {"type": "input_image", "image_url": "https://x.test/a"},
        ],
    },
    {
        "type": "reasoning",
        "id": "r",
        "summary": [{"type": "summary_text", "text": "Hm"}],
        "encrypted_content": "x",
    },
    {"type": "function_call", "call_id": "t1", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "t1", "output": "2"},
]
_BLOCKS: Final = [
    {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        ],
    },
    {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "2", "is_error": True}],
    },
]
_PLAIN: Final = (
    {"model": "m", "prompt": "Hi", "systemPrompt": "Be brief.", "maxTokens": 9, "temperature": 0.5},
    {"model": "m", "prompt": "Hi", "messages": _TALK, "system": "Be brief.", "stream": True, "max_tokens": 9},
    {"messages": _TALK, "strategy": {"mode": "balanced", "require": ["vision"]}, "maxCredits": 5},
)
_MESSAGES: Final = (
    {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": _BLOCKS,
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "stop_sequences": ["x"],
        "metadata": {"user_id": "u"},
    },
)
BODIES: Final[Mapping[str, Sequence[Json]]] = {
    "request": REQUESTS,
    "completions": ({"model": "m", "prompt": ["Hi"], "max_tokens": 9, "n": 2, "stop": "x", "stream": True},),
    "responses": (
        {"model": "m", "input": "Hi", "instructions": "Be brief.", "max_output_tokens": 9, "stream": True},
        {
            "model": "m",
            "input": _ITEMS,
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
            "text": {"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}}},
            "reasoning": {"effort": "low", "summary": "auto"},
            "store": False,
        },
    ),
    "messages": _MESSAGES,
    "count": _MESSAGES,
    **dict.fromkeys(("auto", "llm", "llm-chat", "project", "project-chat"), _PLAIN),
    "embeddings": (
        {"model": "m", "input": ["a", [1, 2]], "dimensions": 4, "encoding_format": "base64"},
        {"model": "m", "input": [1, 2], "user": "u"},
    ),
    "speech": (
        {
            "model": "m",
            "input": "Hi",
            "voice": "v",
            "stream_format": "sse",
            "speed": 1.5,
            "instructions": "x",
        },
    ),
    "images": (
        {"model": "m", "prompt": "Hi", "n": 2, "size": "1024x1024", "quality": "low", "stream": True},
    ),
}
"""Requests, by the target that reads them."""
_TOKENS: Final = {"input_tokens": 9, "output_tokens": 5, "input_token_details": {"audio_tokens": 4}}
_MADE: Final = {"input_tokens": 9, "output_tokens": 5, "input_tokens_details": {"image_tokens": 4}}
ANSWERS: Final[Sequence[Sequence[Json]]] = (
    ({"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 1}},),
    ({"embeddings": [{"values": [0.5, 1]}], "usageMetadata": {"promptTokenCount": 1}},),
    ({"sound": "x"},),
    ({"type": "speech.audio.delta", "audio": "AAAA"}, {"type": "speech.audio.done", "usage": _TOKENS}),
    ({"data": [{"b64_json": "AAAA"}, {"url": "u"}], "usage": _MADE},),
    (
        {"type": "image_generation.partial_image", "b64_json": "AAAA"},
        *({"type": "image_generation.completed", "b64_json": "AAAA", "usage": _MADE},) * 2,
    ),
    ({"text": "Hi", "duration": 1.5, "usage": {"type": "duration", "seconds": 2}},),
    ({"text": "1"},),
    (
        {"type": "transcript.text.delta", "delta": "Hi"},
        {"type": "transcript.text.done", "text": "Hi", "usage": _TOKENS},
    ),
)
"""Answers that are passed on, as `media.ANSWERED` numbers them."""
STREAMED: Final = frozenset({3, 5, 8})
RECORDINGS: Final = (
    recordings.wav(0.01),
    recordings.flac(9, padding=64),
    recordings.opus(1),
    recordings.vorbis(1),
    recordings.mp3(2),
    recordings.mp3(2, told=9),
    recordings.mp3(2, tag=True),
    recordings.mp4(2),
    recordings.webm(2, told=True),
    recordings.webm(2, told=False),
)
_NAME: Final = b'--b0undary\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
_FILE: Final = b'--b0undary\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\nsound\r\n'
FORMS: Final = (
    recordings.form([("model", "w"), ("prompt", "h\u00e9")], b"sound"),
    recordings.form([("model", "w")], b"\r\n--b0undar\r\n--", first=True),
    _NAME % (b"model", b"w") + _NAME % (b'a\\"b', b"") + _FILE % b"a.wav" + b"--b0undary--\r\n",
    _NAME % (b"model", b"w") + _NAME % (b"a\\\\", b"x") + _FILE % b"\\\\" + b"--b0undary--\r\n",
)
TYPES: Final = (
    b'multipart/form-data; charset="a\\"b"; boundary="b 0"',
    b"multipart/form-data;boundary=b0undary",
    b"text/html",
)
