"""Failures in Anthropic's envelope: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

Source: platform.claude.com/docs/en/api/errors. Its types are few, so the name that tells failures apart is
where Anthropic's SDKs look for one, in `details.error_code`; what the gateway has to add stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.words.anthropic import STATUSES
from proxy.words.errors import GatewayError

_TYPES: Final[Mapping[int, str]] = {
    **{status: kind for kind, status in STATUSES.items()},
    # 529 is Anthropic's own invention for what the rest of the world calls 503.
    503: "overloaded_error",
}


def envelope(error: GatewayError) -> dict[str, Any]:
    """Return the object, without the request id."""
    details = {"error_code": error.code or error.name, **error.detail}
    if error.param is not None:
        details["param"] = error.param
    return {
        "type": "error",
        "error": {"type": _type(error.face.status), "message": error.message, "details": details},
    }


def _type(status: int) -> str:
    return _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
