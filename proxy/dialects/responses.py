"""OpenAI's Responses API, stateless: the dialect of its newer SDK calls, in either error style.

Source: platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.words.call import Call
from proxy.words.chat import ChatRequest

from .base import NO_HEADERS, Answer, Encoder, parse_json
from .openai import OpenAIDialect
from .responses_answer import Response, StreamEncoder, WholeEncoder
from .responses_request import read_response


class ResponsesDialect(OpenAIDialect):
    """Responses; failures look as they do for chat completions."""

    def parse(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> ChatRequest:
        """Read and check a request for a response."""
        return read_response(parse_json(body))

    def encoder(self, call: Call, answer: Answer) -> Encoder:
        """Begin a stream of events, or a whole response."""
        assert isinstance(call, ChatRequest)  # noqa: S101 - `parse` made it
        response = Response(call, answer)
        return StreamEncoder(response) if call.stream else WholeEncoder(response)
