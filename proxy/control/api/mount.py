"""From the table of routes to an application: guarded, checked against what is described, answered."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import msgspec
import orjson
from quart import Response, g, request
from quart.json.provider import DefaultJSONProvider
from quart_schema import QuartSchema, RequestSchemaValidationError, validate_querystring, validate_request
from quart_trio import QuartTrio
from werkzeug.exceptions import RequestEntityTooLarge

from proxy.bank.store import StoreError
from proxy.control.passwords import BusyError
from proxy.control.socket import ControlError
from proxy.words.ids import request_id

from .guard import admitted
from .hosts import is_ours
from .house import House
from .refusal import ApiError, missing, of_office
from .route import LARGEST, Done, File, Route

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_PRIVATE: Final = {"cache-control": "no-store"}
MAX_BODY: Final = 1024 * 1024
"""Bytes of a request's body. The HTTP/1.1 door has the same limit; HTTP/2 comes here straight."""
_HEALTH: Final = frozenset({"/healthz", "/readyz"})
_SAID: Final = 200
"""Characters of what is wrong with a body, at most: some of it may be the client's own."""


def mount(app: QuartTrio, house: House, routes: Iterable[Route]) -> None:
    """Serve the routes; to be called once for an application."""
    QuartSchema(app, openapi_path=None, conversion_preference="msgspec")
    app.json = _Json(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    # A path with a slash too many is another path: who asks for it is not sent on.
    app.url_map.merge_slashes = False
    app.register_error_handler(ApiError, _refused)
    app.register_error_handler(RequestSchemaValidationError, _malformed)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    for error in (ControlError, BusyError, StoreError):
        app.register_error_handler(error, _failed)
    app.before_request(partial(_check_host, house))
    for route in routes:
        app.add_url_rule(
            route.path,
            f"{route.method} {route.path}",
            _view(house, route),
            methods=[route.method],
            provide_automatic_options=False,
        )


class _Json(DefaultJSONProvider):
    """Reads bodies: the standard library's reader follows nesting until it breaks."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Return what a text means. Raises ValueError."""
        return orjson.loads(s)


async def _check_host(house: House) -> None:
    """Refuse what asks for somebody else; those who look after our health may call us what they like."""
    server = house.settings.server
    if request.path not in _HEALTH and not is_ours(request.host, server.bind, server.public_url):
        raise ApiError(
            "unknown_host",
            f"This gateway is not {request.host[:100]!r}. Where browsers find it by another name than"
            " localhost or its address, server.public_url has to say so, and a proxy has to pass Host on.",
        )


def _view(house: House, route: Route) -> Any:
    """Make the function that Quart calls."""

    async def handle(data: Any = None, query_args: Any = None, **place: Any) -> Response:
        if route.body is not None:
            place["body"] = data
        if route.query is not None:
            place["query"] = query_args
        return _answered(route, g.visit.headers, await route.handler(g.visit, **place))

    checked: Any = handle
    if route.body is not None:
        checked = validate_request(route.body)(checked)
    if route.query is not None:
        checked = validate_querystring(route.query)(checked)

    async def view(**place: Any) -> Response:
        g.visit = await admitted(house, route, request)
        _check_places(place)
        if route.body is not None:
            await _check_text()
        response: Response = await checked(**place)
        return response

    return view


def _check_places(place: dict[str, Any]) -> None:
    """Tell what no store could hold that it is not there."""
    for each in place.values():
        if (each > LARGEST) if isinstance(each, int) else not each.isprintable():
            raise missing()


async def _check_text() -> None:
    """Refuse a body that is no UTF-8 (RFC 8259 section 8.1), which Quart would fail at."""
    raw = await request.get_data(as_text=False)
    try:
        assert isinstance(raw, bytes)  # noqa: S101 - it says that it is either
        raw.decode()
    except UnicodeDecodeError:
        raise ApiError("invalid_request", "The body is not UTF-8.") from None


def _answered(route: Route, headers: list[tuple[str, str]], told: Any) -> Response:
    """Write an answer: the fields that are described, and no others."""
    if isinstance(told, File):
        response = Response(told.content, content_type=told.media_type)
        response.headers["content-disposition"] = f'attachment; filename="{told.name}"'
    else:
        answer = msgspec.convert({} if told is None and route.answer is Done else told, route.answer)
        response = Response(_ENCODER.encode(answer), route.status, content_type="application/json")
    response.headers.update(_PRIVATE)
    for name, value in headers:
        response.headers.add(name, value)
    return response


async def _refused(error: ApiError) -> Response:
    label = g.get("request_id") or request_id(None)
    told = {"code": error.code, "message": error.message, "request_id": label}
    body = {"error": told if error.field is None else {**told, "field": error.field}}
    response = Response(orjson.dumps(body), error.status, content_type="application/json")
    response.headers.update(_PRIVATE)
    if error.retry_after is not None:
        response.headers["retry-after"] = str(max(int(error.retry_after), 0) + 1)
    return response


async def _failed(error: Exception) -> Response:
    return await _refused(of_office(error))


async def _malformed(error: RequestSchemaValidationError) -> Response:
    return await _refused(ApiError("invalid_request", str(error.validation_error)[:_SAID]))


async def _too_large(_: RequestEntityTooLarge) -> Response:
    return await _refused(ApiError("body_too_large", f"The body is larger than {MAX_BODY} bytes."))
