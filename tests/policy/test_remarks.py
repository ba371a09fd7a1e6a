"""What is remarked on in a configuration that is good, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.policy.prices import PriceBook
from proxy.policy.remarks import remarks
from proxy.settings import Alias, Allowance, Deployment, Model, Money, Provider, Settings
from proxy.words.money import Price, Rates

OPENAI = Provider("openai", "openai", "https://api.openai.com/v1", "sk-1", key_variable="OPENAI_API_KEY")
HOME = Provider("home", "openai", "http://127.0.0.1:8080/v1")
ACME = Provider("acme", "openai", "https://acme.example/v1", "sk-2")
SIM = Provider("sim", "sim")
ALL = (OPENAI, HOME, ACME, SIM)
PRICED = Model("small", (Deployment(OPENAI, "gpt-4o-mini"),))
UNPRICED = Model("own", (Deployment(HOME, "qwen-of-mine"),))
GOOD = Settings(providers=ALL, models=(PRICED,), plans={"default": Allowance()})


def said(settings: Settings) -> list[str]:
    return remarks(settings, PriceBook.load(settings.providers))


@pytest.mark.parametrize(
    "settings",
    [
        GOOD,
        replace(GOOD, models=(replace(UNPRICED, price=Price(Rates())),)),
        replace(GOOD, models=(Model("play", (Deployment(SIM, "echo"),)),)),
        replace(GOOD, aliases={"fast": Alias(("small", "openai/gpt-4o", "sim/lorem"))}),
    ],
)
def test_what_is_as_it_should_be_is_not_remarked_on(settings: Settings) -> None:
    assert said(settings) == []


@pytest.mark.parametrize(
    ("provider", "remark"),
    [
        (
            replace(OPENAI, api_key=None),
            "OPENAI_API_KEY is not set, so only customers' own keys are served",
        ),
        (
            replace(HOME, key_variable="HOME_KEY"),
            "HOME_KEY is not set, so only customers' own keys are served",
        ),
        (
            replace(ACME, api_key=None),
            "it has no key (api_key_env, api_key_file or api_key), so only customers' own are served",
        ),
    ],
)
def test_a_key_that_is_missing(provider: Provider, remark: str) -> None:
    assert said(Settings(providers=(provider, SIM))) == [f"provider {provider.name}: {remark}"]


def test_a_model_without_a_price() -> None:
    refused = "has no price, so it is refused (404); set its price, or money.allow_unpriced"
    settings = replace(GOOD, models=(UNPRICED,), aliases={"fast": Alias(("own", "home/other"))})
    assert said(settings) == [f"model own: {refused}", f"alias fast: home/other {refused}"]
    free = "has no price and is served for nothing (money.allow_unpriced)"
    settings = replace(settings, money=Money(allow_unpriced=True))
    assert said(settings) == [f"model own: {free}", f"alias fast: home/other {free}"]


def test_an_alias_of_a_model_that_is_none() -> None:
    settings = replace(GOOD, aliases={"fast": Alias(("sim/nothing",))})
    assert said(settings) == [
        "alias fast: sim/nothing cannot be asked for: The model 'sim/nothing' does not exist."
    ]


def test_plans_may_wait_for_accounts() -> None:
    settings = replace(GOOD, plans={"pro": Allowance(), "default": Allowance(), "free": Allowance()})
    assert said(settings) == []
