"""Google's own SDK against the simulated provider: it takes it for Gemini."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest
import trio
from google import genai
from google.genai import errors, types

from tests.fakes.provider import simulated
from tests.patience import PATIENCE

SAID: Final = "Say this back, please."
PROMPT: Final = 6 + 4
"""Twenty-two bytes and a turn."""
WEATHER: Final = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="The weather somewhere.",
            parameters_json_schema={"type": "object", "properties": {"input": {"type": "string"}}},
        )
    ]
)

Do = Callable[[genai.Client], Any]
Use = Callable[[Do], Any]


@pytest.fixture
async def use() -> AsyncIterator[Use]:
    """Run a function with a client, in a thread."""
    async with simulated() as url:

        def work(do: Do) -> Any:
            options = types.HttpOptions(base_url=url, timeout=int(1000 * PATIENCE))
            with genai.Client(api_key="any", http_options=options) as client:
                return do(client)

        async def run(do: Do) -> Any:
            with trio.fail_after(PATIENCE):
                return await trio.to_thread.run_sync(work, do)

        yield run


async def ask(
    use: Use, model: str = "echo", contents: Any = SAID, *, stream: bool, **config: Any
) -> list[types.GenerateContentResponse]:
    """Ask in either way; a whole answer is a list of one."""

    def do(client: genai.Client) -> list[types.GenerateContentResponse]:
        fields: dict[str, Any] = {
            "model": model,
            "contents": contents,
            "config": types.GenerateContentConfig(
                automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True), **config
            ),
        }
        if stream:
            return list(client.models.generate_content_stream(**fields))
        return [client.models.generate_content(**fields)]

    answers: list[types.GenerateContentResponse] = await use(do)
    return answers


def parts_of(answers: list[types.GenerateContentResponse]) -> list[types.Part]:
    """Give all parts of the first candidate."""
    found: list[types.Part] = []
    for answer in answers:
        assert answer.candidates
        assert answer.candidates[0].content
        found += answer.candidates[0].content.parts or []
    return found


def text_of(answers: list[types.GenerateContentResponse], *, thought: bool = False) -> str:
    return "".join(part.text or "" for part in parts_of(answers) if bool(part.thought) is thought)


def finish_of(answers: list[types.GenerateContentResponse]) -> str | None:
    assert answers[-1].candidates
    reason = answers[-1].candidates[0].finish_reason
    return None if reason is None else reason.value


def usage_of(answers: list[types.GenerateContentResponse]) -> types.GenerateContentResponseUsageMetadata:
    usage = answers[-1].usage_metadata
    assert usage is not None
    return usage


both = pytest.mark.parametrize("stream", [False, True])


@both
async def test_text(use: Use, stream: bool) -> None:
    answers = await ask(use, stream=stream)
    assert len(answers) == (7 if stream else 1)
    assert (text_of(answers), finish_of(answers)) == (SAID, "STOP")
    assert {answer.model_version for answer in answers} == {"echo"}
    usage = usage_of(answers)
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (
        PROMPT,
        6,
        PROMPT + 6,
    )


@both
async def test_thoughts_stand_beside_the_answer_and_cached_tokens_inside_the_prompt(
    use: Use, stream: bool
) -> None:
    answers = await ask(use, "echo:reasoning=3,cached=4,written=2", stream=stream)
    assert (text_of(answers, thought=True), text_of(answers)) == ("the sun may ", SAID)
    usage = usage_of(answers)
    assert (usage.thoughts_token_count, usage.candidates_token_count) == (3, 6)
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (PROMPT, 4)
    assert usage.total_token_count == PROMPT + 9


@both
async def test_a_tool_round_trip_brings_the_signature_back(use: Use, stream: bool) -> None:
    answers = await ask(use, "tool", stream=stream, tools=[WEATHER])
    (part,) = [part for part in parts_of(answers) if part.function_call]
    call = part.function_call
    assert call is not None
    assert (call.name, call.args, bool(call.id)) == ("get_weather", {"input": SAID}, True)
    asked = types.Content(role="user", parts=[types.Part(text=SAID)])
    answered = types.Part(
        function_response=types.FunctionResponse(id=call.id, name="get_weather", response={"output": "Sunny"})
    )
    turns = [asked, types.Content(role="model", parts=[part]), types.Content(role="user", parts=[answered])]
    after = await ask(use, "tool", turns, stream=stream, tools=[WEATHER])
    assert text_of(after) == "Sunny"
    part.thought_signature = None
    with pytest.raises(errors.ClientError, match="thought_signature"):
        await ask(use, "tool", turns, stream=stream, tools=[WEATHER])
    with pytest.raises(errors.ClientError, match="number of function response"):
        await ask(use, "tool", [turns[0], turns[2]], stream=stream)


@both
async def test_a_schema_in_the_older_words_counts_the_same(use: Use, stream: bool) -> None:
    older = types.FunctionDeclaration(
        name="get_weather",
        description="The weather somewhere.",
        parameters=types.Schema(
            type=types.Type.OBJECT, properties={"input": types.Schema(type=types.Type.STRING)}
        ),
    )
    tools = [types.Tool(function_declarations=[older])]
    assert usage_of(await ask(use, stream=stream, tools=tools)) == usage_of(
        await ask(use, stream=stream, tools=[WEATHER])
    )


@both
@pytest.mark.parametrize(
    ("model", "config", "text", "finish"),
    [
        ("echo", {"max_output_tokens": 2}, "Say this", "MAX_TOKENS"),
        ("echo", {"stop_sequences": ["back"]}, "Say this ", "STOP"),
        ("lorem:tokens=2", {}, "the sun ", "STOP"),
    ],
)
async def test_why_it_stops(
    use: Use, stream: bool, model: str, config: dict[str, Any], text: str, finish: str
) -> None:
    answers = await ask(use, model, stream=stream, **config)
    assert (text_of(answers), finish_of(answers)) == (text, finish)


@both
async def test_several_candidates(use: Use, stream: bool) -> None:
    answers = await ask(use, "lorem:tokens=2", stream=stream, candidate_count=2)
    for answer in answers:
        assert answer.candidates
        assert [candidate.index for candidate in answer.candidates] == [0, 1]
    assert usage_of(answers).candidates_token_count == 4


@both
async def test_an_image_is_counted_as_one(use: Use, stream: bool) -> None:
    picture = types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")
    turn = types.Content(role="user", parts=[types.Part(text=SAID), picture])
    answers = await ask(use, contents=[turn], stream=stream)
    usage = usage_of(answers)
    assert text_of(answers) == SAID
    told = {each.modality: each.token_count for each in usage.prompt_tokens_details or []}
    assert told == {types.MediaModality.TEXT: PROMPT, types.MediaModality.IMAGE: 1105}
    assert usage.prompt_token_count == PROMPT + 1105


FAILURES = [
    (400, errors.ClientError, "INVALID_ARGUMENT"),
    (401, errors.ClientError, "UNAUTHENTICATED"),
    (403, errors.ClientError, "PERMISSION_DENIED"),
    (429, errors.ClientError, "RESOURCE_EXHAUSTED"),
    (500, errors.ServerError, "INTERNAL"),
    (503, errors.ServerError, "UNAVAILABLE"),
]


@both
@pytest.mark.parametrize(("status", "kind", "name"), FAILURES)
async def test_a_failure_is_the_sdks_own_error(
    use: Use, stream: bool, status: int, kind: type[errors.APIError], name: str
) -> None:
    with pytest.raises(kind) as caught:
        await ask(use, f"echo:fail={status},retry_after=7", stream=stream)
    assert (caught.value.code, caught.value.status) == (status, name)
    (detail,) = caught.value.details["error"]["details"]
    assert detail["retryDelay"] == "7s"


@both
async def test_what_gemini_refuses(use: Use, stream: bool) -> None:
    with pytest.raises(errors.ClientError, match="no such model") as caught:
        await ask(use, "gemini", stream=stream)
    assert caught.value.status == "NOT_FOUND"
    for contents in ([], [types.Content(role="user", parts=[types.Part(text="")])]):
        with pytest.raises((errors.ClientError, ValueError)):
            await ask(use, contents=contents, stream=stream)
    with pytest.raises(errors.ClientError, match="no field"):
        await ask(use, stream=stream, enable_enhanced_civic_answers=True)


async def test_an_error_amid_a_stream(use: Use) -> None:
    with pytest.raises(errors.APIError, match="asked for"):
        await ask(use, "lorem:error=3", stream=True)


async def test_counting_and_the_catalogue(use: Use) -> None:
    counted = await use(lambda client: client.models.count_tokens(model="echo", contents=SAID))
    assert counted.total_tokens == PROMPT
    listed = await use(lambda client: [model.name for model in client.models.list()])
    assert listed == ["models/echo", "models/lorem", "models/tool"]
