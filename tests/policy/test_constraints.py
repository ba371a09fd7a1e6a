"""What a request demands of whoever answers it, and among whom it lets the gateway choose."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest

from proxy.policy.constraints import ceiling_of
from proxy.policy.ordering import Outlook
from proxy.policy.plan import Plan
from proxy.policy.prices import PriceBook
from proxy.policy.pulse import Pulse
from proxy.policy.routing import STEADY, Router
from proxy.settings import Alias, Deployment, Model, Provider, Settings
from proxy.words.chat import ChatRequest, Message, Origin, TextPart
from proxy.words.errors import GatewayError
from proxy.words.money import Price, Rates
from proxy.words.principal import Limits, Principal
from proxy.words.wishes import Wishes

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ANYONE = Principal(1, 1, "account")
UP = Provider("up", "openai", "https://up.example/v1", api_key="k")
OTHER = Provider("other", "openai", "https://other.example/v1", api_key="k")


def model(name: str, dollars: int, *capabilities: str, provider: Provider = UP, quality: int = 0) -> Model:
    """A model whose million tokens cost so many dollars, either way."""
    price = Price(Rates(*[dollars * 10**9] * 10))
    deployments = (Deployment(provider, f"{name}-1"),)
    return Model(name, deployments, price=price, capabilities=capabilities, quality=quality)


SMALL = model("small", 1)
LARGE = model("large", 10, "vision", "tools", quality=2)
EYES = model("eyes", 5, "vision", provider=OTHER, quality=1)
KNOWN = Settings(providers=(UP, OTHER), models=(SMALL, LARGE, EYES))


def planned(
    principal: Principal = ANYONE,
    outlook: Outlook = STEADY,
    settings: Settings = KNOWN,
    *,
    name: str = "",
    **wishes: object,
) -> Plan:
    """Plan a request of 100 prompt tokens, about, that wants 1000."""
    call = ChatRequest(
        name,
        (Message("user", (TextPart("hi"),)),),
        Origin("auto", {}),
        prompt_bytes=384,
        max_tokens=1000,
        wishes=Wishes(**wishes),  # type: ignore[arg-type]
    )
    return Router(settings, PriceBook.load(settings.providers)).plan(call, principal, NOW, outlook)


def chosen(plan: Plan) -> list[str]:
    return [each.terms.model for each in plan.candidates]


@pytest.mark.parametrize(
    ("wishes", "models"),
    [
        ({}, ["small"]),
        ({"anything": True}, ["small", "large", "eyes"]),
        ({"anything": True, "strategy": "cheapest"}, ["small", "eyes", "large"]),
        ({"anything": True, "strategy": "quality"}, ["large", "eyes", "small"]),
        ({"anything": True, "require": frozenset({"vision"})}, ["large", "eyes"]),
        ({"anything": True, "require": frozenset({"vision", "tools"})}, ["large"]),
        ({"anything": True, "only": ("other",)}, ["eyes"]),
        ({"anything": True, "max_credits": Fraction(6), "strategy": "quality"}, ["eyes", "small"]),
        ({"among": ("eyes", "large")}, ["eyes", "large"]),
        ({"among": ("eyes", "small")}, ["small", "eyes"]),
        ({"among": ("eyes", "nobody's")}, ["eyes"]),
        ({"among": ("large", "eyes"), "strategy": "cheapest"}, ["eyes", "large"]),
        ({"name": "large", "among": ("eyes", "large")}, ["large", "eyes"]),
        ({"name": "large", "max_credits": Fraction(11)}, ["large"]),
    ],
)
def test_a_request_says_among_whom_to_choose(wishes: dict[str, object], models: list[str]) -> None:
    assert chosen(planned(**wishes)) == models  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wishes",
    [
        {"anything": True, "require": frozenset({"sound"})},
        {"anything": True, "only": ("nobody",)},
        {"anything": True, "max_credits": Fraction(1)},
        {"name": "large", "max_credits": Fraction(10)},
        {"among": ("nobody's",)},
    ],
)
def test_where_nobody_fits_there_is_no_model(wishes: dict[str, object]) -> None:
    with pytest.raises(GatewayError) as caught:
        planned(**wishes)  # type: ignore[arg-type]
    assert caught.value.name == "model_not_found"


def test_a_key_chooses_among_its_own() -> None:
    principal = replace(ANYONE, models=frozenset({"eyes"}))
    assert chosen(planned(principal, anything=True)) == ["eyes"]
    assert chosen(planned(principal, among=("large", "eyes"))) == ["eyes"]
    with pytest.raises(GatewayError) as caught:
        planned(principal, among=("large",))
    assert caught.value.name == "model_not_allowed"


def test_speed_counts_where_it_is_known() -> None:
    pulse = Pulse()
    for _ in range(5):
        pulse.opened("up/small-1", 3.0, 0.0)
        pulse.opened("up/large-1", 0.2, 0.0)
    assert pulse.first_token("other/eyes-1", 0.0) is None
    outlook = STEADY._replace(first_token=lambda deployment: pulse.first_token(deployment, 0.0))
    assert chosen(planned(outlook=outlook, anything=True, max_latency=0.5)) == ["large", "eyes"]
    assert chosen(planned(outlook=outlook, anything=True, max_latency=5.0)) == ["small", "large", "eyes"]


def test_of_many_models_a_few_are_tried_and_those_that_fail_last() -> None:
    """A hold pays for the dearest that may answer: who asks for the cheapest need not have more."""
    many = replace(KNOWN, models=tuple(model(f"m{dollars}", dollars) for dollars in range(9, 0, -1)))
    assert chosen(planned(settings=many, anything=True, strategy="cheapest")) == ["m1", "m2", "m3"]
    shaky = STEADY._replace(stable=lambda deployment: deployment != "up/m1-1")
    assert chosen(planned(ANYONE, shaky, many, anything=True, strategy="cheapest")) == ["m2", "m3", "m4"]
    named = tuple(f"m{dollars}" for dollars in range(5, 0, -1))
    assert chosen(planned(settings=many, among=named)) == list(named)


def test_one_first_token_is_not_yet_knowledge() -> None:
    pulse = Pulse()
    pulse.opened("up/small-1", 3.0, 0.0)
    assert pulse.first_token("up/small-1", 0.0) is None


def test_a_ceiling_is_in_credits_and_stays_with_the_plan() -> None:
    assert planned(max_credits=Fraction("2.5")).ceiling == 2_500_000
    assert planned().ceiling is None
    assert ceiling_of(Wishes(max_credits=Fraction(1, 3)), 1000) == 333_333, "never more than was allowed"


def test_models_chosen_among_are_failed_over_and_raced_only_by_leave() -> None:
    racing = replace(KNOWN, models=(replace(SMALL, strategy="race"), LARGE))
    found = planned(settings=racing, among=("small", "large"))
    assert (found.mode, found.exempt) == ("failover", False)
    leave = replace(ANYONE, allow_race=True)
    found = planned(leave, settings=racing, among=("small", "large"), strategy="race")
    assert (found.mode, found.exempt, chosen(found)) == ("race", False, ["small", "large"])
    with pytest.raises(GatewayError) as caught:
        planned(settings=racing, strategy="hedge")
    assert caught.value.name == "permission_denied"


def test_a_plan_may_cap_the_prompt() -> None:
    tokens = 384 // 4 + 4
    assert planned(replace(ANYONE, limits=Limits(max_input=tokens))).candidates
    with pytest.raises(GatewayError) as caught:
        planned(replace(ANYONE, limits=Limits(max_input=tokens - 1)))
    assert caught.value.name == "context_length_exceeded"
    assert str(tokens - 1) in caught.value.message


@pytest.mark.parametrize(
    ("name", "models", "thinks"),
    [
        ("reason", KNOWN.models, True),
        ("smart", KNOWN.models, False),
        ("small", KNOWN.models, False),
        ("reason", (model("reason", 1),), False),
    ],
)
def test_one_alias_asks_for_thinking(name: str, models: tuple[Model, ...], thinks: bool) -> None:
    assert planned(settings=replace(KNOWN, models=models), name=name).first.think is thinks
    aliased = replace(KNOWN, models=models, aliases={"smart": Alias(("large",))})
    assert planned(settings=aliased, name=name).first.think is thinks


def test_a_model_is_shown_to_a_key_that_may_use_it() -> None:
    router = Router(KNOWN, PriceBook.load(KNOWN.providers))
    principal = replace(ANYONE, models=frozenset({"eyes", "smart"}))
    assert router.find("eyes", NOW, principal).id == "eyes"
    assert router.find("smart", NOW, principal).id == "smart"
    with pytest.raises(GatewayError) as caught:
        router.find("large", NOW, principal)
    assert caught.value.name == "model_not_found"
