"""One conversation through each wire comes out the same: words, calls, reasons, and every class of tokens.

The provider is one, the simulated one over HTTP; it is told to speak OpenAI's, Anthropic's or Gemini's
protocol by the wire that asks. In the process it has no protocol to cross but OpenAI's.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import openai
import pytest

from proxy.settings import Deployment, Model, Provider
from proxy.words.money import Price, Rates
from proxy.words.usage import Usage
from tests.e2e.harness import provider, settings_for
from tests.fakes.provider import simulated
from tests.fakes.upstream import FaultyUpstream

from .place import Place, deltas, finishes, place_for, text_of
from .test_answers import PIXEL

WIRES: Final = ("sim", "openai", "anthropic", "gemini")
SCRIPTS: Final = (
    "echo",
    "echo:reasoning=3,cached=30,written=20",
    "tool:reasoning=2,cached=5",
    "lorem:tokens=50,reasoning=4",
    "echo:usage=0",
)
PRICE: Final = Price(Rates(*[1_000_000 * prime for prime in (2, 3, 5, 7, 11, 2, 13, 17, 19, 23)]))
"""Each class of tokens has its own, but for images: one protocol alone tells them from text."""
RULES: Final = "Answer in few words, and only about the weather. " * 4
WEATHER: Final[Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather somewhere.",
        "parameters": {
            "type": "object",
            "properties": {"input": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["input"],
        },
    },
}
TALK: Final[list[Any]] = [
    {"role": "system", "content": RULES},
    {"role": "user", "content": "Hello, who are you?"},
    {"role": "assistant", "content": "A weather service."},
    {"role": "user", "content": "Then how is it in Zürich \u2014 today?"},
]


class Said(NamedTuple):
    """What a client got, and what the gateway wrote down."""

    text: str
    reasoning: str
    calls: tuple[tuple[str, str], ...]
    finish: str
    usage: Usage
    cost: int
    told: tuple[int, int]
    """The client's own figures: prompt and completion."""


@pytest.fixture
async def place(tmp_path: Path, upstream: FaultyUpstream) -> AsyncIterator[Place]:
    async with simulated() as url:
        providers = [
            provider("openai", f"{url}/v1"),
            replace(provider("anthropic", f"{url}/v1"), wire="anthropic"),
            replace(provider("gemini", f"{url}/v1beta"), wire="gemini"),
        ]
        named = {each.name: each for each in [Provider(name="sim", wire="sim"), *providers]}
        models = [
            Model(f"{wire}-{script}", (Deployment(named[wire], script),), price=PRICE)
            for wire in WIRES
            for script in SCRIPTS
        ]
        settings = replace(settings_for(tmp_path, providers), models=tuple(models))
        async with place_for(settings, upstream) as place:
            yield place


async def say(place: Place, wire: str, script: str, *, stream: bool, **fields: Any) -> tuple[Said, Any]:
    """Ask once; return what was said, and the assistant's message for the next turn."""
    number = len(place.gateway.receipts) + 1

    def do(client: openai.OpenAI) -> Any:
        asked = {"model": f"{wire}-{script}", **fields}
        if not stream:
            return client.chat.completions.create(**asked)
        return list(
            client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        )

    answer = await place.use(do)
    receipt = await place.gateway.finished(number)
    assert receipt.outcome == "ok"
    assert receipt.estimated is ("usage=0" in script)
    read = _streamed if stream else _whole
    text, reasoning, calls, finish, usage, message = read(answer)
    return Said(
        text,
        reasoning,
        calls,
        finish,
        receipt.usage,
        receipt.cost,
        (usage.prompt_tokens, usage.completion_tokens),
    ), message


def _whole(answer: Any) -> tuple[Any, ...]:
    (choice,) = answer.choices
    message = choice.message
    calls = tuple((call.function.name, call.function.arguments) for call in message.tool_calls or ())
    reasoning = getattr(message, "reasoning_content", "")
    back = message.model_dump(exclude_none=True)
    return message.content or "", reasoning, calls, choice.finish_reason, answer.usage, back


def _streamed(chunks: list[Any]) -> tuple[Any, ...]:
    said = list(deltas(chunks))
    reasoning = "".join(getattr(delta, "reasoning_content", None) or "" for delta in said)
    details = [one for delta in said for one in getattr(delta, "reasoning_details", None) or ()]
    calls: dict[int, dict[str, Any]] = {}
    for fragment in (fragment for delta in said for fragment in delta.tool_calls or ()):
        call = calls.setdefault(
            fragment.index,
            {
                **fragment.model_dump(exclude_none=True, exclude={"index": True}),
                "function": {"name": fragment.function.name, "arguments": ""},
            },
        )
        call["function"]["arguments"] += fragment.function.arguments or ""
    (finish,) = finishes(chunks)
    text = text_of(chunks)
    back: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls:
        back["tool_calls"] = list(calls.values())
    if details:
        back["reasoning_details"] = details
    told = tuple((call["function"]["name"], call["function"]["arguments"]) for call in calls.values())
    return text, reasoning, told, finish, chunks[-1].usage, back


