"""What a request asks of its routing, end to end: who may be asked, which model is paid, where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from proxy.settings import Alias, Model
from proxy.words.money import Price, Rates
from proxy.words.wishes import Strategy
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .harness import INPUT, OUTPUT, PRICE
from .stage import NAMES, PROMPT, Stage, ask, deployed, price, providers_of, settings_of, several, staged

HEALTHY: Final = price(10, 8)


def hits(stage: Stage) -> list[int]:
    return [upstream.hits for upstream in stage.upstreams]


ROUTED: Final[Mapping[str, tuple[Mapping[str, Any], list[str]]]] = {
    "order": ({"provider": {"order": ["third", "first"]}}, ["third", "first", "second"]),
    "order without the rest": (
        {"provider": {"order": ["third", "first"], "allow_fallbacks": False}},
        ["third", "first"],
    ),
    "only": ({"provider": {"only": ["second", "third"]}}, ["second", "third"]),
    "ignore": ({"provider": {"ignore": ["first"]}}, ["second", "third"]),
    "no fallbacks": ({"provider": {"allow_fallbacks": False}}, ["first"]),
    "one of several": ({"provider": {"only": ["third"]}}, ["third"]),
}


@pytest.mark.parametrize("strategy", ["failover", "hedge", "race"])
@pytest.mark.parametrize("wish", ROUTED)
async def test_a_body_says_who_may_be_asked(wish: str, strategy: Strategy, tmp_path: Path) -> None:
    """All of them fail, so that everybody who may be asked is; no provider sees the wishes."""
    wishes, expected = ROUTED[wish]
    with trio.fail_after(LONG):
        async with several(tmp_path, 3, strategy) as stage:
            for upstream in stage.upstreams:
                upstream.default = Script(status=500, body=b"{}")
            answer = await stage.ask({**ask(), **wishes})
            assert answer.status == 502
            tried = [row.provider for row in await stage.tried()]
            assert (sorted if strategy == "race" else list)(tried) == (
                sorted(expected) if strategy == "race" else expected
            )
            assert all("provider" not in seen.json for each in stage.upstreams for seen in each.requests)


async def test_nobody_left_is_said(tmp_path: Path) -> None:
    async with several(tmp_path, 2, "race") as stage:
        answer = await stage.ask({**ask(), "provider": {"only": ["nobody"]}})
        assert (answer.status, answer.error["param"]) == (404, "provider")
        assert hits(stage) == [0, 0]
        await stage.gateway.finished()


DEAR: Final = Price(Rates(*[10 * INPUT] * 6, *[10 * OUTPUT] * 4))


@pytest.mark.parametrize("how", ["alias", "models"])
@pytest.mark.parametrize("dear_first", [True, False])
async def test_the_model_that_answers_is_the_one_that_is_paid(
    how: str, dear_first: bool, tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    """Fail-over from one model to another, by the operator's alias or the client's list."""
    upstream.default = Script(status=500, body=b"{}")
    providers = providers_of(upstream, spare)
    first, second = deployed(providers)
    models = [
        Model("a", (first,), price=DEAR if dear_first else PRICE),
        Model("b", (second,), price=PRICE if dear_first else DEAR),
    ]
    settings = settings_of(tmp_path, providers, models=models, aliases={"both": Alias(("a", "b"))})
    wish = {"model": "both"} if how == "alias" else {"model": "a", "models": ["b"]}
    async with staged(settings, upstream, spare) as stage:
        answer = await stage.ask({**ask(stream=False), **wish})
        cost = HEALTHY * (1 if dear_first else 10)
        assert answer.headers["x-gateway-model"] == "m-second"
        assert "models" not in spare.requests[0].json
        receipt = await stage.gateway.finished()
        assert await stage.charged() == cost
        assert (receipt.model, receipt.cost) == ("b", cost)
        assert receipt.held == 10 * -(-price(PROMPT, 8) * 120 // 100), "enough for the dearer of the two"


async def test_without_money_for_the_dearer_model_neither_is_asked(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    providers = providers_of(upstream, spare)
    first, second = deployed(providers)
    models = [Model("m", (first,), price=PRICE), Model("b", (second,), price=DEAR)]
    async with staged(settings_of(tmp_path, providers, models=models), upstream, spare) as stage:
        answer = await stage.ask({**ask(100_000), "models": ["b"]})
        assert answer.status == 402
        assert hits(stage) == [0, 0]
        await stage.gateway.finished()


async def test_a_session_sticks_to_its_deployment(tmp_path: Path) -> None:
    """The same user goes to the same one every time, users spread over all, and fail-over still works."""
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FaultyUpstream()) for _ in range(3)]
        providers = providers_of(*upstreams)
        model = Model("m", deployed(providers), price=PRICE, sticky=True)
        settings = settings_of(tmp_path, providers, models=[model])
        stage = await stack.enter_async_context(staged(settings, *upstreams))
        homes = {}
        for user in (f"user-{number}" for number in range(12)):
            by = [(await stage.ask(ask(user=user))).headers["x-gateway-provider"] for _ in range(3)]
            assert len(set(by)) == 1
            homes[user] = by[0]
        assert set(homes.values()) == set(NAMES)
        for upstream, name in zip(upstreams, NAMES, strict=True):
            if name == homes["user-0"]:
                upstream.default = Script(status=500, body=b"{}")
        moved = await stage.ask(ask(session_id="user-0"))
        assert moved.payloads[-1] == b"[DONE]"
        assert moved.headers["x-gateway-provider"] != homes["user-0"]
        await stage.gateway.finished(37)


HARD: Final = (
    "Prove that there are infinitely many primes of the form 4k + 3, then derive the time complexity of a "
    "sieve that finds those below n, step by step, and compare it with trial division."
)


@pytest.mark.parametrize(
    ("text", "tier"),
    [("hi", "simple"), ("Write a Python function that parses a CSV file.", "capable"), (HARD, "complex")],
)
async def test_auto_goes_to_the_tier_a_request_needs_and_says_why(
    text: str, tier: str, tmp_path: Path
) -> None:
    tiers = dict(zip(("simple", "capable", "complex"), NAMES, strict=True))
    async with AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(FaultyUpstream()) for _ in range(3)]
        deployments = deployed(providers_of(*upstreams))
        models = [Model(each.provider.name, (each,), price=PRICE) for each in deployments]
        aliases = {name: Alias((model,)) for name, model in tiers.items()}
        settings = settings_of(tmp_path, providers_of(*upstreams), models=models, aliases=aliases)
        stage = await stack.enter_async_context(staged(settings, *upstreams))
        for model in ("auto", ""):
            answer = await stage.ask(
                {**ask(), "model": model, "messages": [{"role": "user", "content": text}]}
            )
            assert answer.headers["x-gateway-provider"] == tiers[tier]
            assert answer.headers["x-gateway-route"].startswith(f"{tier}:")
            assert answer.headers["x-gateway-route"].endswith(f";model={tiers[tier]}")
        named = await stage.ask({**ask(), "model": "complex"})
        assert named.headers["x-gateway-route"] == f"model={tiers['complex']}"
        await stage.gateway.finished(3)
