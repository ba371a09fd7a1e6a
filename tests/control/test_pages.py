"""The cold pages: health, readiness, and what is said of what is not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from quart.testing import WebsocketResponseError

from proxy.app import open_bank, readiness
from proxy.control.pages import make_pages, make_scrape
from proxy.settings import Deployment, Model, Provider, Settings
from tests.e2e.harness import provider, settings_for


@pytest.mark.parametrize(("ledger", "providers"), [(False, True), (True, False)])
async def test_not_ready_is_503_and_says_which_part(ledger: bool, providers: bool) -> None:
    app = make_pages(lambda: {"ledger": ledger, "providers": providers}, dict)
    answer = await app.test_client().get("/readyz", headers={"x-request-id": "r"})
    assert answer.status_code == 503
    assert await answer.get_json() == {"status": "not ready", "ledger": ledger, "providers": providers}
    assert answer.headers["x-request-id"] == "r"
    assert (await app.test_client().get("/healthz")).status_code == 200


async def _readiness(settings: Settings, **circuits: bool) -> dict[str, bool]:
    async with open_bank(settings) as bank:
        tried = [(f"{name}/m", may) for name, may in circuits.items()]
        return readiness(settings, bank.desk, lambda: tried)


async def test_ready_needs_a_provider_that_can_be_used(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, [])
    assert await _readiness(settings) == {"ledger": True, "providers": True}
    for providers in ((), (provider("keyless", "https://127.0.0.1:1", api_key=None),)):
        assert not (await _readiness(replace(settings, providers=providers)))["providers"]
    keyed = (provider("keyed", "http://127.0.0.1:1"),)
    assert (await _readiness(replace(settings, providers=keyed)))["providers"]
    local = (provider("local", "http://127.0.0.1:1", api_key=None),)
    assert (await _readiness(replace(settings, providers=local)))["providers"]


async def test_ready_needs_a_provider_that_is_not_shut_out(tmp_path: Path) -> None:
    sim = Provider("sim", "sim")
    two = (provider("one", "http://127.0.0.1:1"), provider("two", "http://127.0.0.1:2"), sim)
    settings = replace(settings_for(tmp_path, []), providers=two)
    for circuits, ready in (
        ({"one": False}, True),
        ({"one": False, "two": True}, True),
        ({"one": False, "two": False}, False),
        ({"one": False, "two": False, "sim": True}, False),
    ):
        assert (await _readiness(settings, **circuits))["providers"] is ready, circuits
    placed = replace(settings, models=(Model("m", (Deployment(sim, "echo"),)),))
    assert (await _readiness(placed, one=False, two=False))["providers"], "a model is meant to be there"


async def test_the_metrics_port_serves_metrics_and_nothing_else() -> None:
    async def render() -> tuple[bytes, str]:
        await trio.lowlevel.checkpoint()
        return b"a 1\n", "text/plain; version=1.0.0"

    app = make_scrape(render)
    answer = await app.test_client().get("/metrics")
    assert (answer.status_code, await answer.get_data()) == (200, b"a 1\n")
    assert answer.headers["content-type"] == "text/plain; version=1.0.0"
    assert (await app.test_client().get("/healthz")).status_code == 404


async def test_a_page_that_fails_says_so_in_our_shape() -> None:
    def broken() -> dict[str, bool]:
        raise RuntimeError("CANARY")

    app = make_pages(broken, dict)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    answer = await app.test_client().get("/readyz", headers={"x-request-id": "r"})
    assert answer.status_code == 500
    assert await answer.get_json() == {
        "error": {"code": "internal_error", "message": "The gateway failed.", "request_id": "r"}
    }


@pytest.mark.parametrize("path", ["/api/mcp/v1", "/api/mcp/v1/messages"])
async def test_what_mcp_tokens_are_for_is_not_there_yet_and_says_so(path: str) -> None:
    answer = await make_pages(dict, dict).test_client().post(path, json={})
    assert answer.status_code == 501
    told = (await answer.get_json())["error"]
    assert (told["code"], "no MCP server here yet" in told["message"]) == ("not_implemented", True)


async def test_a_websocket_is_refused() -> None:
    app = make_pages(dict, dict)
    refused = pytest.RaisesExc(WebsocketResponseError, check=lambda told: told.response.status_code == 400)
    with pytest.RaisesGroup(refused):
        async with app.test_client().websocket("/readyz") as websocket:
            await websocket.receive()
