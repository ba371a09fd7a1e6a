"""The Anthropic wire: the Messages API, always streamed.

Source: platform.claude.com/docs/en/api/messages ("Messages", "Streaming messages", "Errors") and, for every
type of event and block, github.com/anthropics/anthropic-sdk-python. Its parts: the request
(`anthropic_request`, `_messages`, `_files`, `_tools`, `_thinking`, `_models`), what of OpenAI's it cannot
express (`_compatibility`), the stream (`_stream`, `_usage`) and failures (`_errors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from proxy.words.call import Call
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError, UpstreamError

from .anthropic_errors import failure
from .anthropic_request import from_client, from_words
from .anthropic_stream import AnthropicDecoder
from .base import Outgoing, Target, key_field

VERSION: Final = "2023-06-01"
"""`anthropic-version`: the one that every model, and every other maker's server, knows."""


class AnthropicWire:
    """Writes and reads Anthropic's protocol."""

    language = "anthropic"

    def headers(self, api_key: str | None, key_header: str | None = None) -> Sequence[tuple[str, str]]:
        """Return the key, where there is one, and the version of the protocol."""
        return (("anthropic-version", VERSION), *key_field(api_key, key_header or "x-api-key"))

    def encode(self, call: Call, target: Target) -> Outgoing:
        """Write a Messages request that streams.

        Raises:
            GatewayError: `unsupported_parameter` with the field in `param`, where the protocol cannot
                express the request; `invalid_request` where nothing could.
        """
        if not isinstance(call, ChatRequest):
            raise GatewayError("unsupported_parameter", "This provider serves chat completions only.")
        same = call.origin.language == self.language
        body = from_client(call, target) if same else from_words(call, target)
        return Outgoing("/messages", orjson.dumps({**body, "model": target.model, "stream": True}))

    def decoder(self, choices: int = 1) -> AnthropicDecoder:
        """Begin to read a stream of events."""
        return AnthropicDecoder()

    def failure(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> UpstreamError:
        """Read Anthropic's error object; its words are kept only where the request was at fault."""
        return failure(status, headers, body, now)
