"""What models can be asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from proxy.app import WIRES
from proxy.policy.abilities import SERVED, abilities
from proxy.policy.prices import PriceBook
from proxy.policy.routing import Router
from proxy.settings import Deployment, Model, Provider, Settings
from proxy.wires.base import Target
from proxy.words.call import Call, Kind
from proxy.words.chat import Origin
from proxy.words.errors import GatewayError
from proxy.words.media import EmbeddingRequest, ImageRequest, SpeechRequest
from proxy.words.money import Price, Rates
from proxy.words.principal import Principal

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ANYONE = Principal(account=1, key_id=1, kind="account")
PRICE = Price(Rates(input=1, output=1))
NOTHING = Origin("openai", {})
CALLS: dict[Kind, Call] = {
    "embeddings": EmbeddingRequest(model="m", origin=NOTHING, inputs=("x",), text_bytes=1, tokens=0),
    "speech": SpeechRequest(model="m", origin=NOTHING, characters=1, told_bytes=1),
    "images": ImageRequest(model="m", origin=NOTHING, prompt_bytes=1),
}


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("text-embedding-3-small", "embeddings"),
        ("gemini-embedding-001", "embeddings"),
        ("BAAI/bge-m3", "embeddings"),
        ("whisper-1", "transcription"),
        ("gpt-4o-mini-transcribe", "transcription"),
        ("tts-1-hd", "speech"),
        ("gpt-4o-mini-tts", "speech"),
        ("dall-e-3", "images"),
        ("gpt-image-1", "images"),
        ("gpt-4o", "chat"),
        ("gemini-2.5-flash-image", "chat"),
        ("openai/gpt-5-image", "chat"),
        ("gemini-2.5-flash-tts", "chat"),
        ("voxtral-small-24b-2507", "chat"),
    ],
)
def test_a_name_tells_what_a_model_is_for(model: str, kind: Kind) -> None:
    assert abilities(model, (), {"input", "output"}) == {kind}


def test_the_operators_word_counts_before_names_and_prices() -> None:
    assert abilities("whisper-1", ("tools", "chat"), {"seconds"}) == {"chat"}
    assert abilities("mine", ("embeddings", "chat"), ()) == {"embeddings", "chat"}
    assert abilities("mine", ("vision",), {"seconds"}) == {"transcription"}


def router(*wires: str, **more: object) -> Router:
    providers = tuple(
        [Provider(f"p{place}", wire, "https://x", api_key="k") for place, wire in enumerate(wires)]  # type: ignore[arg-type]
    )
    deployments = tuple([Deployment(each, "mine") for each in providers])
    model = Model("m", deployments, price=PRICE, **more)  # type: ignore[arg-type]
    settings = Settings(providers=providers, models=(model,))
    return Router(settings, PriceBook.load(settings.providers))


def test_a_model_is_asked_for_nothing_it_is_not_made_for() -> None:
    with pytest.raises(GatewayError) as caught:
        router("openai").plan(CALLS["embeddings"], ANYONE, NOW)
    assert (caught.value.name, caught.value.param) == ("invalid_request", "model")
    assert "'m'" in caught.value.message
    plan = router("openai", capabilities=("embeddings",)).plan(CALLS["embeddings"], ANYONE, NOW)
    assert plan.first.model == "m"


@pytest.mark.parametrize(
    ("wire", "kind"), [("anthropic", "embeddings"), ("gemini", "speech"), ("gemini", "images")]
)
def test_what_no_provider_has_words_for_is_refused(wire: str, kind: Kind) -> None:
    with pytest.raises(GatewayError) as caught:
        router(wire, capabilities=(kind,)).plan(CALLS[kind], ANYONE, NOW)
    assert (caught.value.name, caught.value.param) == ("unsupported_parameter", "model")


TOKENS = EmbeddingRequest(model="m", origin=NOTHING, inputs=("x", (1, 2)), text_bytes=1, tokens=2)


@pytest.mark.parametrize("wires", [("gemini",), ("gemini", "gemini", "anthropic")])
def test_tokens_are_refused_where_none_can_read_them(wires: Sequence[str]) -> None:
    with pytest.raises(GatewayError) as caught:
        router(*wires, capabilities=("embeddings",)).plan(TOKENS, ANYONE, NOW)
    assert (caught.value.name, caught.value.param) == ("unsupported_parameter", "input")
    with pytest.raises(GatewayError) as caught:
        router("anthropic", capabilities=("embeddings",)).plan(TOKENS, ANYONE, NOW)
    assert caught.value.param == "model"


@pytest.mark.parametrize("strategy", [None, "single", "hedge", "race"])
def test_tokens_go_to_those_alone_who_can_read_them(strategy: str | None) -> None:
    wires = ("gemini", "openai", "gemini", "sim")
    plan = router(*wires, capabilities=("embeddings",), strategy=strategy).plan(TOKENS, ANYONE, NOW)
    found = [each.deployment.provider.wire for each in plan.candidates]
    assert found == ["openai", "sim"][: 1 if strategy == "single" else 2]
    of_texts = router(*wires, capabilities=("embeddings",)).plan(CALLS["embeddings"], ANYONE, NOW)
    assert len(of_texts.candidates) == 4


@pytest.mark.parametrize("wire", sorted(SERVED))
@pytest.mark.parametrize("kind", sorted(CALLS))
def test_the_table_of_wires_says_what_they_write(wire: str, kind: Kind) -> None:
    if kind in SERVED[wire]:  # type: ignore[index]
        assert WIRES[wire].encode(CALLS[kind], Target("m")).body
    else:
        with pytest.raises(GatewayError):
            WIRES[wire].encode(CALLS[kind], Target("m"))
