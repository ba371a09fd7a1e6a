"""Every path of this gateway: in whose words it is spoken to, and who answers.

A new endpoint is a row here. A path that ends in `{id}` is open: its handler reads the rest itself, which
may hold slashes. Failures below a base are told in the words of the longest one that fits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

from proxy.dialects.ai_gateway import AIGatewayDialect
from proxy.dialects.ai_llm import AILLMDialect
from proxy.dialects.anthropic import AnthropicDialect
from proxy.dialects.auto import AutoDialect
from proxy.dialects.base import Counter, Dialect, FormDialect, Lister, Teller
from proxy.dialects.completions import CompletionsDialect
from proxy.dialects.openai import OpenAIDialect
from proxy.dialects.openai_endpoints import MediaDialect, RecordingDialect
from proxy.dialects.openai_media_request import read_embedding, read_images, read_speech
from proxy.dialects.responses import ResponsesDialect

from .http import Reply, Request
from .models import ModelRoutes

Handler = Callable[[Request, Reply], Awaitable[None]]
OPEN: Final = "{id}"


class Surface(NamedTuple):
    """One method of one path. `bind` makes its handler, once for each server."""

    method: str
    path: str
    dialect: Dialect
    bind: Callable[[ModelRoutes], Handler]


AGGREGATOR: Final = OpenAIDialect("aggregator")
GATEWAY: Final = OpenAIDialect("gateway")
ANTHROPIC: Final = AnthropicDialect()
AUTO: Final = AutoDialect()
LLM_GENERATE: Final = AILLMDialect("generate")
LLM_CHAT: Final = AILLMDialect("chat")
PROJECT_CHAT: Final = AIGatewayDialect("chat")
PROJECT_GENERATE: Final = AIGatewayDialect("generate")


def _asks(path: str, dialect: Dialect) -> Surface:
    """Ask a model."""

    def bind(models: ModelRoutes) -> Handler:
        # Not `partial`, as the others are: with a keyword it costs twice as much, and this one is hot.
        def ask(request: Request, reply: Reply) -> Awaitable[None]:
            return models.ask(request, reply, dialect)

        return ask

    return Surface("POST", path, dialect, bind)


def _counts(path: str, dialect: Counter) -> Surface:
    """Count a prompt's tokens."""
    return Surface("POST", path, dialect, lambda models: partial(models.count, dialect=dialect))


def _lists(path: str, dialect: Lister) -> tuple[Surface, Surface]:
    """List the models, and show one."""
    return (
        Surface("GET", path, dialect, lambda models: partial(models.catalogue, dialect=dialect)),
        Surface(
            "GET",
            f"{path}/{OPEN}",
            dialect,
            lambda models: partial(models.model, dialect=dialect, base=f"{path}/"),
        ),
    )


def _tells(base: str, dialect: Teller) -> tuple[Surface, Surface]:
    """Tell of the key that asks, and of its account's requests."""
    return (
        Surface("GET", base + "key", dialect, lambda models: partial(models.key, dialect=dialect)),
        Surface(
            "GET", base + "generation", dialect, lambda models: partial(models.generation, dialect=dialect)
        ),
    )


def _reserves(path: str, dialect: Dialect) -> Surface:
    """Keep a path for later."""
    return Surface("POST", path, dialect, lambda models: partial(models.reserved, dialect=dialect))


def _hears(path: str, dialect: FormDialect) -> Surface:
    """Put a recording to a model."""
    return Surface("POST", path, dialect, lambda models: partial(models.hear, dialect=dialect))


def _openai(base: str, dialect: OpenAIDialect) -> tuple[Surface, ...]:
    style = dialect.style
    return (
        _asks(base + "chat/completions", dialect),
        _asks(base + "completions", CompletionsDialect(style)),
        _asks(base + "responses", ResponsesDialect(style)),
        _asks(base + "messages", ANTHROPIC),
        _counts(base + "messages/count_tokens", ANTHROPIC),
        _asks(base + "embeddings", MediaDialect(style, read_embedding)),
        _asks(base + "audio/speech", MediaDialect(style, read_speech)),
        _asks(base + "images/generations", MediaDialect(style, read_images)),
        _hears(base + "audio/transcriptions", RecordingDialect(style, translate=False)),
        _hears(base + "audio/translations", RecordingDialect(style, translate=True)),
        *_lists(base + "models", dialect),
        *_tells(base, dialect),
    )


SURFACES: Final[tuple[Surface, ...]] = (
    *_openai("/api/v1/", AGGREGATOR),
    *_openai("/v1/", GATEWAY),
    _asks("/v1/llm/auto", AUTO),
    *_lists("/api/v1/ai/models", LLM_CHAT),
    _asks("/api/v1/ai/llm/generate", LLM_GENERATE),
    _asks("/api/v1/ai/llm/chat", LLM_CHAT),
    _asks("/api/v1/ai/chat", PROJECT_CHAT),
    _asks("/api/v1/ai/generate", PROJECT_GENERATE),
    _reserves("/api/v1/ai/embed", PROJECT_CHAT),
)
BASES: Final[tuple[tuple[str, Dialect], ...]] = (
    ("/api/v1/", AGGREGATOR),
    ("/v1/", GATEWAY),
    ("/api/v1/messages/", ANTHROPIC),
    ("/v1/messages/", ANTHROPIC),
    ("/v1/llm/", AUTO),
    ("/api/v1/ai/llm/", LLM_CHAT),
    ("/api/v1/ai/", PROJECT_CHAT),
)
"""What is below none of these is for the cold application."""
