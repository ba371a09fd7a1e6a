"""The cold application: health and documentation, the dashboard later. Quart, under Trio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

import orjson
import trio
from quart import Response, g, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from proxy.describe.page import page
from proxy.words.ids import request_id

App = Callable[[Any, Any, Any], Awaitable[None]]
_SEND_SECONDS: Final = 15.0
_NOTHING_FOREIGN: Final = (
    "default-src 'none'; style-src 'unsafe-inline';"
    " base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
"""What the page of the documentation may load: nothing but its own style."""
_REFUSALS: Final = {
    404: ("not_found", "There is no such route."),
    405: ("method_not_allowed", "This method is not allowed here."),
    500: ("internal_error", "The gateway failed."),
}


def make_pages(readiness: Callable[[], dict[str, bool]], describe: Callable[[], dict[str, Any]]) -> QuartTrio:
    """Make the application.

    `readiness` tells of each part whether it can work; `describe` gives the OpenAPI document, once it is
    asked for.
    """
    app = _labelled(QuartTrio("headrace"))
    _describing(app, describe)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> tuple[dict[str, Any], int]:
        parts = readiness()
        ready = all(parts.values())
        return {"status": "ready" if ready else "not ready", **parts}, 200 if ready else 503

    return app


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
        headers = {"content-security-policy": _NOTHING_FOREIGN, "x-content-type-options": "nosniff"}
        return Response(written(), content_type="text/html; charset=utf-8", headers=headers)


def make_scrape(render: Callable[[], tuple[bytes, str]]) -> QuartTrio:
    """Make the application of the metrics port; `render` gives a body and its content type."""
    app = _labelled(QuartTrio("headrace.metrics"))

    @app.get("/metrics")
    async def metrics() -> Response:
        body, content_type = render()
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
        return response

    @app.errorhandler(HTTPException)
    async def refuse(error: HTTPException) -> tuple[dict[str, Any], int, dict[str, str]]:
        status = error.code or 500
        code, message = _REFUSALS.get(status, ("invalid_request", error.name))
        allowed = error.valid_methods if isinstance(error, MethodNotAllowed) else None
        headers = {"allow": ", ".join(sorted(allowed))} if allowed else {}
        # A websocket's refusal comes without `before_request`.
        label = g.get("request_id") or request_id(None)
        return {"error": {"code": code, "message": message, "request_id": label}}, status, headers

    return app


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
