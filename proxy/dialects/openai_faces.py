"""How OpenAI's dialect tells of failures at its two bases: `/api/v1` (aggregator) and `/v1` (gateway).

They differ in the error object alone. On `/api/v1` the machine name is `code`; on `/v1` an error of our
own carries it in `type` and the HTTP status, as a string, in `code`. An upstream's own 400 keeps its
OpenAI code on both.
"""

from __future__ import annotations

from typing import Any, Literal

import orjson

from proxy.words.errors import GatewayError

Style = Literal["aggregator", "gateway"]


class OpenAIFaces:
    """The failing side of every dialect in OpenAI's words."""

    def __init__(self, style: Style) -> None:
        self.style = style

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Write an error body."""
        return orjson.dumps({"error": {**self.describe(error), "request_id": request_id}})

    def status(self, error: GatewayError) -> int:
        """Return the status of a failure."""
        return error.face.status

    def describe(self, error: GatewayError) -> dict[str, Any]:
        """Return the error object, without the request id."""
        face = error.face
        if self.style == "aggregator" or error.code is not None:
            type_, code = face.type, error.code or error.name
        elif error.name == "context_length_exceeded":
            type_, code = face.gateway_type, error.name
        else:
            type_, code = face.gateway_type, str(face.status)
        return {"message": error.message, "type": type_, "code": code, "param": error.param, **error.detail}
