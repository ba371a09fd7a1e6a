"""From a method and a path to a handler: one table for every door. It knows no HTTP server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from proxy.dialects.openai import OpenAIDialect
from proxy.words.errors import GatewayError
from proxy.words.ids import request_id

from .http import Reply, Request
from .load import Load
from .models import ModelRoutes

Handler = Callable[[Request, Reply], Awaitable[None]]

_AGGREGATOR: Final = OpenAIDialect("aggregator")
_BASES: Final = (("/api/v1/", _AGGREGATOR), ("/v1/", OpenAIDialect("gateway")))
_COMPLETIONS: Final = "chat/completions"
_DEAR: Final = frozenset(base + _COMPLETIONS for base, _ in _BASES)


class Routes:
    """The paths of this gateway.

    Attributes:
        load: the requests to models that run.
    """

    def __init__(self, models: ModelRoutes) -> None:
        self._models = models
        self.load: Load = models.load
        self._known: dict[tuple[str, str], Handler] = {}
        for base, dialect in _BASES:
            self._known["POST", base + _COMPLETIONS] = self._chat(dialect)
            self._known["GET", base + "models"] = self._catalogue(dialect)

    def find(self, method: str, path: str) -> Handler | None:
        """Return what answers; None is for the cold application. `path` is decoded, without the query."""
        known = self._known.get((method, path))
        if known is not None:
            return known
        for base, dialect in _BASES:
            if path.startswith(base):
                return self._rare(method, path.removeprefix(base), dialect)
        return None

    def expel(self) -> None:
        """End what runs, telling its clients."""
        self._models.expel()

    def dear(self, method: str, path: str) -> bool:
        """Whether what is asked there is a model, which is what there may be too much of."""
        return method == "POST" and path in _DEAR

    def _rare(self, method: str, rest: str, dialect: OpenAIDialect) -> Handler:
        if rest.startswith("models/"):
            if method == "GET":
                return self._model(dialect, rest.removeprefix("models/"))
            return _refusal(dialect, method, "GET")
        if rest in {_COMPLETIONS, "models"}:
            return _refusal(dialect, method, "GET" if rest == "models" else "POST")
        return _refusal(dialect, method, None)

    def _chat(self, dialect: OpenAIDialect) -> Handler:
        models = self._models

        def chat(request: Request, reply: Reply) -> Awaitable[None]:
            return models.chat(request, reply, dialect)

        return chat

    def _catalogue(self, dialect: OpenAIDialect) -> Handler:
        models = self._models

        def catalogue(request: Request, reply: Reply) -> Awaitable[None]:
            return models.catalogue(request, reply, dialect)

        return catalogue

    def _model(self, dialect: OpenAIDialect, name: str) -> Handler:
        models = self._models

        def model(request: Request, reply: Reply) -> Awaitable[None]:
            return models.model(request, reply, dialect, name)

        return model


def dialect_of(path: str) -> OpenAIDialect:
    """Return the dialect in which failures below `path` are told; the aggregator's where it is nobody's."""
    return next((dialect for base, dialect in _BASES if path.startswith(base)), _AGGREGATOR)


def _refusal(dialect: OpenAIDialect, method: str, allowed: str | None) -> Handler:
    if allowed is None:
        error = GatewayError("not_found", "There is no such route.")
    else:
        error = GatewayError("method_not_allowed", f"{method[:16]} is not allowed here.")

    async def answer(request: Request, reply: Reply) -> None:
        label = request_id(request.headers.get("x-request-id"))
        headers = {"content-type": "application/json", "x-request-id": label}
        if allowed is not None:
            headers["allow"] = allowed  # RFC 9110 section 15.5.6
        await reply.whole(error.face.status, headers, dialect.error(error, label))

    return answer
