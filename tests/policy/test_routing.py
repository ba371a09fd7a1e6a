"""Routing: which id goes where, at what price, and how an unknown one is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.estimate import weigh
from proxy.policy.plan import Plan, Terms
from proxy.policy.prices import PriceBook
from proxy.policy.routes import ALIASES, FREE, SIM_MODELS, SIM_PRICE, Routes
from proxy.policy.routing import Router
from proxy.settings import Alias, Deployment, Model, Money, Provider, Settings, Timeouts, load
from proxy.words.chat import ChatRequest, Message, Origin, TextPart
from proxy.words.errors import GatewayError
from proxy.words.money import Price, Rates, cost, hold_for
from proxy.words.principal import Limits, Preferred, Principal
from proxy.words.usage import DEFAULT_RATIO, Usage
from proxy.words.wishes import Strategy, Wishes

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ANYONE = Principal(1, 1, "account")
OPENAI = Provider("openai", "openai", "https://api.openai.com/v1", api_key="k")
ROUTER = Provider("openrouter", "openai", "https://openrouter.ai/api/v1", api_key="k")
GROQ = Provider("groq", "openai", "https://api.groq.com/openai/v1", api_key="k")
LOCAL = Provider("local", "openai", "http://127.0.0.1:1/v1")
SIM = Provider("sim", "sim")
OWN_PRICE = Price(Rates(input=7, output=9))
MINI = Model(
    "mini",
    (Deployment(OPENAI, "gpt-4o-mini"), Deployment(ROUTER, "openai/gpt-4o-mini")),
    price=OWN_PRICE,
    max_output_tokens=1000,
    capabilities=("chat",),
)
PLAIN = Model("plain", (Deployment(OPENAI, "gpt-4.1"), Deployment(ROUTER, "openai/gpt-4.1")), "single")


def settings(**more: object) -> Settings:
    base = Settings(providers=(OPENAI, ROUTER, LOCAL, SIM), models=(MINI, PLAIN))
    return replace(base, **more)  # type: ignore[arg-type]


def router(given_settings: Settings | None = None) -> Router:
    known = given_settings or settings()
    return Router(known, PriceBook.load(known.providers))


def chat(model: str, *, max_tokens: int | None = None, n: int = 1, tier: object = None) -> ChatRequest:
    message = Message("user", (TextPart("hello"),))
    extra = {} if tier is None else {"service_tier": tier}
    return ChatRequest(
        model, (message,), Origin("openai", {}), prompt_bytes=400, max_tokens=max_tokens, n=n, extra=extra
    )


def plan(model: str, given_settings: Settings | None = None) -> Plan:
    return router(given_settings).plan(chat(model), ANYONE, NOW)


def terms(model: str, given_settings: Settings | None = None) -> Terms:
    return plan(model, given_settings).first


def refusal(model: str, given_settings: Settings | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        plan(model, given_settings)
    assert caught.value.param == "model"
    return caught.value


@pytest.mark.parametrize(
    ("asked", "model", "candidates"),
    [
        ("mini", "mini", ["openai/gpt-4o-mini", "openrouter/openai/gpt-4o-mini"]),
        ("plain", "plain", ["openai/gpt-4.1"]),
        ("openai/gpt-4o-mini", "openai/gpt-4o-mini", ["openai/gpt-4o-mini"]),
        ("openai/codex-mini",) * 2 + (["openai/codex-mini"],),
        ("gpt-4o-mini", "mini", ["openai/gpt-4o-mini", "openrouter/openai/gpt-4o-mini"]),
        ("openai/gpt-4o", "openai/gpt-4o", ["openai/gpt-4o"]),
        ("gpt-4o", "openai/gpt-4o", ["openai/gpt-4o"]),
        ("gpt-4o-2024-08-06", "openai/gpt-4o-2024-08-06", ["openai/gpt-4o-2024-08-06"]),
        (
            "deepseek/deepseek-chat",
            "openrouter/deepseek/deepseek-chat",
            ["openrouter/deepseek/deepseek-chat"],
        ),
        ("sim/echo", "sim/echo", ["sim/echo"]),
        ("sim/lorem:tokens=64,ttft=0.2", "sim/lorem", ["sim/lorem:tokens=64,ttft=0.2"]),
        ("", "mini", ["openai/gpt-4o-mini", "openrouter/openai/gpt-4o-mini"]),
        *[(alias, "mini", ["openai/gpt-4o-mini", "openrouter/openai/gpt-4o-mini"]) for alias in ALIASES],
    ],
)
def test_an_id_goes_where_the_contract_says(asked: str, model: str, candidates: list[str]) -> None:
    found = plan(asked)
    assert found.first.model == model
    assert [candidate.id for candidate in found.candidates] == candidates


def test_aliases_are_the_operators_first_then_auto() -> None:
    aliases = {
        "auto": Alias(("plain",)),
        "fast": Alias(("openai/moderation", "sim/echo")),
        "house": Alias(("mini",)),
    }
    known = settings(aliases=aliases)
    assert terms("auto", known).model == terms("", known).model == terms("smart", known).model == "plain"
    assert terms("fast", known).model == "sim/echo", "the first has no price"
    assert terms("house", known).model == "mini"
    assert terms("auto", Settings(providers=(SIM,))).model == "sim/echo"
    assert refusal("dead", settings(aliases={"dead": Alias(("openai/moderation",))})).detail == {
        "reason": "unpriced"
    }


def test_the_price_is_the_operators_or_the_librarys_marked_up() -> None:
    known = settings(money=Money(markup=Fraction(3, 2)))
    own, listed, nested, sim = (
        terms(name, known) for name in ("mini", "plain", "openai/gpt-4.1", "sim/echo")
    )
    assert (own.price, own.markup, own.price_version) == (OWN_PRICE, Fraction(1), "settings")
    assert (listed.price, listed.markup) == (nested.price, nested.markup)
    assert listed.price.rates.input == 2_000_000_000
    assert listed.markup == Fraction(3, 2)
    assert listed.price_version.startswith("genai-prices-")
    assert (sim.price, sim.markup, sim.price_version) == (SIM_PRICE, Fraction(1), "sim")
    assert cost(Usage(input=10**6, output=10**6), sim.price) == 3 * 10**9


def test_a_configured_price_for_sim_wins() -> None:
    echo = Model("sim/echo", (Deployment(SIM, "echo"),), price=OWN_PRICE)
    assert terms("sim/echo", settings(models=(echo,))).price == OWN_PRICE


def test_a_price_follows_the_hour() -> None:
    deepseek = Provider("deepseek", "openai", "https://d", api_key="k")
    known = router(Settings(providers=(deepseek,)))
    prices = {
        hour: known.plan(
            chat("deepseek/deepseek-chat"), ANYONE, NOW.replace(hour=hour)
        ).first.price.rates.input
        for hour in (12, 20)
    }
    assert prices == {12: 270_000_000, 20: 135_000_000}


def test_a_service_tier_has_its_price() -> None:
    known = router()

    def rate(tier: object, model: str = "openai/gpt-5") -> int:
        return known.plan(chat(model, tier=tier), ANYONE, NOW).first.price.rates.input

    assert rate("priority") == 2 * rate(None)
    assert rate("flex") * 2 == rate(None)
    assert rate("auto") == rate("default") == rate(3) == rate("unheard-of") == rate(None)
    assert rate("priority", "mini") == 7, "the operator's price is for every tier"


def test_what_has_no_price_is_refused_unless_the_operator_allows_it() -> None:
    for name in ("local/llama", "openai/moderation", "openai/no-such-model"):
        error = refusal(name)
        assert (error.name, error.detail) == ("model_not_found", {"reason": "unpriced"})
        found = terms(name, settings(money=Money(allow_unpriced=True)))
        assert (found.price, found.price_version) == (FREE, "unpriced")


def test_unknown_ids_are_refused_with_an_echo_that_is_short() -> None:
    assert refusal("no-such-model").message == "The model 'no-such-model' does not exist."
    assert refusal("nobody/knows").name == "model_not_found"
    assert refusal("openai/").name == "model_not_found"
    assert "x" * 64 + "'" in refusal("x" * 200).message


@pytest.mark.parametrize("name", ["x" * 201, "a b", "caf\u00e9", "a\n", "\x00", " "])
def test_malformed_ids_are_refused_without_an_echo(name: str) -> None:
    error = refusal(name)
    assert error.name == "invalid_request"
    assert name not in error.message or name == " "


def test_an_ambiguous_bare_id_names_the_choices() -> None:
    other = Provider("second", "openai", "https://x", api_key="k", price_source="openai")
    error = refusal("gpt-4o", settings(providers=(OPENAI, other), models=()))
    assert (error.name, error.detail) == ("model_not_found", {"reason": "ambiguous"})
    assert "openai/gpt-4o, second/gpt-4o" in error.message
    twin = replace(MINI, id="twin")
    assert "mini, twin" in refusal("gpt-4o-mini", settings(models=(MINI, twin))).message


def test_a_provider_with_a_key_is_meant_before_one_without() -> None:
    keyless = Provider("second", "openai", "http://x", price_source="openai")
    assert terms("gpt-4o", settings(providers=(keyless, OPENAI), models=())).model == "openai/gpt-4o"
    assert terms("gpt-4o", settings(providers=(keyless, SIM), models=())).model == "second/gpt-4o"


def test_a_key_uses_only_the_models_it_may() -> None:
    known = router()
    some = replace(ANYONE, models=frozenset({"openai/gpt-4o", "fast", "sim/lorem"}))
    for name in ("openai/gpt-4o", "gpt-4o", "fast", "sim/lorem:tokens=3"):
        known.plan(chat(name), some, NOW)
    for name in ("mini", "auto", "sim/echo"):
        with pytest.raises(GatewayError) as caught:
            known.plan(chat(name), some, NOW)
        assert (caught.value.name, caught.value.face.status) == ("model_not_allowed", 403)


@pytest.mark.parametrize(
    ("asked", "key", "expected"),
    [
        (None, None, 1000),
        (None, 300, 300),
        (500, None, 500),
        (500, 300, 300),
        (5000, None, 1000),
        (5000, 2000, 1000),
    ],
)
def test_the_output_of_a_hold_is_within_every_limit(
    asked: int | None, key: int | None, expected: int
) -> None:
    principal = replace(ANYONE, limits=Limits(max_output=key))
    found = router().plan(chat("mini", max_tokens=asked), principal, NOW).first
    assert found.output_cap == expected
    assert chat("mini", max_tokens=asked).forecast(found.ratio, found.output_cap).output == expected


def test_without_a_limit_of_the_model_a_wish_stands_and_the_default_is_assumed() -> None:
    known = router(settings(money=Money(default_output_cap=77)))
    assert known.plan(chat("sim/echo"), ANYONE, NOW).first.output_cap == 77
    assert known.plan(chat("sim/echo", max_tokens=10**6), ANYONE, NOW).first.output_cap == 10**6
    longest = known.find("openai/gpt-4.1", NOW).max_output_tokens
    assert known.plan(chat("openai/gpt-4.1", max_tokens=10**8), ANYONE, NOW).first.output_cap == longest
    context = known.find("openai/codex-mini", NOW).context_length
    assert known.plan(chat("openai/codex-mini", max_tokens=10**8), ANYONE, NOW).first.output_cap == context


def test_what_a_hold_assumes_is_no_limit_for_the_upstream() -> None:
    known = router(settings(money=Money(default_output_cap=77)))
    assert known.plan(chat("sim/echo"), ANYONE, NOW).first.max_output is None
    assert known.plan(chat("mini"), ANYONE, NOW).first.max_output == 1000
    for most, expected in ((300, 300), (3000, 1000)):
        keyed = replace(ANYONE, limits=Limits(max_output=most))
        assert known.plan(chat("mini"), keyed, NOW).first.max_output == expected
        assert known.plan(chat("sim/echo"), keyed, NOW).first.max_output == most


@pytest.mark.parametrize(
    ("model", "reasoning"),
    [
        ("o1", True), ("o3-mini", True), ("o4-mini-2025-04-16", True), ("gpt-5", True), ("gpt-5.2-pro", True),
        ("GPT-5-mini", True), ("gpt-5-chat-latest", False), ("gpt-4o", False), ("gpt-35-turbo", False),
        ("omni-1", False), ("gpt-oss-120b", False), ("o", False),
    ],
)  # fmt: skip
def test_models_that_reason_are_known_by_name(model: str, reasoning: bool) -> None:
    known = settings(money=Money(allow_unpriced=True))
    for name in (f"openai/{model}", f"openrouter/openai/{model}"):
        found = plan(name, known).candidates[0]
        assert found.terms.reasoning is reasoning
        assert found.first_byte == (120.0 if reasoning else 30.0)


def test_each_provider_has_its_own_patience() -> None:
    hasty = replace(OPENAI, name="hasty", timeouts=Timeouts(first_byte=1.0, first_byte_reasoning=2.0))
    deployments = (Deployment(hasty, "x"), Deployment(OPENAI, "x"))
    for reasoning, patience in ((False, [1.0, 30.0]), (True, [2.0, 120.0])):
        model = Model("m", deployments, price=OWN_PRICE, reasoning=reasoning)
        found = plan("m", settings(providers=(hasty, OPENAI), models=(model,))).candidates
        assert [each.first_byte for each in found] == patience


def test_the_operator_says_whether_a_model_reasons() -> None:
    for says in (True, False):
        deployments = (Deployment(OPENAI, "gpt-4o" if says else "o3"),)
        assert terms("m", settings(models=(Model("m", deployments, reasoning=says),))).reasoning is says


def test_the_catalogue_lists_what_can_be_asked_for() -> None:
    known = router()
    entries = {entry.id: entry for entry in known.catalogue(NOW)}
    assert list(entries)[:2] == ["mini", "plain"]
    assert {"sim/echo", "sim/lorem", "openai/gpt-4o-mini", "openrouter/openai/gpt-4o-mini"} <= entries.keys()
    assert {name for name, entry in entries.items() if entry.alias} == set(ALIASES)
    assert "openai/moderation" not in entries
    assert not [name for name in entries if name.startswith("local/")]
    assert (entries["mini"].provider, entries["mini"].max_output_tokens) == ("openai", 1000)
    assert entries["mini"].name == "gpt 4o mini"
    for name, entry in entries.items():
        assert known.find(name, NOW) == entry
        if not {"embeddings", "speech", "transcription", "images"} & set(entry.capabilities):
            assert known.plan(chat(name), ANYONE, NOW).first.model == entry.targets[0]


def test_a_catalogue_price_has_the_markup_in_it() -> None:
    entry = router(settings(money=Money(markup=Fraction(4, 3)))).find("openai/gpt-4.1", NOW)
    assert entry.price.rates.input == 2_666_666_667
    assert router(settings(money=Money(markup=Fraction(2)))).find("mini", NOW).price == OWN_PRICE


def test_one_model_is_found_by_any_name() -> None:
    known = router()
    assert known.find("fast", NOW).id == "fast"
    assert known.find("gpt-4o", NOW).provider == "openai"
    with pytest.raises(GatewayError):
        known.find("none", NOW)


def test_what_is_remembered_is_bounded() -> None:
    known = router()
    for number in range(3000):
        known.plan(chat(f"sim/echo:tokens={number}"), ANYONE, NOW)
    assert len(known._known) == 2048
    assert (
        known.plan(chat("sim/echo:tokens=0"), ANYONE, NOW).candidates[0].deployment.model == "echo:tokens=0"
    )


@given(st.text(max_size=80) | st.text("abcdef0123456789/:-._o", max_size=80))
def test_any_text_is_planned_or_refused(name: str) -> None:
    try:
        found: Plan | GatewayError = SHARED.plan(chat(name), ANYONE, NOW)
    except GatewayError as error:
        found = error
    if isinstance(found, Plan):
        assert found.candidates
    else:
        assert found.name in {"invalid_request", "model_not_found"}
        assert len(found.message) < 200


SHARED = router()


def test_a_plan_is_weighed_once() -> None:
    planned = router().plan(chat("mini"), ANYONE, NOW)
    found = replace(planned.first, markup=Fraction(3, 2), price=SIM_PRICE)
    one = replace(planned, candidates=(replace(planned.candidates[0], terms=found),))
    request = chat("mini", max_tokens=50, n=2)
    # 100 tokens of text and 4 of framing at a dollar a million, 100 tokens out at two, half as much again.
    expected = (104 * 1000 + 100 * 2000) * 3 // 2
    assert found.ratio == DEFAULT_RATIO
    assert weigh(request, one) == (expected, hold_for(expected), 204)
    assert hold_for(expected) == expected * 12 // 10


def test_a_hold_pays_for_whichever_model_answers() -> None:
    aliases = {"two": Alias(("plain", "mini")), "owt": Alias(("mini", "plain"))}
    request = chat("two", max_tokens=50)
    known = router(settings(aliases=aliases))
    one, other, both, reverse = (
        weigh(request, known.plan(chat(name, max_tokens=50), ANYONE, NOW))
        for name in ("plain", "mini", "two", "owt")
    )
    assert one.hold > other.hold
    assert both == reverse == one


@given(st.integers(0, 10**7), st.none() | st.integers(1, 10**6), st.integers(1, 8))
def test_a_hold_covers_any_answer_within_the_limits(prompt: int, asked: int | None, n: int) -> None:
    request = replace(chat("openai/gpt-4.1", max_tokens=asked, n=n), prompt_bytes=prompt)
    planned = SHARED.plan(request, ANYONE, NOW)
    found = planned.first
    answer = Usage(input=request.prompt_tokens(found.ratio), output=found.output_cap * n)
    assert weigh(request, planned).hold >= cost(answer, found.price, found.markup)


def test_the_defaults_serve_sim_with_money_that_moves() -> None:
    known = router(load(None, {}, here=Path()))
    assert weigh(chat(""), known.plan(chat(""), ANYONE, NOW)).hold > 0
    assert [entry.id for entry in known.catalogue(NOW)] == [*ALIASES, *SIM_MODELS]
    assert repr(known) == "<Router 0 models, 1 providers>"


def wishing(model: str = "mini", **wishes: object) -> ChatRequest:
    return replace(chat(model), wishes=Wishes(**wishes))  # type: ignore[arg-type]


def routed(found: Plan) -> list[tuple[str, str]]:
    return [(candidate.terms.model, candidate.id) for candidate in found.candidates]


def test_further_models_are_fallen_back_to_at_their_own_price() -> None:
    found = router().plan(wishing("plain", models=("sim/echo", "plain", "mini")), ANYONE, NOW)
    assert routed(found) == [
        ("plain", "openai/gpt-4.1"),
        ("sim/echo", "sim/echo"),
        ("mini", "openai/gpt-4o-mini"),
        ("mini", "openrouter/openai/gpt-4o-mini"),
    ]
    assert [each.terms.price for each in found.candidates[1:3]] == [SIM_PRICE, OWN_PRICE]


@pytest.mark.parametrize(
    ("model", "others", "found"),
    [
        ("sim/echo", ("no-such-model", "sim/lorem"), ["sim/echo", "sim/lorem"]),
        ("no-such-model", ("sim/lorem",), ["sim/lorem"]),
    ],
)
def test_a_model_nobody_offers_is_passed_over_where_there_is_another(
    model: str, others: tuple[str, ...], found: list[str]
) -> None:
    plan_ = router().plan(wishing(model, models=others), ANYONE, NOW)
    assert [candidate.id for candidate in plan_.candidates] == found
    with pytest.raises(GatewayError) as caught:
        router().plan(wishing("no-such-model", models=("nor/this",)), ANYONE, NOW)
    assert (caught.value.name, "no-such-model" in caught.value.message) == ("model_not_found", True)
    with pytest.raises(GatewayError) as caught:
        router().plan(wishing("sim/echo", models=("not an id",)), ANYONE, NOW)
    assert caught.value.name == "invalid_request"


def test_a_key_falls_back_only_to_models_it_may_use() -> None:
    some = replace(ANYONE, models=frozenset({"mini"}))
    found = router().plan(wishing(models=("plain", "sim/echo")), some, NOW)
    assert {model for model, _ in routed(found)} == {"mini"}


def test_an_alias_fails_over_across_its_models() -> None:
    known = settings(aliases={"house": Alias(("sim/echo", "mini"))})
    found = router(known).plan(chat("house"), ANYONE, NOW)
    assert [model for model, _ in routed(found)] == ["sim/echo", "mini", "mini"]


def test_what_the_provider_charges_is_known_apart_from_the_price() -> None:
    ours, routers = router().plan(chat("mini"), ANYONE, NOW).candidates
    assert ours.cost is not None
    assert ours.cost.rates.input == 150_000_000
    assert routers.cost is not None
    assert ours.terms.price == OWN_PRICE


@pytest.mark.parametrize(
    ("model", "key", "asked", "mode", "exempt"),
    [
        ("failover", None, None, "failover", False),
        ("hedge", None, None, "hedge", False),
        ("race", None, None, "race", True),
        ("hedge", "race", None, "race", True),
        ("race", "failover", None, "failover", False),
        ("race", None, "hedge", "hedge", False),
        ("failover", None, "race", "race", False),
        ("race", None, "race", "race", False),
        ("race", "hedge", "cheapest", "failover", False),
    ],
)
def test_a_request_is_heard_before_its_key_and_that_before_its_model(
    model: Strategy, key: Strategy | None, asked: Strategy | None, mode: str, exempt: bool
) -> None:
    known = router(settings(models=(replace(MINI, strategy=model),)))
    principal = replace(ANYONE, strategy=key, allow_race=True)
    found = known.plan(wishing(strategy=asked), principal, NOW)
    assert (found.mode, found.exempt) == (mode, exempt)


@pytest.mark.parametrize("strategy", ["race", "hedge"])
def test_a_race_may_be_asked_for_where_the_plan_says_so(strategy: Strategy) -> None:
    with pytest.raises(GatewayError) as caught:
        router().plan(wishing(strategy=strategy), ANYONE, NOW)
    assert (caught.value.name, caught.value.face.status) == ("permission_denied", 403)


def test_wishes_that_leave_nobody_are_told_so() -> None:
    with pytest.raises(GatewayError) as caught:
        router().plan(wishing(only=("nobody",)), ANYONE, NOW)
    error = caught.value
    assert (error.name, error.param, error.detail) == (
        "model_not_found",
        "provider",
        {"reason": "no_candidate"},
    )


TIERED = {"simple": Alias(("sim/echo",)), "complex": Alias(("plain",))}


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("hi", "sim/echo"),
        (
            """Prove rigorously, step by step, that every bounded monotone sequence of reals converges, then
            design and implement a lock-free skip list in C++ and analyse its linearizability and cost.""",
            "plain",
        ),
    ],
)
def test_auto_asks_how_hard_a_request_is(text: str, model: str) -> None:
    request = replace(chat("auto"), messages=(Message("user", (TextPart(text),)),), prompt_bytes=len(text))
    found = router(settings(aliases=TIERED)).plan(request, ANYONE, NOW)
    assert found.first.model == model
    assert found.reason
    assert router().plan(request, ANYONE, NOW).reason == "", "there are no tiers to choose from"
    unset = replace(request, model="fast")
    assert router(settings(aliases=TIERED)).plan(unset, ANYONE, NOW).first.model == model
    fixed = settings(aliases={**TIERED, "auto": Alias(("mini",))})
    assert router(fixed).plan(request, ANYONE, NOW).first.model == "mini", "the operator said what auto is"


@pytest.mark.parametrize(
    ("tiers", "wanted", "found"),
    [
        (("simple", "capable", "complex"), "capable", "capable"),
        (("simple", "complex"), "capable", "complex"),
        (("simple", "capable"), "complex", "capable"),
        (("complex",), "simple", "complex"),
        ((), "simple", None),
    ],
)
def test_a_tier_that_is_missing_is_made_up_for(
    tiers: tuple[str, ...], wanted: str, found: str | None
) -> None:
    aliases = {tier: Alias(("mini",)) for tier in tiers}
    assert Routes(settings(aliases=aliases), PriceBook.load(())).tier(wanted) == found


@pytest.mark.parametrize("strategy", ["race", "hedge"])
@pytest.mark.parametrize("key", [None, "race"], ids=["the model's", "the key's"])
def test_models_a_client_adds_are_no_part_of_a_race_the_operator_pays_for(
    strategy: Strategy, key: Strategy | None
) -> None:
    given = settings(models=(replace(MINI, strategy=strategy), PLAIN))
    call = replace(chat("mini"), wishes=Wishes(models=("plain",)))
    principal = replace(ANYONE, strategy=key)
    made = router(given).plan(call, principal, NOW)
    assert (made.mode, made.exempt) == (key or "failover", False)
    alone = router(given).plan(chat("mini"), principal, NOW)
    assert (alone.mode, alone.exempt) == (key or strategy, "race" in {key, strategy})


SEEN_IN_PAGES = [
    ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
    ("anthropic/claude-sonnet-4-6", "anthropic", "claude-sonnet-4-6"),
    ("google/gemini-2.5-flash", "google", "gemini-2.5-flash"),
    ("redpill/google/gemini-2.5-flash-lite", "redpill", "google/gemini-2.5-flash-lite"),
    ("redpill/deepseek-ai/DeepSeek-V3", "redpill", "deepseek-ai/DeepSeek-V3"),
    (
        "openrouter/meta-llama/llama-3.3-70b-instruct",
        "openrouter",
        "meta-llama/llama-3.3-70b-instruct",
    ),
]


@pytest.mark.parametrize(("asked", "provider", "model"), SEEN_IN_PAGES)
def test_an_id_goes_to_its_first_segment_and_the_rest_upstream(
    asked: str, provider: str, model: str, tmp_path: Path
) -> None:
    """With nothing but the providers' keys in the environment."""
    keys = ("OPENAI", "ANTHROPIC", "GEMINI", "REDPILL", "OPENROUTER")
    known = load(None, {f"{name}_API_KEY": "k" for name in keys}, here=tmp_path)
    known = replace(known, money=replace(known.money, allow_unpriced=True))
    (candidate,) = plan(asked, known).candidates
    assert (candidate.deployment.provider.name, candidate.deployment.model) == (provider, model)


def test_a_first_segment_that_names_no_provider_is_part_of_a_bare_id() -> None:
    own = Model("deepseek-ai/DeepSeek-V3.2", (Deployment(LOCAL, "v3"),), price=OWN_PRICE)
    (candidate,) = plan("deepseek-ai/DeepSeek-V3.2", settings(models=(own,))).candidates
    assert candidate.id == "local/v3"


def test_a_tier_is_the_model_that_the_account_prefers() -> None:
    known = router()
    prefers = replace(ANYONE, preferred=(Preferred("simple", "sim/lorem"), Preferred("complex", "no/such")))
    assert known.plan(chat("simple"), prefers, NOW).candidates[0].id == "sim/lorem"
    for tier in ("capable", "complex"):
        plain = known.plan(chat(tier), ANYONE, NOW).candidates[0].id
        assert known.plan(chat(tier), prefers, NOW).candidates[0].id == plain
