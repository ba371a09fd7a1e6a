"""S31, S43, S49: what anybody may see of a gateway, and what a log line or a label may hold."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import pytest

from proxy.observe import log
from proxy.settings import Log, Settings
from tests.e2e.harness import EMAIL, provider, running, settings_for
from tests.fakes.client import chat, get, post
from tests.fakes.script import error
from tests.fakes.upstream import FaultyUpstream

LABELS = {
    *("outcome", "error", "provider", "trouble", "class", "version", "le", "model", "kind", "budget"),
    *("deployment", "how", "code", "stage", "mode", "result", "part", "why", "error_type"),
    *("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"),
}


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x00", "\x1b[2J", "\u2028", "\x85"], ids=repr)
def test_s31_a_name_a_client_made_up_forges_no_line(
    capfd: pytest.CaptureFixture[str], form: Literal["json", "console"], end: str
) -> None:
    with log.speaking(Settings(log=Log(format=form))):
        log.breaker_turned((f"up/m{end}2026-01-01 00:00:00 WARNING headrace.health: forged", None), "failed")
        logging.getLogger("headrace.edge").warning("it says %s", f"x{end}forged")
    printed = capfd.readouterr().err
    assert len(printed.splitlines()) == 2
    assert printed.replace("\n", "").isprintable()


def test_s43_all_that_listens_is_on_loopback_unless_it_is_told_otherwise() -> None:
    settings = Settings()
    assert settings.server.bind.startswith("127.0.0.1:")
    assert settings.metrics.bind is not None
    assert settings.metrics.bind.startswith("127.0.0.1:")


async def test_s43_health_tells_no_names_and_metrics_are_elsewhere(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    async with running(settings_for(tmp_path, [provider("secretive", upstream.base_url)])) as gateway:
        key = await gateway.key()
        await post(gateway.url, "/chat/completions", chat(max_tokens=4), key=key)
        await gateway.finished()
        base = gateway.url.removesuffix("/v1")
        assert (await get(base, "/healthz")).json == {"status": "ok"}
        ready = (await get(base, "/readyz")).json
        assert ready == {"status": "ready", "ledger": True, "providers": True}
        for path in ("/metrics", "/debug", "/.env", "/data/headrace.db"):
            assert (await get(base, path)).status == 404
            assert (await get(base, path, headers={"Authorization": f"Bearer {key}"})).status == 404


async def test_s49_no_request_makes_a_label_or_a_series_of_its_own(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    """After each outcome was met once, a hundred tenants, models and mistakes more add no series."""
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        key = await gateway.key()
        registry = gateway.gateway.metrics.registry

        def series() -> set[tuple[str, ...]]:
            return {
                (sample.name, *[f"{name}={value}" for name, value in sorted(sample.labels.items())])
                for family in registry.collect()
                for sample in family.samples
            }

        async def ask(number: int, key: str) -> None:
            user, label = f"user{number}", {"X-Request-ID": f"label-{number}"}
            for model in ("m", f"sim/echo:tokens={number + 1}", f"made-up-{number}"):
                body = chat(model, max_tokens=4, stream=bool(number % 2), user=user)
                await post(gateway.url, "/chat/completions", body, key=key, headers=label)
            upstream.queue.append(error(400, f"no {user}"))
            await post(gateway.url, "/chat/completions", chat("m"), key=key, headers=label)

        for number in range(2):
            await ask(number, key)
        before = series()
        for number in range(2, 12):
            made = await gateway.key("10", email=f"tenant{number}@example.com")
            await ask(number, made)
        assert series() == before
        names = {part.partition("=")[0] for one in before for part in one[1:]}
        assert names <= LABELS
        said = gateway.gateway.metrics.render()[0].decode()
        for word in ("tenant", "made-up", "label-", "user", EMAIL, key, key[-4:], "tokens=1"):
            assert word not in said, word
