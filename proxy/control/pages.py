"""The cold application: health, documentation, the management API. Quart, under Trio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

import orjson
import trio
from quart import Response, abort, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from proxy.describe.page import page
from proxy.words.ids import request_id

from .api.house import House
from .web.assets import TEMPLATES

App = Callable[[Any, Any, Any], Awaitable[None]]
MCP: Final = "/api/mcp/v1"
"""The methods are those of MCP's streamable HTTP transport (modelcontextprotocol.io, transports)."""
_SEND_SECONDS: Final = 15.0
_NOTHING: Final = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
_STYLED: Final = f"{_NOTHING}; style-src 'unsafe-inline'"
"""What the page of the documentation may load: nothing but its own style."""
_A_YEAR: Final = "max-age=31536000"
_REFUSALS: Final = {
    404: ("not_found", "There is no such route."),
    405: ("method_not_allowed", "This method is not allowed here."),
    500: ("internal_error", "The gateway failed."),
    501: ("not_implemented", "There is no MCP server here yet. Tokens for it can be made already."),
}


def make_pages(
    readiness: Callable[[], dict[str, bool]],
    describe: Callable[[], dict[str, Any]],
    house: House | None = None,
) -> QuartTrio:
    """Make the application.

    `readiness` tells of each part whether it can work; `describe` gives the OpenAPI document, once it is
    asked for; `house` is what the management API works with: without one there is none.
    """
    app = _labelled(QuartTrio("headrace", static_folder=None, template_folder=str(TEMPLATES)))
    _describing(app, describe)
    if house is not None:
        # What checks and describes bodies is for the process that controls alone.
        from .api.mount import mount  # noqa: PLC0415
        from .api.table import routes_of  # noqa: PLC0415
        from .web.site import serve_site  # noqa: PLC0415

        mount(app, house, routes_of(house.settings))
        serve_site(app, house, _refuse)
        _secure(app, house)

    @app.route(MCP, methods=["GET", "POST", "DELETE"])
    @app.route(f"{MCP}/<path:_>", methods=["GET", "POST", "DELETE"])
    async def mcp(_: str = "") -> Response:
        abort(501)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> tuple[dict[str, Any], int]:
        parts = readiness()
        ready = all(parts.values())
        return {"status": "ready" if ready else "not ready", **parts}, 200 if ready else 503

    return app


def _secure(app: QuartTrio, house: House) -> None:
    """Tell browsers to come by TLS alone, where they can."""

    @app.after_request
    async def strict(response: Response) -> Response:
        public = house.settings.server.public_url or f"{request.scheme}:"
        if public.startswith("https:"):
            response.headers["strict-transport-security"] = _A_YEAR
        return response


def _describing(app: QuartTrio, describe: Callable[[], dict[str, Any]]) -> None:
    """Serve the document and the page made of it, both made once."""

    @cache
    def document() -> bytes:
        return orjson.dumps(describe())

    @cache
    def written() -> str:
        return page(orjson.loads(document()))

    @app.get("/openapi.json")
    @app.get("/api/learn-center/openapi.json")
    async def openapi() -> Response:
        return Response(document(), content_type="application/json")

    @app.get("/docs")
    async def docs() -> Response:
        headers = {"content-security-policy": _STYLED}
        return Response(written(), content_type="text/html; charset=utf-8", headers=headers)


def make_scrape(render: Callable[[], Awaitable[tuple[bytes, str]]]) -> QuartTrio:
    """Make the application of the metrics port; `render` gives a body and its content type."""
    app = _labelled(QuartTrio("headrace.metrics"))

    @app.get("/metrics")
    async def metrics() -> Response:
        body, content_type = await render()
        return Response(body, content_type=content_type)

    return app


def _labelled(app: QuartTrio) -> QuartTrio:
    """Give every answer its request id, and every refusal our shape."""
    app.asgi_app = _undisturbed(app.asgi_app)  # type: ignore[method-assign, assignment]

    @app.before_request
    async def name() -> None:
        g.request_id = request_id(request.headers.get("x-request-id"))

    @app.after_request
    async def label(response: Response) -> Response:
        response.headers["x-request-id"] = g.request_id
        response.headers["x-content-type-options"] = "nosniff"
        response.headers["referrer-policy"] = "no-referrer"
        response.headers.setdefault("content-security-policy", _NOTHING)
        return response

    app.register_error_handler(HTTPException, _refuse)
    return app


async def _refuse(error: HTTPException) -> tuple[dict[str, Any], int, dict[str, str]]:
    status = error.code or 500
    code, message = _REFUSALS.get(status, ("invalid_request", error.name))
    allowed = error.valid_methods if isinstance(error, MethodNotAllowed) else None
    headers = {"allow": ", ".join(sorted(allowed))} if allowed else {}
    # A websocket's refusal comes without `before_request`.
    label = g.get("request_id") or request_id(None)
    return {"error": {"code": code, "message": message, "request_id": label}}, status, headers


def _undisturbed(app: App) -> App:
    """Let no cancellation into a send.

    Quart-Trio cancels a request's tasks as soon as Hypercorn says `http.disconnect`, which it does inside
    the last `send`, before it has set its idle timer: the connection would then stay open for good, and a
    stop would wait for it.
    """

    async def serve(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        async def whole(message: Any) -> None:
            with trio.move_on_after(_SEND_SECONDS, shield=True):
                await send(message)

        await app(scope, receive, whole)

    return serve
