"""Reading OpenAI's error objects, in a failed answer and inside a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from proxy.words.errors import UpstreamError, cleaned

from .base import failure_for


def error_object(body: bytes) -> Mapping[str, Any]:
    """Find the error object of a failed answer; an empty one where there is none."""
    try:
        parsed = orjson.loads(body)
    except ValueError:
        return {}
    # Mistral and older vLLM put the members at the top.
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def add_words(error: UpstreamError, reported: Mapping[str, Any]) -> None:
    """Keep what the upstream says of a request at fault, cleaned."""
    message, code, param = reported.get("message"), reported.get("code"), reported.get("param")
    error.message = cleaned(message) if isinstance(message, str) else None
    error.code = cleaned(code, 64) if isinstance(code, str) and not code.isdecimal() else None
    error.param = cleaned(param, 64) if isinstance(param, str) else None


def reported_error(reported: object) -> UpstreamError:
    """Read an error frame inside a 200 stream; some put the HTTP status in `code`, some in `status`."""
    found = reported if isinstance(reported, dict) else {}
    status = _http_status(found.get("status")) or _http_status(found.get("code"))
    if status is None:
        return UpstreamError("failed")
    error = failure_for(status, {}, 0.0)
    if error.trouble == "rejected":
        add_words(error, found)
    return error


def _http_status(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) == 3:
        value = int(value)
    return value if type(value) is int and 400 <= value < 600 else None
