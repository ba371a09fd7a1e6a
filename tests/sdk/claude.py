"""Anthropic's SDK, pointed at the gateway of a `Place`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import trio
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from .place import HI, Place

Result = TypeVar("Result")
EVENT: Final[TypeAdapter[Any]] = TypeAdapter(RawMessageStreamEvent)


def _options(place: Place, base: str, more: dict[str, Any]) -> dict[str, Any]:
    # The SDK adds `/v1` itself.
    url = place.url(base).removesuffix("/v1")
    return {
        "base_url": url,
        "api_key": place.key,
        "max_retries": 0,
        "timeout": place.patience / 2,
        **more,
    }


def async_client(place: Place, base: str = "/v1", **more: Any) -> AsyncAnthropic:
    """Return a client that runs on whatever loop it is used in."""
    return AsyncAnthropic(**_options(place, base, more))


async def use(place: Place, do: Callable[[Anthropic], Result], base: str = "/v1", **more: Any) -> Result:
    """Run `do` with a client in a thread."""

    def work() -> Result:
        with Anthropic(**_options(place, base, more)) as client:
            return do(client)

    with trio.fail_after(place.patience):
        return await trio.to_thread.run_sync(work)


async def say(place: Place, base: str = "/v1", *, client: Any = None, **fields: Any) -> Any:
    """Run one `messages.create`, whose answer must be one the SDK knows; a stream is given as a list."""
    fields = {"model": "m", "messages": HI, "max_tokens": 8, **fields}

    def do(claude: Anthropic) -> Any:
        answer: Any = claude.messages.create(**fields)
        if not fields.get("stream"):
            Message.model_validate(answer.to_dict(), strict=True)
            return answer
        return [EVENT.validate_python(event.to_dict(), strict=True) and event for event in answer]

    return await use(place, do, base, **(client or {}))


def kinds(events: list[Any]) -> list[str]:
    """Name the events, without those that repeat each other."""
    names = [event.type for event in events]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


def text_of(events: list[Any]) -> str:
    """Join the text of a stream."""
    deltas = [event.delta for event in events if event.type == "content_block_delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text_delta")
