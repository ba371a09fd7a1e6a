"""From a path to the protocol that answers there: the one place that knows all three."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from proxy.dialects.base import parse_json
from proxy.words.errors import GatewayError
from proxy.words.script import Script, read_script

from . import anthropic, gemini, gemini_embeddings, media, openai
from .answer import ASKED_FOR
from .prompt import BadRequestError, Prompt
from .reply import SimReply

_JSON: Final = {"content-type": "application/json"}
_EVENTS: Final = {"content-type": "text/event-stream"}
_VERSION: Final = re.compile(r"/v1(?:beta)?(?=/)")
_GEMINI: Final = re.compile(
    r"/(?:models|tunedModels)/(.+):(generateContent|streamGenerateContent|countTokens)"
)
_GEMINI_VECTORS: Final = re.compile(r"/models/(.+):batchEmbedContents")


class _Wire(Protocol):
    """A protocol's module."""

    def stream(self, script: Script, prompt: Prompt) -> Iterator[bytes]: ...
    def whole(self, script: Script, prompt: Prompt) -> Iterator[bytes]: ...
    def failure(self, status: int, message: str) -> bytes: ...


class _Route(NamedTuple):
    """What answers a path: its protocol, how a body is read there, and what a mere count is answered with."""

    wire: _Wire
    read: Callable[[dict[str, Any]], Prompt]
    weigh: Callable[[Prompt], bytes] | None = None


def answer(path: str, body: bytes) -> SimReply:
    """Answer a POST; `path` may have the protocol's version before it, and has no query."""
    path = _VERSION.sub("", path, count=1)
    if path in media.PATHS:
        return _media(path, body)
    vectors = _GEMINI_VECTORS.fullmatch(path)
    if vectors is not None:
        return _vectors(vectors[1], body)
    route = _find(path)
    if route is None:
        return refusal(openai, 404, "There is no such route.")
    return _chat(route, body)


def catalogue(path: str, headers: Container[str]) -> SimReply:
    """Answer a GET of the models; of clients that ask for them at one path, a header tells whose they are."""
    if path not in {"/v1/models", "/v1beta/models"}:
        return refusal(openai, 404, "There is no such route.")
    if path == "/v1beta/models" or "x-goog-api-key" in headers:
        return SimReply.plain(200, gemini.models())
    return SimReply.plain(200, (anthropic if "anthropic-version" in headers else openai).models())


def refusal(wire: _Wire, status: int, message: str, retry_after: int | None = None) -> SimReply:
    """Answer with an error; Gemini alone says in the body how long to wait."""
    if retry_after is None:
        return SimReply.plain(status, wire.failure(status, message))
    if wire is gemini:
        return SimReply.plain(status, gemini.failure(status, message, retry_after))
    return SimReply.plain(status, wire.failure(status, message), {"retry-after": str(retry_after)})


def _chat(route: _Route, body: bytes) -> SimReply:
    try:
        prompt = route.read(parse_json(body))
    except GatewayError as error:
        return refusal(route.wire, 400, error.message)
    except BadRequestError as error:
        return refusal(route.wire, 400, str(error))
    try:
        script = read_script(prompt.model)
    except ValueError as error:
        return refusal(route.wire, 404, str(error))
    if script.fail is not None:
        return refusal(route.wire, script.fail, ASKED_FOR, script.retry_after)
    if route.weigh is not None:
        return SimReply.plain(200, route.weigh(prompt))
    if prompt.stream:
        return SimReply(200, _EVENTS, script, route.wire.stream(script, prompt))
    if script.error is not None:
        return refusal(route.wire, 500, ASKED_FOR)
    return SimReply(200, _JSON, script, route.wire.whole(script, prompt))


def _media(path: str, body: bytes) -> SimReply:
    try:
        given = media.read(path, body)
        script = read_script(str(given.get("model")))
        if script.fail is not None:
            return refusal(openai, script.fail, ASKED_FOR, script.retry_after)
        return media.reply(path, script, given)
    except BadRequestError as error:
        return refusal(openai, 400, str(error))
    except ValueError as error:
        return refusal(openai, 404, str(error))


def _vectors(model: str, body: bytes) -> SimReply:
    try:
        asked = gemini_embeddings.read(parse_json(body), model)
        script = read_script(model)
    except GatewayError as error:
        return refusal(gemini, 400, error.message)
    except BadRequestError as error:
        return refusal(gemini, 400, str(error))
    except ValueError as error:
        return refusal(gemini, 404, str(error))
    if script.fail is not None:
        return refusal(gemini, script.fail, ASKED_FOR, script.retry_after)
    return SimReply(200, _JSON, script, iter([gemini_embeddings.write(script, asked)]))


def _find(path: str) -> _Route | None:
    if path == "/chat/completions":
        return _Route(openai, openai.read)
    if path == "/messages":
        return _Route(anthropic, anthropic.read)
    if path == "/messages/count_tokens":
        return _Route(anthropic, partial(anthropic.read, counting=True), anthropic.count_tokens)
    found = _GEMINI.fullmatch(path)
    if found is None:
        return None
    model, method = found.groups()
    if method == "countTokens":
        return _Route(gemini, partial(gemini.read, model=model), gemini.count_tokens)
    return _Route(gemini, partial(gemini.read, model=model, stream=method.startswith("stream")))
