"""OpenAI's own SDK against the simulated provider, with no gateway between: it takes it for OpenAI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import openai
import pytest
import trio

from tests.fakes.provider import simulated
from tests.patience import PATIENCE

HI: Final[list[Any]] = [{"role": "user", "content": "Say this back, please."}]
Use = Callable[[Callable[[openai.OpenAI], Any]], Any]


@pytest.fixture
async def use() -> AsyncIterator[Use]:
    """Run a function with a client, in a thread."""
    async with simulated() as url:

        def work(do: Callable[[openai.OpenAI], Any]) -> Any:
            with openai.OpenAI(
                base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=PATIENCE
            ) as client:
                return do(client)

        async def run(do: Callable[[openai.OpenAI], Any]) -> Any:
            with trio.fail_after(PATIENCE):
                return await trio.to_thread.run_sync(work, do)

        yield run


async def test_a_whole_answer(use: Use) -> None:
    model = "echo:reasoning=3,cached=4,written=2"
    answer = await use(lambda client: client.chat.completions.create(model=model, messages=HI, n=2))
    assert [choice.message.content for choice in answer.choices] == [HI[0]["content"]] * 2
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (10, 11 + 6)
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert answer.usage.completion_tokens_details.reasoning_tokens == 6


async def test_a_stream_tells_its_usage_to_whom_asks(use: Use) -> None:
    def do(client: openai.OpenAI, **more: Any) -> list[Any]:
        return list(client.chat.completions.create(model="echo", messages=HI, stream=True, **more))

    plain = await use(do)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain) == HI[0]["content"]
    assert all(chunk.usage is None for chunk in plain)
    asked = await use(lambda client: do(client, stream_options={"include_usage": True}))
    assert asked[-1].usage.total_tokens == 16


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("gpt", openai.NotFoundError),
        ("echo:fail=400", openai.BadRequestError),
        ("echo:fail=401", openai.AuthenticationError),
        ("echo:fail=429", openai.RateLimitError),
        ("echo:fail=500", openai.InternalServerError),
        ("echo:error=1", openai.InternalServerError),
    ],
)
async def test_a_failure_is_the_sdks_own_error(
    use: Use, model: str, kind: type[openai.APIStatusError]
) -> None:
    with pytest.raises(kind):
        await use(lambda client: client.chat.completions.create(model=model, messages=HI))


async def test_the_catalogue(use: Use) -> None:
    listed = await use(lambda client: [model.id for model in client.models.list()])
    assert listed == ["echo", "lorem", "tool"]
