"""Who pays: plans of own keys, plans of credits, and when there is one of both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.policy.estimate import weigh
from proxy.policy.health import Health
from proxy.policy.routing import STEADY
from proxy.words.errors import GatewayError
from proxy.words.principal import OpenedKey, OwnKey
from proxy.words.wishes import Strategy

from .test_routing import ANYONE, GROQ, MINI, NOW, OPENAI, ROUTER, chat, router, settings

OWN = replace(ANYONE, own_keys=(OwnKey("openrouter", 7),))


def paid(principal=ANYONE, model: str = "mini", **more: object) -> list[tuple[str, int | None]]:  # type: ignore[no-untyped-def]
    plan = router(settings(**more)).plan(chat(model), principal, NOW)
    return [(each.deployment.provider.name, each.own and each.own.id) for each in plan.candidates]


def test_where_an_own_key_serves_there_is_nothing_else() -> None:
    assert paid() == [("openai", None), ("openrouter", None)]
    assert paid(OWN) == [("openrouter", 7)]
    assert paid(OWN, "plain") == [("openrouter", 7)]
    assert paid(OWN, "openai/gpt-4o") == [("openai", None)]


def test_falling_back_puts_own_keys_first() -> None:
    both = replace(OWN, own_fallback=True)
    assert paid(both) == [("openrouter", 7), ("openrouter", None), ("openai", None)]
    alone = replace(both, own_keys=(OwnKey("openai", 6),))
    assert paid(alone, "openai/gpt-4o") == [("openai", 6), ("openai", None)]
    assert paid(both, "plain") == [("openrouter", 7)], "a model of one deployment has that one"


@pytest.mark.parametrize("strategy", ["race", "hedge", "failover", "single", "cheapest"])
def test_an_own_key_is_never_raced_and_costs_nothing(strategy: Strategy) -> None:
    two = replace(ANYONE, own_keys=(OwnKey("openai", 6), OwnKey("openrouter", 7)))
    plan = router(settings(models=(replace(MINI, strategy=strategy),))).plan(chat("mini"), two, NOW)
    assert (plan.mode, plan.exempt) == ("failover", False)
    assert [each.own is not None for each in plan.candidates] == [True] * len(plan.candidates)
    weight = weigh(chat("mini"), plan)
    assert (weight.estimate, weight.hold) == (0, 0)
    assert weight.tokens > 0
    assert plan.first.price_version == "byok"


def test_what_is_left_without_credits() -> None:
    known = router()
    both = known.plan(chat("mini"), replace(OWN, own_fallback=True), NOW)
    alone = both.own_alone()
    assert alone is not None
    assert [each.own for each in alone.candidates] == list(OWN.own_keys) == list(both.own_keys)
    assert known.plan(chat("mini"), OWN, NOW).own_alone() is None
    assert known.plan(chat("mini"), ANYONE, NOW).own_alone() is None


def test_a_provider_without_a_key_is_for_own_keys_alone() -> None:
    keyless = replace(GROQ, api_key=None)
    known = router(settings(providers=(OPENAI, keyless)))
    theirs = replace(ANYONE, own_keys=(OwnKey("groq", 1),))
    name = "groq/llama-3.3-70b-versatile"
    with pytest.raises(GatewayError) as caught:
        known.plan(chat(name), ANYONE, NOW)
    assert (caught.value.name, caught.value.detail["reason"]) == ("model_not_found", "byok_only")
    assert [each.own for each in known.plan(chat(name), theirs, NOW).candidates] == [OwnKey("groq", 1)]
    assert name not in {offer.id for offer in known.catalogue(NOW)}
    assert name in {offer.id for offer in known.catalogue(NOW, frozenset({"groq"}))}
    assert known.find(name, NOW, theirs).id == name
    with pytest.raises(GatewayError):
        known.find(name, NOW, ANYONE)


def test_trouble_with_an_own_key_is_its_own() -> None:
    health = Health()
    plan = router().plan(chat("mini"), replace(OWN, own_fallback=True), NOW)
    own = plan.candidates[0]
    operators = plan.candidates[1]
    assert operators.deployment is own.deployment
    for _ in range(50):
        health.failed(own, "auth", 0.0, 1.0)
    assert health.wait(own, 1.0) > 0
    assert health.wait(operators, 1.0) == 0
    assert health.outlook(1.0).stable(own.id)
    assert health.wait(replace(own, own=OwnKey("openrouter", 8)), 1.0) == 0
    assert list(health.pulse.snapshot(1.0)) == []
    assert STEADY.stable(own.id)


def test_s27_an_opened_key_does_not_show_itself() -> None:
    key = OpenedKey(1, "sk-CANARY")
    assert "CANARY" not in f"{key!r} {key}"


def test_the_operators_providers_are_as_they_were() -> None:
    assert not any(each.byok_only for each in (OPENAI, ROUTER, GROQ))
