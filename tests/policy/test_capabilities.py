"""What is known of models, and what is refused for it before anything is held."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.dialects.openai_request import read_chat
from proxy.policy.capabilities import TABLE, read_table, traits_of
from proxy.policy.demands import LONGEST_TOKEN
from proxy.policy.prices import PriceBook
from proxy.policy.routing import Router
from proxy.settings import Alias, Deployment, Model, Provider, Settings
from proxy.words.errors import GatewayError
from proxy.words.money import Price, Rates
from proxy.words.principal import Principal

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ANYONE = Principal(account=1, key_id=1, kind="account")
PRICE = Price(Rates(input=1, output=1))
PROVIDER = Provider("openai", "openai", "https://x", api_key="k")
IMAGE = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}


def router(*models: Model, aliases: dict[str, Alias] | None = None) -> Router:
    settings = Settings(providers=(PROVIDER,), models=models, aliases=aliases or {})
    return Router(settings, PriceBook.load(settings.providers))


def mine(id_: str, upstream: str, **more: Any) -> Model:
    return Model(id_, (Deployment(PROVIDER, upstream),), price=PRICE, **more)


def chat(model: str, *parts: object, **more: Any) -> Any:
    content = [{"type": "text", "text": "hi"}, *parts]
    return read_chat({"model": model, "messages": [{"role": "user", "content": content}], **more})


@pytest.mark.parametrize(
    ("model", "can", "cannot"),
    [
        ("gpt-4o-mini", {"vision", "tools"}, {"audio"}),
        ("openai/gpt-4o-2024-08-06", {"structured_output"}, {"audio"}),
        ("chatgpt-4o-latest", {"vision"}, set()),
        ("gpt-4o-2024-05-13", {"json"}, {"structured_output"}),
        ("gpt-4o-audio-preview", {"audio"}, {"vision"}),
        ("gpt-4", {"tools"}, {"vision"}),
        ("gpt-4-turbo", {"vision"}, {"structured_output"}),
        ("gpt-3.5-turbo-0125", {"tools"}, {"vision"}),
        ("gpt-5-mini", {"vision", "reasoning"}, {"audio"}),
        ("o3-mini", {"reasoning"}, {"vision"}),
        ("o4-mini-2025-04-16", {"vision"}, {"audio"}),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", {"vision"}, {"audio"}),
        ("claude-sonnet-4-5", {"reasoning"}, {"audio"}),
        ("google/gemini-2.5-flash-lite", {"audio", "vision"}, set()),
        ("meta-llama/llama-3.3-70b-instruct", set(), {"vision"}),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", {"vision"}, {"audio"}),
        ("deepseek-ai/DeepSeek-V3.2", {"tools"}, {"vision"}),
        ("qwen/qwen2.5-vl-72b-instruct", {"vision"}, set()),
        ("qwen/qwen3-coder", {"tools"}, {"vision"}),
        ("somebody/brand-new-1", set(), set()),
    ],
)
def test_the_family_tells_what_a_model_can_and_cannot(model: str, can: set[str], cannot: set[str]) -> None:
    traits = traits_of(model)
    assert can <= traits.can
    assert cannot <= traits.cannot
    assert traits.can.isdisjoint(traits.cannot)
    if not can | cannot:
        assert traits.context is traits.output is None


def test_every_family_can_be_reached_and_says_something() -> None:
    """A row that another one before it hides, or that says nothing, would be dead."""
    rows = read_table(TABLE.read_text())
    assert len({pattern.pattern for pattern, _ in rows}) == len(rows)
    for _, traits in rows:
        assert traits.serves or traits.can or traits.cannot
        assert (traits.output or 0) <= (traits.context or traits.output or 0)


@pytest.mark.parametrize(
    "row",
    [
        'match = "x"\ncan = ["flying"]',
        'match = "x"\ncan = ["vision"]\ncannot = ["vision"]',
        'match = "x"\nserves = ["tea"]',
        'match = "x"\nknows = 1',
    ],
)
def test_a_row_that_nobody_understands_is_refused(row: str) -> None:
    with pytest.raises(ValueError, match="family 'x'"):
        read_table(f"[[family]]\n{row}")


@pytest.mark.parametrize(
    ("upstream", "parts", "more", "field"),
    [
        ("gpt-3.5-turbo", (IMAGE,), {}, "messages"),
        ("gpt-4o", (SOUND,), {}, "messages"),
        ("o1-mini", (), {"tools": [TOOL]}, "tools"),
        ("gpt-4-turbo", (), {"response_format": SCHEMA}, "response_format"),
    ],
)
def test_what_a_model_is_known_not_to_do_is_refused_by_its_field(
    upstream: str, parts: tuple[object, ...], more: dict[str, Any], field: str
) -> None:
    with pytest.raises(GatewayError) as caught:
        router(mine("m", upstream)).plan(chat("m", *parts, **more), ANYONE, NOW)
    assert (caught.value.name, caught.value.param) == ("invalid_request", field)
    assert "'m'" in caught.value.message
    # The same of a model that nobody knows anything of, and of one that is known to do it.
    for other in ("nobody-knows-me", "gpt-4o-mini" if parts != (SOUND,) else "gemini-2.5-pro"):
        assert router(mine("m", other)).plan(chat("m", *parts, **more), ANYONE, NOW).first.model == "m"


def test_the_operators_word_counts_before_the_table() -> None:
    told = mine("m", "gpt-3.5-turbo", capabilities=("vision",))
    assert router(told).plan(chat("m", IMAGE), ANYONE, NOW).first.model == "m"
    with pytest.raises(GatewayError):
        router(told).plan(chat("m", SOUND), ANYONE, NOW)


def test_of_several_models_those_that_can_are_asked() -> None:
    several = router(
        mine("blind", "gpt-3.5-turbo"), mine("seeing", "gpt-4o"), aliases={"fast": Alias(("blind", "seeing"))}
    )
    assert several.plan(chat("fast"), ANYONE, NOW).first.model == "blind"
    plan = several.plan(chat("fast", IMAGE), ANYONE, NOW)
    assert [each.terms.model for each in plan.candidates] == ["seeing"]


@pytest.mark.parametrize(("context", "upstream", "cap"), [(100, "mine", 100), (None, "gpt-4", 8192)])
def test_a_prompt_that_cannot_fit_is_refused_with_the_cap(
    context: int | None, upstream: str, cap: int
) -> None:
    known = router(mine("m", upstream, context_length=context))
    fits = "x" * (cap * LONGEST_TOKEN - 10)
    assert known.plan(chat("m", {"type": "text", "text": fits}), ANYONE, NOW).first.model == "m"
    with pytest.raises(GatewayError) as caught:
        known.plan(chat("m", {"type": "text", "text": fits + "x" * 10}), ANYONE, NOW)
    assert (caught.value.name, caught.value.param) == ("context_length_exceeded", "messages")
    assert f" {cap} tokens" in caught.value.message


def test_a_prompt_goes_to_the_model_with_room_for_it() -> None:
    several = router(
        mine("small", "a", context_length=10),
        mine("large", "b", context_length=1000),
        aliases={"fast": Alias(("small", "large"))},
    )
    long = chat("fast", {"type": "text", "text": "x" * 1000})
    assert [each.terms.model for each in several.plan(long, ANYONE, NOW).candidates] == ["large"]


def test_the_catalogue_tells_what_is_known() -> None:
    """The operator's word before the price library's, and that before the table's."""
    known = router(
        mine("m", "gpt-4o", context_length=1000, capabilities=("tools",)),
        aliases={"fast": Alias(("m", "openai/gpt-4o-mini"))},
    )
    offers = {offer.id: offer for offer in known.catalogue(NOW)}
    m, mini, fast = offers["m"], offers["openai/gpt-4o-mini"], offers["fast"]
    assert (m.context_length, m.max_output_tokens, m.capabilities) == (1000, 16_384, ("tools",))
    assert (mini.context_length, mini.max_output_tokens) == (128_000, 16_384)
    assert set(mini.capabilities) == {"vision", "tools", "json", "structured_output"}
    assert (mini.takes, mini.gives) == (("text", "image"), ("text",))
    assert (fast.alias, fast.targets) == (True, ("m", "openai/gpt-4o-mini"))
    assert offers["auto"].alias
    assert offers["openai/text-embedding-3-small"].capabilities == ("embeddings",)
    assert offers["openai/text-embedding-3-small"].gives == ("embedding",)


def test_a_key_sees_the_aliases_that_lead_to_its_models() -> None:
    known = router(
        mine("m", "a"), mine("n", "b"), aliases={"fast": Alias(("m", "n")), "smart": Alias(("n",))}
    )
    narrow = Principal(account=1, key_id=1, kind="account", models=frozenset({"m"}))
    assert known.find("fast", NOW, narrow).targets == ("m", "n")
    with pytest.raises(GatewayError):
        known.find("smart", NOW, narrow)
