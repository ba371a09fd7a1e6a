"""From a method and a path to a handler: one table for every door. It knows no HTTP server."""

from __future__ import annotations

from typing import Final

from proxy.dialects.base import Dialect
from proxy.words.errors import GatewayError
from proxy.words.ids import request_id

from .http import Reply, Request
from .load import Load
from .models import ModelRoutes
from .refusal import refuse
from .surfaces import AGGREGATOR, BASES, GATEWAY, OPEN, SURFACES, Handler, Surface

_BASES: Final = sorted(BASES, key=lambda base: -len(base[0]))
_DEAR: Final = frozenset(
    each.path for each in SURFACES if each.method == "POST" and each.dialect in {AGGREGATOR, GATEWAY}
)


class Routes:
    """The paths of this gateway."""

    def __init__(self, models: ModelRoutes) -> None:
        self._models = models
        self._known = {(each.method, each.path): each.bind(models) for each in SURFACES}

    def find(self, method: str, path: str) -> Handler | None:
        """Return what answers; None is for the cold application. `path` is decoded, without the query."""
        known = self._known.get((method, path))
        if known is not None:
            return known
        base = _base_of(path)
        return None if base is None else self._rare(method, path, base)

    def expel(self) -> None:
        """End what runs, telling its clients."""
        self._models.expel()

    @property
    def load(self) -> Load:
        """The requests to models that run."""
        return self._models.load

    def dear(self, method: str, path: str) -> bool:
        """Whether what is asked there is a model, in OpenAI's words: of these there may be too many."""
        return method == "POST" and path in _DEAR

    def _rare(self, method: str, path: str, dialect: Dialect) -> Handler:
        there = _there(path)
        for surface in there:
            if surface.method == method:
                return self._known[method, surface.path]
        return _refusal(there[0].dialect if there else dialect, method, [each.method for each in there])


def dialect_of(path: str) -> Dialect:
    """Return the dialect in which failures at `path` are told; the aggregator's where it is nobody's."""
    there = _there(path)
    return there[0].dialect if there else _base_of(path) or AGGREGATOR


def _there(path: str) -> list[Surface]:
    """Return what is known of a path, whatever the method."""
    return [
        surface
        for surface in SURFACES
        if surface.path == path
        or (surface.path.endswith(OPEN) and path.startswith(surface.path.removesuffix(OPEN)))
    ]


def _base_of(path: str) -> Dialect | None:
    return next((dialect for base, dialect in _BASES if path.startswith(base)), None)


def _refusal(dialect: Dialect, method: str, allowed: list[str]) -> Handler:
    if allowed:
        error = GatewayError("method_not_allowed", f"{method[:16]} is not allowed here.")
    else:
        error = GatewayError("not_found", "There is no such route.")

    async def answer(request: Request, reply: Reply) -> None:
        label = request_id(request.headers.get("x-request-id"))
        more = {"allow": ", ".join(allowed)} if allowed else {}  # RFC 9110 section 15.5.6
        await refuse(reply, dialect, error, label, more)

    return answer
