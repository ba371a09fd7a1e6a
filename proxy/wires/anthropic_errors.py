"""Anthropic's failures: an HTTP status and an error object, or an `error` event inside a 200 stream.

Source: platform.claude.com/docs/en/api/errors. An object is
`{"type": "error", "error": {"type", "message", "details"?}, "request_id"}`; the event is the same, and its
`type` stands for the status that the answer can no longer have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.words.anthropic import STATUSES
from proxy.words.errors import UpstreamError, cleaned

from .base import failure_for

_UNPAID: Final = frozenset({
    "contract_spend_limit_reached", "enforced_spend_limit_reached", "linked_organization_billing_unavailable",
    "linked_organization_spend_limit_reached", "organization_on_hold",
})  # fmt: skip
"""`details.error_code` of refusals that are about the operator's account, though their status is 400."""
_UNPAID_WORDS: Final = re.compile(r"credit balance is too low|API usage limits|spend limit", re.IGNORECASE)
_TOO_LONG: Final = re.compile(
    r"prompt is too long|input is too long|exceeds? (?:the )?context ", re.IGNORECASE
)
"""No machine code tells these two apart from other refusals. Where the wording changes, a client still gets
a refusal with the words in it, without the code."""


def failure(status: int, headers: Mapping[str, str], body: bytes, now: float) -> UpstreamError:
    """Read an answer that is not a 200; its words are kept only where the request was at fault."""
    return _worded(failure_for(status, headers, now), _error_object(body))


def reported_error(event: Mapping[str, Any]) -> UpstreamError:
    """Read an `error` event; one of an unknown type is a failure of the provider."""
    error = event.get("error")
    found: Mapping[str, Any] = error if isinstance(error, dict) else {}
    kind = found.get("type")
    status = STATUSES.get(kind) if isinstance(kind, str) else None
    if status is None:
        return UpstreamError("failed")
    return _worded(failure_for(status, {}, 0.0), found)


def _worded(error: UpstreamError, found: Mapping[str, Any]) -> UpstreamError:
    if error.trouble != "rejected":
        return error
    message = found.get("message")
    words = message if isinstance(message, str) else ""
    if _error_code(found) in _UNPAID or _UNPAID_WORDS.search(words):
        # Not the client's to mend, nor to be told of; another deployment may serve it.
        return UpstreamError("failed", status=error.status)
    error.message = cleaned(words) or None
    error.code = "context_length_exceeded" if _TOO_LONG.search(words) else None
    return error


def _error_code(found: Mapping[str, Any]) -> str | None:
    details = found.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    return code if isinstance(code, str) else None


def _error_object(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = orjson.loads(body)
    except ValueError:
        return {}
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else {}
