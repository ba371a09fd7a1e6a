"""Gemini's failures: google.rpc.Status in an object, which may stand alone in an array.

Sources: ai.google.dev/gemini-api/docs/troubleshooting (status names and what they mean),
google/rpc/error_details.proto (ErrorInfo, RetryInfo). A wrong key is a 400 there, and so is an account that
may not be served where it is: both are the operator's to mend, so another deployment is tried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.words.errors import Trouble, UpstreamError, cleaned
from proxy.words.retry_after import retry_after

from .base import failure_for

_TROUBLES: Final[Mapping[str, Trouble]] = {
    "INVALID_ARGUMENT": "rejected",
    "OUT_OF_RANGE": "rejected",
    "UNAUTHENTICATED": "auth",
    "PERMISSION_DENIED": "auth",
    "FAILED_PRECONDITION": "auth",
    "NOT_FOUND": "gone",
    "RESOURCE_EXHAUSTED": "rate_limited",
    "INTERNAL": "failed",
    "UNAVAILABLE": "failed",
    "DEADLINE_EXCEEDED": "failed",
    "CANCELLED": "failed",
}
_KEY: Final = re.compile(r"\bAPI key (?:not valid|not found|expired)", re.IGNORECASE)
_TOO_LONG: Final = re.compile(r"token count\b.{0,60}\bexceeds\b|exceeds the maximum number of tokens")
_DELAY: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_CONTENT_POLICY: Final = "content_policy_violation"
_UNSAID: Final = "BLOCK_REASON_UNSPECIFIED"


def failure_of(status: int, headers: Mapping[str, str], body: bytes, now: float) -> UpstreamError:
    """Read an answer that is not a 200; header names are lower case, `now` is Unix time."""
    try:
        reported = reported_in(orjson.loads(body))
    except ValueError:
        reported = None
    return _classified(status, reported or {}, headers, now)


def reported_in(body: Any) -> Mapping[str, Any] | None:
    """Return the error object of a payload, None where it reports none."""
    if isinstance(body, list):
        body = body[0] if body else None
    error = body.get("error") if isinstance(body, dict) else None
    if not error:
        return None
    return error if isinstance(error, dict) else {"message": error}


def failure_in_stream(reported: Mapping[str, Any]) -> UpstreamError:
    """Read an error that came in a 200."""
    code = reported.get("code")
    status = code if type(code) is int and 400 <= code < 600 else 500
    return _classified(status, reported, {}, 0.0)


def blocked(feedback: Mapping[str, Any]) -> UpstreamError:
    """Return the failure of a prompt that was blocked before anything was answered.

    It is the request's own fault and nothing was made of it, so the client is told with a 400, as by
    OpenAI's and Azure's filters, and pays nothing; an empty answer would look like the model's.
    """
    reason = cleaned(str(feedback.get("blockReason") or _UNSAID), 64)
    return UpstreamError(
        "rejected", message=f"The model provider blocked the prompt: {reason}.", code=_CONTENT_POLICY
    )


def _classified(
    status: int, reported: Mapping[str, Any], headers: Mapping[str, str], now: float
) -> UpstreamError:
    name, message = reported.get("status"), reported.get("message")
    error = failure_for(status, headers, now)
    if isinstance(name, str) and name in _TROUBLES and not 300 <= status < 400:
        error = UpstreamError(_TROUBLES[name], status=status)
    details = reported.get("details")
    found = [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    text = message if isinstance(message, str) else ""
    if error.trouble == "rejected":
        if _KEY.search(text) or any(str(each.get("reason")).startswith("API_KEY_") for each in found):
            return UpstreamError("auth", status=status)
        error.message = cleaned(text) or None
        error.code = "context_length_exceeded" if _TOO_LONG.search(text) else None
    elif error.trouble in {"rate_limited", "failed"}:
        error.retry_after = _wait(found, headers, now)
    return error


def _wait(details: list[dict[str, Any]], headers: Mapping[str, str], now: float) -> int | None:
    """Return the seconds to wait: RetryInfo's, else the header's."""
    for detail in details:
        delay = detail.get("retryDelay")
        found = _DELAY.fullmatch(delay) if isinstance(delay, str) else None
        if found:
            return retry_after({"retry-after": found[1]}, now)
    return retry_after(headers, now)
