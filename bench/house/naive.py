"""The naive stack: a relay written the way the manuals of its parts suggest.

A Quart-Trio route that passes the request on by one shared `httpx.AsyncClient`, served by stock Hypercorn
with its Trio worker. It has no keys, limits, money or retries: it does less than a gateway must.
"""

from __future__ import annotations

import os

import httpx
from quart import Response, request
from quart_trio import QuartTrio

app = QuartTrio(__name__)
app.config["RESPONSE_TIMEOUT"] = None
# Without these limits httpx would queue the 101st stream.
_client = httpx.AsyncClient(
    base_url=os.environ.get("BENCH_UPSTREAM", "http://127.0.0.1:9001"),
    timeout=None,  # noqa: S113 - the driver ends the run
    limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
)


@app.post("/v1/chat/completions")
async def completions() -> Response:
    """Relay one request."""
    body = await request.get_json()
    outgoing = _client.build_request("POST", "/v1/chat/completions", json=body)
    if body.get("stream"):
        answer = await _client.send(outgoing, stream=True)
        return Response(answer.aiter_raw(), answer.status_code, content_type=answer.headers["content-type"])
    answer = await _client.send(outgoing)
    return Response(answer.content, answer.status_code, content_type=answer.headers["content-type"])


@app.after_serving
async def close() -> None:
    """Let go of the upstream."""
    await _client.aclose()
