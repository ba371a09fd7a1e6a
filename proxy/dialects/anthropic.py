"""Anthropic's dialect: the Messages API for Anthropic's SDKs, whatever the upstream speaks.

Source: platform.claude.com/docs/en/api/messages. `anthropic-version` is not looked at: there is one. The
names in `anthropic-beta` are not sent on, for some change the price; a field of the body that needs one is
refused by the upstream. The answer names the model as the client did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from proxy.words.call import Call
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError
from proxy.words.usage import DEFAULT_RATIO

from .anthropic_errors import envelope
from .anthropic_events import Events
from .anthropic_request import read_messages
from .anthropic_stream import StreamEncoder
from .anthropic_whole import WholeEncoder
from .base import NO_HEADERS, Answer, Encoder, parse_json


class AnthropicDialect:
    """Messages, at either base alike."""

    label_header: Final = "request-id"
    """Where Anthropic's SDKs look (platform.claude.com/docs/en/api/errors, Request id)."""

    language: Final = "anthropic"

    def parse(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> ChatRequest:
        """Read and check a request for a message."""
        return read_messages(parse_json(body))

    def parse_count(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> ChatRequest:
        """Read and check a request whose tokens are to be counted."""
        return read_messages(parse_json(body), count=True)

    def count(self, tokens: int) -> bytes:
        """Write the tokens of a prompt."""
        return orjson.dumps({"input_tokens": tokens})

    def encoder(self, call: Call, answer: Answer) -> Encoder:
        """Begin a stream of events, or a whole message."""
        events = Events(answer, call.model or answer.model, call.prompt_tokens(DEFAULT_RATIO))
        return StreamEncoder(events, answer.request_id) if call.stream else WholeEncoder(events)

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error body."""
        return orjson.dumps({**envelope(error), "request_id": request_id})

    def status(self, error: GatewayError) -> int:
        """Return the status of a failure."""
        return error.face.status
