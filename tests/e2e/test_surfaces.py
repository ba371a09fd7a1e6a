"""Messages, responses and completions of the simulated provider, behind either door and at either base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.fakes.client import Client

from .harness import Door, running, settings_for

PROMPT = [{"role": "user", "content": "hello"}]
LOREM = "the sun may set "
SURFACES: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"messages": PROMPT, "max_tokens": 4}),
    ("responses", {"input": "hello", "max_output_tokens": 4}),
    ("completions", {"prompt": "hello", "max_tokens": 4, "stream_options": {"include_usage": True}}),
]


def text_in(payloads: list[bytes]) -> str:
    """Join whatever a stream calls text."""
    pieces = []
    for payload in payloads:
        if payload != b"[DONE]":
            body = orjson.loads(payload)
            match body:
                case {"type": "content_block_delta", "delta": {"text": str(text)}}:
                    pieces.append(text)
                case {"type": "response.output_text.delta", "delta": str(text)}:
                    pieces.append(text)
                case {"object": "text_completion", "choices": [{"text": str(text)}]}:
                    pieces.append(text)
    return "".join(pieces)


@pytest.mark.parametrize("door", ["http1", "asgi"])
@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
@pytest.mark.parametrize(("surface", "body"), SURFACES)
async def test_a_stream(tmp_path: Path, door: Door, base: str, surface: str, body: dict[str, Any]) -> None:
    async with running(settings_for(tmp_path, []), door=door) as gateway:
        key = await gateway.key()
        async with Client(gateway.url.removesuffix("/v1") + base, key) as client:
            await client.request(f"/{surface}", {"model": "sim/lorem", "stream": True, **body})
            answer = await client.whole()
        assert (answer.status, answer.headers["x-gateway-provider"]) == (200, "sim")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert text_in(answer.payloads) == LOREM
        assert (answer.payloads[-1] == b"[DONE]") is (surface == "completions")
        receipt = await gateway.finished()
        assert (receipt.outcome, receipt.usage.output, receipt.estimated) == ("ok", 4, False)
        assert await gateway.open_holds() == 0


@pytest.mark.parametrize("door", ["http1", "asgi"])
async def test_tokens_are_counted(tmp_path: Path, door: Door) -> None:
    async with running(settings_for(tmp_path, []), door=door) as gateway:
        key = await gateway.key()
        async with Client(gateway.url, key) as client:
            await client.request("/messages/count_tokens", {"model": "sim/lorem", "messages": PROMPT})
            answer = await client.whole()
        assert (answer.status, answer.json) == (200, {"input_tokens": 6})
        await gateway.key(email="other@example.com")  # whatever was submitted before is decided by now
        assert await gateway.open_holds() == 0
        assert gateway.receipts == []
