"""How the management API refuses: a name, a status, a sentence."""

from __future__ import annotations

from typing import Final, Literal

from proxy.control.passwords import BusyError
from proxy.control.socket import AbsentError, ControlError, FullError, StoreFailedError, TakenError
from proxy.control.standing import HoldsOpenError

Code = Literal[
    "invalid_request",
    "unknown_host",
    "unauthorized",
    "invalid_credentials",
    "permission_denied",
    "foreign_origin",
    "csrf_token_invalid",
    "confirmation_required",
    "password_change_required",
    "not_found",
    "conflict",
    "holds_open",
    "limit_reached",
    "request_timeout",
    "body_too_large",
    "unsupported_media_type",
    "too_many_attempts",
    "rate_limit_exceeded",
    "internal_error",
    "upstream_error",
    "service_unavailable",
]
STATUS: Final[dict[Code, int]] = {
    "invalid_request": 400,
    "unknown_host": 400,
    "unauthorized": 401,
    "invalid_credentials": 401,
    "permission_denied": 403,
    "foreign_origin": 403,
    "csrf_token_invalid": 403,
    "confirmation_required": 403,
    "password_change_required": 403,
    "not_found": 404,
    "conflict": 409,
    "holds_open": 409,
    "limit_reached": 409,
    "request_timeout": 408,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "too_many_attempts": 429,
    "rate_limit_exceeded": 429,
    "internal_error": 500,
    "upstream_error": 502,
    "service_unavailable": 503,
}


class ApiError(Exception):
    """A request is refused. `retry_after` is seconds, `field` what there is too much of."""

    def __init__(
        self, code: Code, message: str, *, retry_after: float | None = None, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.retry_after = retry_after
        self.field = field

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.code]


def missing() -> ApiError:
    """What is not there and what is somebody else's are told apart by nobody."""
    return ApiError("not_found", "There is no such thing, or it is not yours.")


def of_office(error: Exception) -> ApiError:
    """Return what a browser is told where the office refused."""
    if isinstance(error, BusyError):
        return ApiError("too_many_attempts", "Too many sign in at this moment.", retry_after=1)
    if isinstance(error, HoldsOpenError):
        return ApiError("holds_open", str(error).removeprefix("holds_open: "))
    if isinstance(error, AbsentError):
        return missing()
    if isinstance(error, FullError):
        return ApiError("limit_reached", str(error), field=error.what)
    if isinstance(error, TakenError):
        return ApiError("conflict", str(error))
    if isinstance(error, ControlError) and not isinstance(error, StoreFailedError):
        return ApiError("invalid_request", str(error))
    return ApiError("service_unavailable", "The store is not available.", retry_after=1)
