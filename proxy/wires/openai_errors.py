"""Reading OpenAI's error objects, in a failed answer and inside a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.words.errors import UpstreamError, cleaned

from .base import failure_for

POLICY: Final = "content_policy_violation"


def failure(status: int, headers: Mapping[str, str], body: bytes, now: float) -> UpstreamError:
    """Read an answer that is not a 200; its words are kept only where the request was at fault."""
    return _worded(failure_for(status, headers, now), error_object(body))


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
    return _worded(failure_for(status, {}, 0.0), found)


def _worded(error: UpstreamError, found: Mapping[str, Any]) -> UpstreamError:
    if error.status == 403 and _moderated(found):
        error = UpstreamError("rejected", status=error.status)
        add_words(error, found)
        error.code = POLICY
    elif error.trouble == "rejected":
        add_words(error, found)
    return error


def _moderated(found: Mapping[str, Any]) -> bool:
    """Tell whether a 403 is about what was asked, not about who asked: OpenRouter's of moderated models.

    Source: openrouter.ai/docs/api/reference/errors-and-debugging, Moderation Errors.
    """
    metadata = found.get("metadata")
    return isinstance(metadata, dict) and not metadata.keys().isdisjoint({"reasons", "flagged_input"})


def _http_status(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) == 3:
        value = int(value)
    return value if type(value) is int and 400 <= value < 600 else None
