"""Every failure and its face in every dialect: one table, and the two exceptions that use it.

`GatewayError` is what a client is told. `UpstreamError` is what one attempt at one provider met; it
stays inside, is collected by the race, and `outward` turns it into a `GatewayError` that leaks no key
and no host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

Name = Literal[
    "invalid_request",
    "invalid_json",
    "unsupported_parameter",
    "context_length_exceeded",
    "invalid_api_key",
    "key_revoked",
    "insufficient_credits",
    "model_not_allowed",
    "permission_denied",
    "byok_key_rejected",
    "url_not_allowed",
    "model_not_found",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "idempotency_in_progress",
    "previous_attempt_partial",
    "length_required",
    "body_too_large",
    "uri_too_long",
    "unsupported_media_type",
    "idempotency_key_reused",
    "headers_too_large",
    "rate_limit_exceeded",
    "token_budget_exceeded",
    "model_rate_limited",
    "internal_error",
    "not_implemented",
    "upstream_error",
    "service_unavailable",
    "gateway_timeout",
]


class Face(NamedTuple):
    """How one failure looks: HTTP status, `type` on either base, and the code of the project gateway."""

    status: int
    type: str
    gateway_type: str
    project_code: str


def _face(
    status: int, type_: str, gateway_type: str | None = None, project: str = "VALIDATION_ERROR"
) -> Face:
    return Face(status, type_, gateway_type or type_, project)


_BAD = "invalid_request_error"
FACES: Final[dict[Name, Face]] = {
    "invalid_request": _face(400, _BAD),
    "invalid_json": _face(400, _BAD, project="INVALID_BODY"),
    "unsupported_parameter": _face(400, _BAD),
    "context_length_exceeded": _face(400, _BAD, project="INPUT_TOO_LARGE"),
    "invalid_api_key": _face(401, "authentication_error", "invalid_api_key", "UNAUTHORIZED"),
    "key_revoked": _face(401, "authentication_error", "key_revoked", "UNAUTHORIZED"),
    "insufficient_credits": _face(402, "billing_error", "insufficient_balance", "INSUFFICIENT_CREDITS"),
    "model_not_allowed": _face(403, "permission_error", project="FORBIDDEN"),
    "permission_denied": _face(403, "permission_error", project="FORBIDDEN"),
    "byok_key_rejected": _face(403, "permission_error", project="FORBIDDEN"),
    "url_not_allowed": _face(403, "permission_error", project="FORBIDDEN"),
    "model_not_found": _face(404, "not_found_error", project="INVALID_MODEL"),
    "not_found": _face(404, "not_found_error", project="NOT_FOUND"),
    "method_not_allowed": _face(405, _BAD),
    "request_timeout": _face(408, _BAD),
    "idempotency_in_progress": _face(409, _BAD, project="CONFLICT"),
    "previous_attempt_partial": _face(409, _BAD, project="CONFLICT"),
    "length_required": _face(411, _BAD),
    "body_too_large": _face(413, _BAD),
    "uri_too_long": _face(414, _BAD),
    "unsupported_media_type": _face(415, _BAD),
    "idempotency_key_reused": _face(422, _BAD, project="CONFLICT"),
    "headers_too_large": _face(431, _BAD),
    "rate_limit_exceeded": _face(429, "rate_limit_error", project="RATE_LIMITED"),
    "token_budget_exceeded": _face(429, "rate_limit_error", project="BUDGET_EXCEEDED"),
    "model_rate_limited": _face(429, "rate_limit_error", project="RATE_LIMITED"),
    "internal_error": _face(500, "server_error", project="INTERNAL_ERROR"),
    "not_implemented": _face(501, "server_error", project="NOT_IMPLEMENTED"),
    "upstream_error": _face(502, "upstream_error", "server_error", "PROVIDER_ERROR"),
    "service_unavailable": _face(503, "service_unavailable", project="SERVICE_UNAVAILABLE"),
    "gateway_timeout": _face(504, "timeout_error", "gateway_timeout", "PROVIDER_ERROR"),
}


class Window(NamedTuple):
    """Where a caller stands in its request limit; `reset` is in seconds."""

    limit: int
    left: int
    reset: int


class GatewayError(Exception):
    """A failure as the client is told of it.

    Attributes:
        name: the internal name, a key of `FACES`.
        message: a sentence for a person; it holds no secret.
        param: the request field at fault.
        code: an upstream's own machine code, which replaces `name` in OpenAI's shape on both bases.
        retry_after: whole seconds the client should wait.
        window: where the caller stands in its request limit, if it has one.
        detail: further members of the error object (`reason`, `upstream`, `required` …).
        trouble: what the upstream did, where it is to blame.
    """

    def __init__(
        self,
        name: Name,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
        window: Window | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.name = name
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after
        self.window = window
        self.detail = dict(detail or {})
        self.trouble: Trouble | None = None

    @property
    def face(self) -> Face:
        """The row of this failure."""
        return FACES[self.name]

    def __repr__(self) -> str:
        return f"<GatewayError {self.face.status} {self.name}: {self.message}>"


Trouble = Literal[
    "unreachable",
    "dns",
    "tls",
    "auth",
    "bad_content",
    "protocol",
    "redirect",
    "truncated",
    "reset",
    "failed",
    "gone",
    "rate_limited",
    "rejected",
    "unsupported",
    "connect",
    "first_byte",
    "idle",
]
"""What went wrong with one attempt. `failed`: the upstream says so itself (5xx, an error frame).
`gone`: it does not know the model. `rejected`: it blames the request; another provider would too.
`unsupported`: its protocol cannot express the request. `connect`, `first_byte`, `idle`: it was too slow."""

_TIMEOUTS: Final = frozenset({"connect", "first_byte", "idle"})
_SENTENCES: Final[dict[Trouble, str]] = {
    "unreachable": "The model provider could not be reached.",
    "dns": "The model provider's address could not be resolved.",
    "tls": "The connection to the model provider could not be secured.",
    "auth": "The model provider refused the gateway's credentials.",
    "bad_content": "The model provider answered with something that is not a model's answer.",
    "protocol": "The model provider broke the protocol.",
    "redirect": "The model provider answered with a redirect, which is never followed.",
    "truncated": "The model provider ended its answer before it was complete.",
    "reset": "The connection to the model provider broke.",
    "failed": "The model provider failed.",
    "gone": "The model provider does not offer this model.",
    "rate_limited": "The model provider is limiting requests for this model.",
    "rejected": "The model provider rejected the request.",
    "unsupported": "No provider of this model can do what the request asks.",
    "connect": "The model provider did not accept a connection in time.",
    "first_byte": "The model provider did not begin an answer in time.",
    "idle": "The model provider stopped sending.",
}


class UpstreamError(Exception):
    """What one attempt met.

    Attributes:
        trouble: the kind of failure.
        status: the upstream's HTTP status, where it answered.
        message: the upstream's own words, cleaned, for `rejected`; ours for `unsupported`; else none.
        code, param: the upstream's own machine code and field, for `rejected`.
        retry_after: whole seconds the upstream asked for.
        own_key: it was asked with the account's own key.
    """

    own_key = False

    def __init__(
        self,
        trouble: Trouble,
        *,
        status: int | None = None,
        message: str | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(trouble)
        self.trouble: Trouble = trouble
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_after = retry_after

    @property
    def fails_over(self) -> bool:
        """Whether another deployment may fare better."""
        return self.trouble != "rejected"

    def __repr__(self) -> str:
        return f"<UpstreamError {self.trouble} status={self.status}>"


def outward(errors: Sequence[UpstreamError]) -> GatewayError:
    """Turn the failures of all attempts into the one a client sees.

    The last attempt speaks for all, but for three cases: a request that was rejected is the client's to
    mend, one that no deployment's protocol can express as well, and only if *every* deployment limits us is
    the answer 429, with the smallest wait.
    """
    rejected = next((error for error in errors if error.trouble == "rejected"), None)
    if rejected is not None:
        return _rejected(rejected)
    able = [error for error in errors if error.trouble != "unsupported"]
    if not able:
        message = errors[0].message or _SENTENCES["unsupported"]
        return GatewayError("unsupported_parameter", message, param=errors[0].param)
    last = able[-1]
    sentence = _SENTENCES[last.trouble]
    if last.own_key and last.trouble == "auth":
        told = GatewayError("byok_key_rejected", "The model provider refused the account's own key.")
    elif all(error.trouble == "rate_limited" for error in able):
        waits = [error.retry_after for error in able if error.retry_after is not None]
        told = GatewayError("model_rate_limited", sentence, retry_after=min(waits, default=1))
    elif last.trouble in _TIMEOUTS:
        told = GatewayError("gateway_timeout", sentence, detail={"reason": last.trouble})
    else:
        status = {} if last.status is None else {"upstream_status": last.status}
        told = GatewayError("upstream_error", sentence, detail={"upstream": last.trouble, **status})
    told.trouble = last.trouble
    return told


def _rejected(error: UpstreamError) -> GatewayError:
    message = error.message or _SENTENCES["rejected"]
    if error.code == "context_length_exceeded":
        return GatewayError("context_length_exceeded", message, param=error.param)
    return GatewayError("invalid_request", message, param=error.param, code=error.code)


_SECRETS: Final = re.compile(
    r"""(?xi)
      \b[a-z][a-z0-9+.-]{0,20}://\S+                                      # addresses
    | \bBearer\s+\S+
    | \b(?:sk|gsk|csk|xai|hf|gh[opsu]|pplx|nvapi|fd_agg|fd_mcp|flp_sk|fk)[-_][\w*.-]{6,}  # keys
    | \b(?:pk|rk|key|org|proj|req)[-_](?=[\w*.-]{0,64}?[\d*])[\w*.-]{6,}   # keys and ids, no mere words
    | \b(?:org|proj|req)[-_][0-9a-z]{18,}\b                               # by chance without a digit
    | \bAIza[\w-]{20,} | \bAKIA[0-9A-Z]{16}\b | \bya29\.\S+ | \beyJ[\w.-]{16,}
    | [^\s*]{0,40}\*{3,}\S*                                              # keys the upstream masked
    | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b
    | \b(?=[a-z_]{0,64}\d)\w{28,}                                             # any long opaque word
    | (?<![\w:])(?=[0-9a-f:\[]{0,40}\d)\[?(?:                                  # IPv6, but no time of day
        (?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}
        | (?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?::(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,6})?
      )(?![\w:])(?:\](?::\d+)?)?
    | \b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b
    | \blocalhost\b(?::\d+)?
    | \b(?:[a-z0-9-]{1,63}\.){1,8}
      (?:com|net|org|io|ai|dev|app|cloud|internal|corp|intranet|local|localdomain|svc|lan)\b(?::\d+)?
    """
)


def cleaned(text: str, limit: int = 500) -> str:
    """Return an upstream's words without keys, organisations, addresses and hosts, cut to `limit`."""
    visible = "".join(character if character.isprintable() else " " for character in text[: 2 * limit])
    return _SECRETS.sub("[redacted]", visible)[:limit]
