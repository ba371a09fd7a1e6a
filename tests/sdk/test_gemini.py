"""An OpenAI client served by Gemini: its request goes out in Gemini's words and is answered in its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import openai
import pytest
from pydantic import BaseModel

from proxy.settings import Deployment, Model
from proxy.words.money import Price, Rates
from tests.e2e.harness import UPSTREAM_KEY, provider, settings_for
from tests.fakes.script import Script, whole
from tests.fakes.upstream import FaultyUpstream

from .place import HI, Place, credits_in, deltas, finishes, place_for, text_of

RATES: Final = Rates(
    input=1_000_000,
    cache_read=100_000,
    input_audio=3_000_000,
    input_image=2_000_000,
    output=10_000_000,
    reasoning=20_000_000,
    output_image=50_000_000,
)
"""Nano-USD per million tokens: each class has its own, and one prompt token costs one."""
MODEL: Final = "gemini-3-flash-preview"
HEAD: Final = {"modelVersion": MODEL, "responseId": "resp-1"}
WEATHER: Final[Any] = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object"}},
}
THOUGHTS: Final = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 60,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 7,
    "totalTokenCount": 112,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
}
THOUGHTS_COST: Final = 40 * 1 + 60 // 10 + 5 * 10 + 7 * 20


def chunk(*parts: Any, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": index}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **HEAD, **more}


def says(*chunks: dict[str, Any] | list[Any]) -> Script:
    stream = b"".join(b"data: " + json.dumps(each).encode() + b"\r\n\r\n" for each in chunks)
    return whole(stream, content_type="text/event-stream")


def failure(status: int, name: str, message: str, *details: Any, wrapped: bool = False) -> Script:
    error = {"error": {"code": status, "message": message, "status": name, "details": list(details)}}
    return whole(json.dumps([error] if wrapped else error).encode(), status=status)


ANSWER: Final = says(
    chunk({"text": "Let me think.", "thought": True}),
    chunk({"text": "Hel"}, usageMetadata={"promptTokenCount": 100, "totalTokenCount": 100}),
    chunk({"text": "lo"}),
    chunk({"text": "", "thoughtSignature": "U0lH"}, finish="STOP", usageMetadata=THOUGHTS),
)


@pytest.fixture
async def place(tmp_path: Path, upstream: FaultyUpstream) -> AsyncIterator[Place]:
    google = replace(provider("google", f"{upstream.base_url}beta"), wire="gemini")
    model = Model("m", (Deployment(google, MODEL),), price=Price(RATES))
    settings = replace(settings_for(tmp_path, [google]), models=(model,))
    async with place_for(settings, upstream) as place:
        yield place


async def test_a_stream(place: Place) -> None:
    place.upstream.default = ANSWER
    chunks = await place.ask(stream=True, stream_options={"include_usage": True}, reasoning_effort="low")
    seen = place.upstream.requests[0]
    assert seen.path == f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
    assert seen.headers["x-goog-api-key"] == UPSTREAM_KEY
    assert "authorization" not in seen.headers
    assert seen.json == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"}},
    }
    *content, last = chunks
    assert text_of(content) == "Hello"
    assert "".join(getattr(delta, "reasoning_content", "") for delta in deltas(content)) == "Let me think."
    assert [delta.role for delta in deltas(content)] == ["assistant", None, None, None]
    assert finishes(content) == ["stop"]
    assert {each.model for each in chunks} == {MODEL}
    usage = last.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (100, 12, 112)
    assert usage.prompt_tokens_details.cached_tokens == 60
    assert usage.completion_tokens_details.reasoning_tokens == 7
    assert credits_in(usage.cost) == THOUGHTS_COST
    await place.billed(THOUGHTS_COST)


async def test_a_whole_answer(place: Place) -> None:
    place.upstream.default = ANSWER
    answer = await place.ask()
    (choice,) = answer.choices
    assert (choice.message.content, choice.message.reasoning_content) == ("Hello", "Let me think.")
    assert (choice.finish_reason, answer.model, answer.object) == ("stop", MODEL, "chat.completion")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (100, 12)
    assert not hasattr(answer.usage, "estimated")
    await place.billed(THOUGHTS_COST)


CALLS: Final = says(
    chunk({"functionCall": {"name": "get_weather", "args": {"in": "Paris"}}, "thoughtSignature": "U0lH"}),
    chunk({"functionCall": {"name": "get_weather", "args": {"in": "Rome"}, "id": "fc-2"}}),
    chunk({"text": ""}, finish="STOP", usageMetadata=THOUGHTS),
)
ROUND: Final = [
    {"role": "user", "parts": [{"text": "hi"}]},
    {
        "role": "model",
        "parts": [
            {"functionCall": {"name": "get_weather", "args": {"in": "Paris"}}, "thoughtSignature": "U0lH"},
            {"functionCall": {"id": "fc-2", "name": "get_weather", "args": {"in": "Rome"}}},
        ],
    },
    {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "get_weather", "response": {"output": "sun"}}},
            {"functionResponse": {"id": "fc-2", "name": "get_weather", "response": {"output": "rain"}}},
        ],
    },
]


async def answer_calls(place: Place, assistant: dict[str, Any], ids: list[str]) -> None:
    """Send the calls back with results, in the wrong order; the signature must be where it was."""
    place.upstream.default = says(chunk({"text": "Bring a coat."}, finish="STOP", usageMetadata=THOUGHTS))
    sun, rain = ids
    results: list[Any] = [
        {"role": "tool", "tool_call_id": rain, "content": "rain"},
        {"role": "tool", "tool_call_id": sun, "content": "sun"},
    ]
    answer = await place.ask(messages=[*HI, assistant, *results], tools=[WEATHER])
    assert answer.choices[0].message.content == "Bring a coat."
    assert place.upstream.requests[-1].json["contents"] == ROUND


async def test_calls_and_their_signature_make_the_round_trip_whole(place: Place) -> None:
    place.upstream.default = CALLS
    answer = await place.ask(tools=[WEATHER])
    (choice,) = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    paris, rome = choice.message.tool_calls
    assert (paris.type, paris.function.name, paris.function.arguments) == (
        "function",
        "get_weather",
        '{"in":"Paris"}',
    )
    assert (rome.id, rome.function.arguments) == ("fc-2", '{"in":"Rome"}')
    assert paris.extra_content == {"google": {"thought_signature": "U0lH"}}
    assert not hasattr(rome, "extra_content")
    await place.billed(THOUGHTS_COST)
    await answer_calls(place, choice.message.model_dump(exclude_none=True), [paris.id, rome.id])
    await place.billed(THOUGHTS_COST)


async def test_calls_and_their_signature_make_the_round_trip_streamed(place: Place) -> None:
    place.upstream.default = CALLS
    chunks = await place.ask(stream=True, tools=[WEATHER])
    calls = [call for delta in deltas(chunks) for call in delta.tool_calls or ()]
    assert [call.index for call in calls] == [0, 1]
    assert finishes(chunks) == ["tool_calls"]
    await place.billed(THOUGHTS_COST)
    written = [call.model_dump(exclude_none=True, exclude={"index"}) for call in calls]
    await answer_calls(place, {"role": "assistant", "tool_calls": written}, [call["id"] for call in written])
    await place.billed(THOUGHTS_COST)


async def test_the_stream_helper_understands_the_calls(place: Place) -> None:
    place.upstream.default = CALLS

    def do(client: openai.OpenAI) -> Any:
        with client.chat.completions.stream(model="m", messages=HI, tools=[WEATHER]) as events:
            return events.get_final_completion()

    answer = await place.use(do)
    calls = answer.choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"in":"Paris"}', '{"in":"Rome"}']
    assert answer.choices[0].finish_reason == "tool_calls"
    await place.billed(THOUGHTS_COST)


class City(BaseModel):
    name: str


async def test_parse_gives_an_object(place: Place) -> None:
    place.upstream.default = says(chunk({"text": '{"name": "Paris"}'}, finish="STOP", usageMetadata=THOUGHTS))
    answer = await place.use(
        lambda client: client.chat.completions.parse(model="m", messages=HI, response_format=City)
    )
    assert answer.choices[0].message.parsed == City(name="Paris")
    config = place.upstream.requests[0].json["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"]["required"] == ["name"]
    await place.billed(THOUGHTS_COST)


@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities(place: Place, stream: bool) -> None:
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.5}]}],
    }
    content = chunk({"text": "é"}, finish="STOP", usageMetadata=THOUGHTS)
    content["candidates"][0]["logprobsResult"] = result
    place.upstream.default = says(content)
    answer = await place.ask(logprobs=True, top_logprobs=1, stream=stream)
    (choice,) = answer[0].choices if stream else answer.choices
    (score,) = choice.logprobs.content
    assert (score.token, score.logprob, score.bytes) == ("é", -0.5, [0xC3, 0xA9])
    assert [(top.token, top.logprob) for top in score.top_logprobs] == [("é", -0.5)]
    await place.billed(THOUGHTS_COST)


IMAGE_USAGE: Final = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 1290,
    "totalTokenCount": 1300,
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_image(place: Place, stream: bool) -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    place.upstream.default = says(
        chunk({"text": "Here:"}, blob, blob), chunk(finish="STOP", usageMetadata=IMAGE_USAGE)
    )
    answer = await place.ask(stream=stream, modalities=["text", "image"])
    said = next(deltas(answer)) if stream else answer.choices[0].message
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    assert (said.content, said.images) == ("Here:", [image, image])
    await place.billed(10 + 1290 * 50)


async def test_two_choices(place: Place) -> None:
    place.upstream.default = says(
        chunk({"text": "a"}),
        chunk({"text": "b"}, finish="MAX_TOKENS", index=1),
        chunk(finish="SAFETY", usageMetadata=THOUGHTS),
    )
    answer = await place.ask(n=2)
    assert [(choice.message.content, choice.finish_reason) for choice in answer.choices] == [
        ("a", "content_filter"),
        ("b", "length"),
    ]
    await place.billed(THOUGHTS_COST)


async def test_figures_that_cannot_be_true_are_replaced_by_our_own_count(place: Place) -> None:
    false = {**THOUGHTS, "totalTokenCount": 7}
    place.upstream.default = says(chunk({"text": "four bytes"}, finish="STOP", usageMetadata=false))
    answer = await place.ask()
    assert answer.usage.estimated is True
    assert answer.usage.completion_tokens == 3
    await place.billed(answer.usage.prompt_tokens * 1 + 3 * 10)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_blocked_prompt_is_a_400_that_costs_nothing(place: Place, stream: bool) -> None:
    place.upstream.default = says(
        {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": THOUGHTS, **HEAD}
    )
    with pytest.raises(openai.BadRequestError) as caught:
        await place.ask(stream=stream)
    assert caught.value.code == "content_policy_violation"
    assert "SAFETY" in caught.value.message
    await place.unbilled()


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_prompt_that_is_too_long(place: Place, wrapped: bool) -> None:
    message = "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."
    place.upstream.default = failure(400, "INVALID_ARGUMENT", message, wrapped=wrapped)
    with pytest.raises(openai.BadRequestError) as caught:
        await place.ask()
    assert caught.value.code == "context_length_exceeded"
    await place.unbilled()


async def test_a_quota_tells_when_to_come_back(place: Place) -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36.2s"}
    place.upstream.default = failure(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", retry)
    with pytest.raises(openai.RateLimitError) as caught:
        await place.ask()
    assert caught.value.response.headers["retry-after"] == "37"
    await place.unbilled()


async def test_an_error_in_a_200_that_is_no_stream(place: Place) -> None:
    error = {"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}}
    place.upstream.default = whole(json.dumps([error], indent=2).encode(), content_type="application/json")
    with pytest.raises(openai.RateLimitError):
        await place.ask()
    await place.unbilled()


async def test_a_bad_key_is_the_operators_affair(place: Place) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    place.upstream.default = failure(400, "INVALID_ARGUMENT", "API key not valid.", info)
    with pytest.raises(openai.InternalServerError) as caught:
        await place.ask()
    assert caught.value.response.status_code == 502
    assert "key" not in caught.value.message.lower()
    await place.unbilled()


async def test_what_gemini_cannot_do_names_the_field_and_reaches_nobody(place: Place) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await place.ask(base="/api/v1", logit_bias={"7": 1})
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "logit_bias")
    assert place.upstream.requests == []
    await place.unbilled()


@pytest.mark.parametrize(
    "last",
    [
        chunk({"text": "b"}),
        chunk(finish="MALFORMED_FUNCTION_CALL"),
        {"error": {"code": 503, "status": "UNAVAILABLE", "message": "boom"}},
        [{"error": {"code": 503, "status": "UNAVAILABLE", "message": "boom"}}],
    ],
)
async def test_an_answer_that_is_not_whole_does_not_pass_for_one(place: Place, last: Any) -> None:
    place.upstream.default = says(chunk({"text": "a"}), last)
    with pytest.raises(openai.APIError):
        await place.ask(stream=True)
    receipt = await place.gateway.finished(1)
    assert receipt.cost > 0
    with pytest.raises(openai.InternalServerError):
        await place.ask()


async def test_a_deployment_that_fails_gives_way_to_one_in_another_language(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    google = replace(provider("google", upstream.base_url), wire="gemini")
    other = provider("other", upstream.base_url)
    model = Model("m", (Deployment(google, MODEL), Deployment(other, "m")), price=Price(RATES))
    settings = replace(settings_for(tmp_path, [google, other]), models=(model,))
    async with place_for(settings, upstream) as place:
        upstream.script(failure(503, "UNAVAILABLE", "The model is overloaded."), Script(tokens=2))
        answer = await place.ask()
        assert answer.choices[0].message.content == "the the "
        paths = [seen.path for seen in upstream.requests]
        assert paths == [f"/v1/models/{MODEL}:streamGenerateContent?alt=sse", "/v1/chat/completions"]
