"""The OpenAI wire: Chat Completions, always streamed, and what `openai_media` has beside them.

Source: platform.openai.com/docs/api-reference/chat (create, and "The chat completion chunk object").
Most providers speak it with small deviations; those seen in the field are read here without being told:
usage in the last content chunk or in one of its own, `reasoning` for `reasoning_content`, an error
inside a 200 stream, no `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from proxy.words.call import Call
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError, UpstreamError

from .base import THINKING, Outgoing, Target, key_field
from .openai_errors import failure
from .openai_media import write_media
from .openai_request import fit, from_words, limit_output, suit_reasoning_model
from .openai_stream import OpenAIDecoder


class OpenAIWire:
    """Writes and reads OpenAI's protocol."""

    language = "openai"

    def headers(self, api_key: str | None, key_header: str | None = None) -> Sequence[tuple[str, str]]:
        """Return the bearer key, where there is one."""
        return key_field(api_key, key_header or "authorization")

    def encode(self, call: Call, target: Target) -> Outgoing:
        """Write a request; a chat's always streams and reports usage.

        Raises:
            GatewayError: `unsupported_parameter` with the field in `param`, where the upstream is known to
                refuse it.
        """
        if not isinstance(call, ChatRequest):
            outgoing = write_media(call, target)
            if outgoing is None:
                raise GatewayError("unsupported_parameter", "This provider does not serve such requests.")
            return outgoing
        same = call.origin.language == self.language
        body = dict(call.origin.body) if same else from_words(call, reasons=target.reasoning)
        body["model"] = target.model
        body["stream"] = True
        body.pop("stream_options", None)
        if target.stream_options:
            offered = call.origin.body.get("stream_options") if same else None
            body["stream_options"] = {**(offered or {}), "include_usage": True}
        if target.max_output is not None:
            limit_output(body, target.max_output)
        if target.reasoning and target.think:
            body.setdefault("reasoning_effort", THINKING)
        if target.reasoning:
            suit_reasoning_model(body)
        fit(body, target.quirks)
        return Outgoing("/chat/completions", orjson.dumps(body))

    def decoder(self, choices: int = 1) -> OpenAIDecoder:
        """Begin to read a stream of chunks."""
        return OpenAIDecoder(choices)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> UpstreamError:
        """Read OpenAI's error object; its words are kept only where the request was at fault."""
        return failure(status, headers, body, now)
