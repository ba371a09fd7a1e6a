"""The cold application: health now, the dashboard and the management API later. Quart, under Trio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quart import Response, request
from quart_trio import QuartTrio

from proxy.words.ids import request_id


def make_pages(readiness: Callable[[], dict[str, bool]]) -> QuartTrio:
    """Make the application; `readiness` tells of each part whether it can work."""
    app = QuartTrio("headrace")

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> tuple[dict[str, Any], int]:
        parts = readiness()
        ready = all(parts.values())
        return {"status": "ready" if ready else "not ready", **parts}, 200 if ready else 503

    @app.after_request
    async def label(response: Response) -> Response:

        response.headers["x-request-id"] = request_id(request.headers.get("x-request-id"))
        return response

    @app.errorhandler(404)
    async def not_found(_: Exception) -> tuple[dict[str, Any], int]:
        return {"error": {"code": "not_found", "message": "There is no such route."}}, 404

    return app


def make_scrape(render: Callable[[], tuple[bytes, str]]) -> QuartTrio:
    """Make the application of the metrics port; `render` gives a body and its content type."""
    app = QuartTrio("headrace.metrics")

    @app.get("/metrics")
    async def metrics() -> Response:
        body, content_type = render()
        return Response(body, content_type=content_type)

    return app
