"""A refusal with its true status, in the words of whichever dialect was spoken."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.dialects.base import NO_HEADERS, Dialect, error_headers, label_headers
from proxy.words.errors import GatewayError

from .http import JSON, Answering


async def refuse(
    reply: Answering, dialect: Dialect, error: GatewayError, label: str, more: Mapping[str, str] = NO_HEADERS
) -> None:
    """Answer with a failure's true status, and `more` header fields."""
    headers = {**JSON, **label_headers(dialect, label), **error_headers(error), **more}
    await reply.whole(dialect.status(error), headers, dialect.error(error, label))