def alike(said: dict[str, Said]) -> Said:
    """Check that all wires came to the same; return it.

    Gemini alone says which tokens of a prompt were an image's, and says nothing of writes to a cache.
    """
    told = {
        name: each._replace(
            usage=each.usage._replace(input=each.usage.input + each.usage.input_image, input_image=0)
        )
        for name, each in said.items()
    }
    expected = told["openai"]
    written = expected.usage.cache_write
    unwritten = expected.usage._replace(input=expected.usage.input + written, cache_write=0)
    dearer = written * (PRICE.rates.input - PRICE.rates.cache_write) // 1_000_000
    assert told["sim"] == expected
    assert told["anthropic"] == expected
    assert told["gemini"] == expected._replace(usage=unwritten, cost=expected.cost + dearer)
    return expected


both = pytest.mark.parametrize("stream", [False, True])


@both
async def test_a_conversation_with_every_class_of_tokens(place: Place, stream: bool) -> None:
    script = SCRIPTS[1]
    said = {wire: (await say(place, wire, script, stream=stream, messages=TALK))[0] for wire in WIRES}
    answer = alike(said)
    assert (answer.text, answer.reasoning) == (TALK[-1]["content"], "the sun may ")
    assert (answer.finish, answer.calls) == ("stop", ())
    assert (answer.usage.cache_read, answer.usage.cache_write, answer.usage.reasoning) == (30, 20, 3)
    assert answer.told == (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    assert answer.usage.output == -(-len(answer.text.encode()) // 4)


@both
async def test_a_tool_round_trip(place: Place, stream: bool) -> None:
    asked: list[Any] = [TALK[0], {"role": "user", "content": "Weather in Paris?"}]
    first, second = {}, {}
    for wire in WIRES:
        fields: dict[str, Any] = {"stream": stream, "tools": [WEATHER], "tool_choice": "auto"}
        first[wire], message = await say(place, wire, SCRIPTS[2], messages=asked, **fields)
        (call,) = message["tool_calls"]
        result = {"role": "tool", "tool_call_id": call["id"], "content": "Sunny, 21 degrees"}
        second[wire], _ = await say(place, wire, SCRIPTS[2], messages=[*asked, message, result], **fields)
    called, answered = alike(first), alike(second)
    assert (called.finish, called.text) == ("tool_calls", "")
    ((name, arguments),) = called.calls
    assert (name, json.loads(arguments)) == ("get_weather", {"input": "Weather in Paris?"})
    assert (answered.finish, answered.text, answered.calls) == ("stop", "Sunny, 21 degrees", ())
    assert answered.usage.prompt_tokens > called.usage.prompt_tokens


@both
async def test_an_image(place: Place, stream: bool) -> None:
    image = {"type": "image_url", "image_url": {"url": PIXEL}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}]
    said = {wire: (await say(place, wire, "echo", stream=stream, messages=messages))[0] for wire in WIRES}
    assert said["gemini"].usage.input_image == 1105
    answer = alike(said)
    assert (answer.text, answer.usage.input) == ("What is this?", 4 + 4 + 1105)


@both
@pytest.mark.parametrize(
    ("script", "fields", "text", "reasoning", "finish"),
    [
        (SCRIPTS[3], {"max_tokens": 6}, "the sun ", "the sun may set ", "length"),
        (SCRIPTS[3], {"max_tokens": 2}, "", "the sun ", "length"),
        ("echo", {"stop": ["Zürich"]}, "Then how is it in ", "", "stop"),
        ("echo", {"stop": ["nowhere", "today", "is it"]}, "Then how ", "", "stop"),
    ],
)
async def test_why_it_stops(
    place: Place, stream: bool, script: str, fields: dict[str, Any], text: str, reasoning: str, finish: str
) -> None:
    said = {
        wire: (await say(place, wire, script, stream=stream, messages=TALK, **fields))[0] for wire in WIRES
    }
    answer = alike(said)
    assert (answer.text, answer.reasoning, answer.finish) == (text, reasoning, finish)


@both
async def test_where_nobody_tells_the_usage_our_own_count_is_the_same(place: Place, stream: bool) -> None:
    said = {wire: (await say(place, wire, SCRIPTS[4], stream=stream, messages=TALK))[0] for wire in WIRES}
    assert alike(said).usage.output == -(-len(TALK[-1]["content"].encode()) // 4)
