"""What each quirk of a well-known provider does: to the bytes it is sent, and to how its answers are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from proxy.dialects.openai_request import read_chat
from proxy.settings import Settings, load
from proxy.settings.wellknown import WELL_KNOWN, WellKnown
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.base import Target, with_query
from proxy.wires.gemini import GeminiWire
from proxy.wires.openai import OpenAIWire
from proxy.words.chat import Event, Finished, ReasoningDelta, TextDelta, UsageReport
from proxy.words.errors import GatewayError, UpstreamError
from proxy.words.quirks import PLAIN, Quirks
from proxy.words.sse import frame
from proxy.words.usage import Usage
from tests.e2e.harness import UPSTREAM_KEY, provider, settings_for
from tests.fakes.upstream import FaultyUpstream
from tests.sdk.place import place_for

WIRE = OpenAIWire()
ROWS = {known.name: known for known in WELL_KNOWN}
HI: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
OPENAI_LIKE = [known for known in WELL_KNOWN if known.wire == "openai"]


def sent(
    known: WellKnown, more: dict[str, Any] | None = None, *, reasoning: bool = False, most: int | None = None
) -> dict[str, Any]:
    target = Target("m", reasoning, known.stream_options, most, quirks=known.quirks)
    body: dict[str, Any] = orjson.loads(WIRE.encode(read_chat({**HI, **(more or {})}), target).body)
    return body


def having(quirk: str) -> list[Any]:
    rows = [known for known in OPENAI_LIKE if getattr(known.quirks, quirk) != getattr(PLAIN, quirk)]
    assert rows or quirk == "query"
    return [pytest.param(known, id=known.name) for known in rows]


@pytest.mark.parametrize("known", having("renames"))
@pytest.mark.parametrize("reasoning", [False, True])
def test_a_field_goes_by_the_name_the_provider_knows(known: WellKnown, reasoning: bool) -> None:
    for ours, theirs in known.quirks.renames:
        body = sent(known, {ours: 5}, reasoning=reasoning)
        assert body[theirs] == 5
        assert ours not in body
        assert sent(known, {ours: None}, reasoning=reasoning).keys() & {ours, theirs} == set()


@pytest.mark.parametrize("known", having("renames"))
def test_the_limit_of_a_key_goes_by_that_name_too(known: WellKnown) -> None:
    name = dict(known.quirks.renames).get("max_tokens", "max_tokens")
    body = sent(known, {"max_completion_tokens": 9}, most=7)
    assert {key: value for key, value in body.items() if key.startswith("max_")} == {name: 7}
    assert sent(known, {"max_tokens": 3, "max_completion_tokens": 3})[name] == 3


@pytest.mark.parametrize("known", having("omits"))
def test_a_hint_the_provider_does_not_take_is_left_out(known: WellKnown) -> None:
    for name in known.quirks.omits:
        assert sent(known, {name: "x"}) == sent(known)


def test_only_hints_and_bookkeeping_are_left_out() -> None:
    harmless = {
        "user",
        "store",
        "safety_identifier",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
    }
    assert all(known.quirks.omits <= harmless for known in WELL_KNOWN)


ASKS: dict[str, Any] = {
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"1": 1},
    "n": 2,
    "service_tier": "flex",
    "verbosity": "low",
}
NOTHING: dict[str, Any] = {
    "logprobs": False,
    "top_logprobs": 0,
    "logit_bias": {},
    "n": 1,
    "service_tier": "auto",
    "verbosity": "medium",
}


@pytest.mark.parametrize("known", having("refuses"))
def test_a_field_the_provider_refuses_is_refused_by_name(known: WellKnown) -> None:
    for name in known.quirks.refuses:
        if name == "messages[].name":
            asked, param = (
                {"messages": [*HI["messages"], {**HI["messages"][0], "name": "Bob"}]},
                "messages[1].name",
            )
        else:
            asked, param = {name: ASKS[name]}, name
            assert sent(known, {name: NOTHING[name]}) == sent(known, {name: None}) == sent(known)
        with pytest.raises(GatewayError) as caught:
            sent(known, asked)
        assert (caught.value.name, caught.value.param) == ("unsupported_parameter", param)


@pytest.mark.parametrize("known", OPENAI_LIKE, ids=lambda known: known.name)
def test_usage_is_asked_for_where_it_can_be(known: WellKnown) -> None:
    wanted = {"include_usage": True} if known.name != "mistral" else None
    assert sent(known).get("stream_options") == wanted


@pytest.mark.parametrize("known", OPENAI_LIKE, ids=lambda known: known.name)
def test_what_no_quirk_names_passes_as_it_came(known: WellKnown) -> None:
    more: dict[str, Any] = {"temperature": 0.5, "stop": ["x"], "vendor": {"deep": [1]}}
    expected = {**HI, **more, "model": "m", "stream": True, "stream_options": {"include_usage": True}}
    if not known.stream_options:
        del expected["stream_options"]
    assert sent(known, more) == expected


@pytest.mark.parametrize("wire", [OpenAIWire(), AnthropicWire(), GeminiWire()])
def test_a_key_goes_into_the_named_header_alone(wire: Any) -> None:
    plain = {name for name, value in wire.headers("K") if "K" in value}
    assert len(plain) == 1
    for header, value in (("api-key", "K"), ("authorization", "Bearer K")):
        found = {name: text for name, text in wire.headers("K", header) if "K" in text}
        assert found == {header: value}
        assert dict(wire.headers(None, header)) == dict(wire.headers(None))


def test_a_query_is_added_to_the_path() -> None:
    assert with_query("/a", ()) == "/a"
    assert with_query("/a", (("api-version", "2024-10-21"),)) == "/a?api-version=2024-10-21"
    assert with_query("/a?alt=sse", (("b", "c"), ("d", "e"))) == "/a?alt=sse&b=c&d=e"


async def test_header_and_query_reach_the_provider(tmp_path: Path, upstream: FaultyUpstream) -> None:
    quirks = Quirks(key_header="api-key", query=(("api-version", "2024-10-21"),))
    azure = provider("azure", upstream.base_url, quirks=quirks)
    async with place_for(settings_for(tmp_path, [azure]), upstream) as place:
        await place.ask()
    seen = upstream.requests[0]
    assert seen.path == "/v1/chat/completions?api-version=2024-10-21"
    assert seen.headers["api-key"] == UPSTREAM_KEY
    assert "authorization" not in seen.headers


async def test_what_one_provider_refuses_goes_to_the_next(tmp_path: Path, upstream: FaultyUpstream) -> None:
    first = provider("groq", upstream.base_url, quirks=ROWS["groq"].quirks)
    second = provider("other", upstream.base_url)
    async with place_for(settings_for(tmp_path, [first, second]), upstream) as place:
        await place.ask(logit_bias={"50256": -100})
    assert [seen.json["logit_bias"] for seen in upstream.requests] == [{"50256": -100}]


USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
TEXT = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}
STOP = {"index": 0, "delta": {}, "finish_reason": "stop"}
ENDED = Finished("stop")


def used(*, input: int = 10, output: int = 4, **more: int) -> UsageReport:  # noqa: A002 - as in Usage
    return UsageReport(Usage(input=input, output=output, **more))


READ: dict[str, tuple[Sequence[dict[str, Any]], Sequence[Event]]] = {
    "usage with content": (
        [{"choices": [{**TEXT, "finish_reason": "stop"}], "usage": USAGE}],
        [TextDelta("Hi"), ENDED, used()],
    ),
    "reasoning": (
        [{"choices": [{**TEXT, "delta": {"reasoning": "Hm"}}]}, {"choices": [STOP]}],
        [ReasoningDelta("Hm"), ENDED],
    ),
    "reasoning beside completion": (
        [
            {
                "choices": [STOP],
                "usage": {
                    **USAGE,
                    "total_tokens": 17,
                    "completion_tokens_details": {"reasoning_tokens": 3},
                },
            }
        ],
        [ENDED, used(reasoning=3)],
    ),
    "cache hits beside the prompt": (
        [
            {
                "choices": [STOP],
                "usage": {**USAGE, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4},
            }
        ],
        [ENDED, used(input=4, cache_read=6)],
    ),
    "cached tokens at the top": (
        [{"choices": [STOP], "usage": {**USAGE, "cached_tokens": 6}}],
        [ENDED, used(input=4, cache_read=6)],
    ),
    "chunk without choices": (
        [
            {"choices": [], "prompt_filter_results": []},
            {"choices": [TEXT]},
            {"choices": [STOP]},
        ],
        [TextDelta("Hi"), ENDED],
    ),
}
FAILED: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "error in a 200": (200, {"error": {"code": 429, "message": "slow down"}}, {"trouble": "rate_limited"}),
    "numeric error code": (
        400,
        {"error": {"code": 400, "message": "bad temperature"}},
        {"trouble": "rejected", "message": "bad temperature", "code": None},
    ),
    "error at the top": (
        422,
        {"object": "error", "message": "bad temperature", "param": "temperature", "code": None},
        {"trouble": "rejected", "message": "bad temperature", "param": "temperature"},
    ),
}


def test_every_deviation_of_an_answer_has_its_example() -> None:
    assert {name for known in WELL_KNOWN for name in known.answers} == {*READ, *FAILED}


@pytest.mark.parametrize("name", READ)
def test_an_answer_that_deviates_is_read(name: str) -> None:
    payloads, expected = READ[name]
    decoder = WIRE.decoder()
    frames = decoder.feed(b"".join(frame(orjson.dumps(each)) for each in payloads))
    assert decoder.failure is None
    assert decoder.complete
    assert [event for each in frames for event in each.events][1:] == expected


@pytest.mark.parametrize("name", FAILED)
def test_a_failure_that_deviates_is_read(name: str) -> None:
    status, body, expected = FAILED[name]
    error: UpstreamError | None
    if status == 200:
        decoder = WIRE.decoder()
        decoder.feed(frame(orjson.dumps(body)))
        error = decoder.failure
    else:
        error = WIRE.failure(status, {}, orjson.dumps(body), 0.0)
    assert error is not None
    assert {key: getattr(error, key) for key in expected} == expected


def test_a_zero_is_a_figure() -> None:
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 0}, "prompt_cache_hit_tokens": 6}
    decoder = WIRE.decoder()
    (read,) = decoder.feed(frame(orjson.dumps({"choices": [STOP], "usage": usage})))
    assert read.events[-1] == used()


def read_settings(tmp_path: Path, text: str, **environ: str) -> Settings:
    (tmp_path / "headrace.toml").write_text(text, "utf-8")
    return load(tmp_path / "headrace.toml", environ, here=tmp_path)


@pytest.mark.parametrize("name", ["ollama", "vllm", "llama-cpp"])
def test_a_local_server_is_on_by_its_name_alone(tmp_path: Path, name: str) -> None:
    local, _sim = read_settings(tmp_path, f'[[providers]]\nname = "{name}"').providers
    assert local.base_url.startswith("http://127.0.0.1:")
    assert local.api_key is None
    assert name not in {each.name for each in load(None, {"": "key"}, here=tmp_path).providers}


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("https://mine.openai.azure.com/openai/v1", True),
        ("https://mine.services.ai.azure.com/openai/v1", True),
        ("http://mine.openai.azure.com/openai/v1", False),
        ("https://openai.azure.com.example/openai/v1", False),
        ("https://evilopenai.azure.com/openai/v1", False),
    ],
)
def test_azures_key_goes_to_azure_alone(tmp_path: Path, address: str, trusted: bool) -> None:
    text = f'[[providers]]\nname = "azure"\nbase_url = "{address}"\nquery = {{api-version = "2024-10-21"}}'
    azure = read_settings(tmp_path, text, AZURE_OPENAI_API_KEY="az-key").providers[0]
    assert azure.api_key == ("az-key" if trusted else None)
    assert azure.quirks == replace(ROWS["azure"].quirks, query=(("api-version", "2024-10-21"),))
    assert azure.wire == "openai"


def test_every_quirk_can_be_set(tmp_path: Path) -> None:
    text = """
        [[providers]]
        name = "mine"
        base_url = "http://127.0.0.1:9"
        key_header = "x-api-key"
        query = {a = "b"}
        renames = {seed = "random_seed"}
        omits = ["user"]
        refuses = ["n", "messages[].name"]
    """
    mine = read_settings(tmp_path, text).providers[0]
    expected = Quirks(
        "x-api-key",
        (("a", "b"),),
        (("seed", "random_seed"),),
        frozenset({"user"}),
        frozenset({"n", "messages[].name"}),
    )
    assert mine.quirks == expected
    assert all(getattr(expected, each.name) != getattr(PLAIN, each.name) for each in fields(Quirks))


def test_every_row_says_where_it_is_from() -> None:
    assert all(known.source and (known.base_url or known.example) for known in WELL_KNOWN)
    assert len(ROWS) == len(WELL_KNOWN)
