"""Which path is answered by whom, and in whose words one that nobody answers is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import orjson
import pytest

from proxy.edge.http import Reply, Request
from proxy.edge.models import ModelRoutes
from proxy.edge.routes import Routes, dialect_of
from proxy.edge.surfaces import AGGREGATOR, AUTO, GATEWAY, LLM_CHAT, LLM_GENERATE, PROJECT_CHAT

# It serves nothing: the rows only bind their handlers to it.
ROUTES = Routes(ModelRoutes.__new__(ModelRoutes))


class Head:
    """A request of which only the head counts."""

    headers: Mapping[str, str] = {"x-request-id": "r1"}

    def __init__(self, method: str, path: str) -> None:
        self.method = method
        self.path = path


class Told:
    """An answer, kept."""

    status = 0
    headers: Mapping[str, str] = {}
    body = b""

    async def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


async def refused(method: str, path: str) -> Told:
    """Return what a path says that has no handler of its own."""
    handler = ROUTES.find(method, path)
    assert handler is not None
    told = Told()
    await handler(cast("Request", Head(method, path)), cast("Reply", told))
    return told


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/auth/me", "/api/v1", "/v1", "/v2/models"])
def test_what_is_below_no_base_is_for_the_cold_application(path: str) -> None:
    assert ROUTES.find("GET", path) is None


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/chat/completions", "ask"),
        ("GET", "/api/v1/models", "catalogue"),
        ("POST", "/v1/llm/auto", "ask"),
        ("POST", "/api/v1/ai/embed", "reserved"),
        ("GET", "/api/v1/models/redpill/google/gemini-2.5-flash-lite", "model"),
    ],
)
def test_a_path_is_answered_by_its_row(method: str, path: str, name: str) -> None:
    found = ROUTES.find(method, path)
    assert found is not None
    assert getattr(found, "func", found).__name__ == name


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("DELETE", "/api/v1/models/a/b", 405, "GET"),
        ("POST", "/api/v1/models", 405, "GET"),
        ("POST", "/api/v1/chat", 404, None),
        ("GET", "/v1/", 404, None),
    ],
)
async def test_a_path_without_a_row_is_refused(
    method: str, path: str, status: int, allow: str | None
) -> None:
    told = await refused(method, path)
    assert (told.status, told.headers.get("allow")) == (status, allow)
    assert orjson.loads(told.body)["error"]["request_id"] == told.headers["x-request-id"] == "r1"


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/chat/completions", GATEWAY),
        ("/v1/none", GATEWAY),
        ("/api/v1/models/a/b", AGGREGATOR),
        ("/nowhere", AGGREGATOR),
        ("/v1/llm/auto", AUTO),
        ("/v1/llm/none", AUTO),
        ("/api/v1/ai/models/a/b", LLM_CHAT),
        ("/api/v1/ai/llm/generate", LLM_GENERATE),
        ("/api/v1/ai/llm/none", LLM_CHAT),
        ("/api/v1/ai/chat", PROJECT_CHAT),
        ("/api/v1/ai/none", PROJECT_CHAT),
        ("", AGGREGATOR),
    ],
)
def test_a_failure_is_told_in_the_words_of_its_path(path: str, dialect: object) -> None:
    assert dialect_of(path) is dialect
