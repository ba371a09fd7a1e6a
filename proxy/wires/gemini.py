"""The Gemini wire: `streamGenerateContent` of Google's Gemini API, always streamed.

Source: ai.google.dev/api/generate-content ("Method: models.streamGenerateContent") and /api ("The key is
sent in the x-goog-api-key header"): never in the URL, where it would be logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from proxy.words.call import Call
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError, UpstreamError
from proxy.words.media import EmbeddingRequest

from .base import Outgoing, Target, key_field
from .gemini_embeddings import write_embedding
from .gemini_errors import failure_of
from .gemini_request import body_of, path_of
from .gemini_stream import GeminiDecoder


class GeminiWire:
    """Writes and reads Gemini's protocol."""

    language = "gemini"

    def headers(self, api_key: str | None, key_header: str | None = None) -> Sequence[tuple[str, str]]:
        """Return the key's field, where there is a key."""
        return key_field(api_key, key_header or "x-goog-api-key")

    def encode(self, call: Call, target: Target) -> Outgoing:
        """Write a request; `gemini_compatibility.TABLE` says what becomes of each field of a chat."""
        if isinstance(call, EmbeddingRequest):
            return write_embedding(call, target)
        if not isinstance(call, ChatRequest):
            message = "This provider serves chat completions and embeddings only."
            raise GatewayError("unsupported_parameter", message)
        return Outgoing(path_of(target.model), orjson.dumps(body_of(call, target)))

    def decoder(self, choices: int = 1) -> GeminiDecoder:
        """Begin to read a stream."""
        return GeminiDecoder(choices)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> UpstreamError:
        """Read an error object; its words are kept only where the request was at fault."""
        return failure_of(status, headers, body, now)
