"""An answer of text, as the product dialects are given it, and what they made of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.base import Answer, Bill, Dialect, Funds
from proxy.words.chat import Finished, Frame, ReasoningDelta, Started, TextDelta, UsageReport
from proxy.words.errors import GatewayError
from proxy.words.usage import Usage

DONE = b"data: [DONE]\n\n"
CUT = GatewayError("insufficient_credits", "The credits are used up.")
BROKEN = GatewayError("upstream_error", "The model provider failed.", detail={"upstream": "failed"})


def bill(prompt: int, completion: int, cost: int = 0) -> Bill:
    """What an answer of so many tokens used and cost."""
    return Bill(Usage(input=prompt, output=completion), cost, estimated=False)


def answer(*, funds: Funds | None = None) -> Answer:
    """An answer by `gpt-4.1-mini` at OpenAI; a credit is a thousandth of a dollar."""
    return Answer(
        "gen_1", "openai", 1000, 1700000001, "gpt-4.1-mini", "openai", "req_9f1a2e8", funds or Funds()
    )


def frames(*texts: str, reason: str = "stop") -> list[Frame]:
    """What an upstream sends: a start, some reasoning, these texts, an end and its usage."""
    said = [Frame((TextDelta(text),)) for text in texts]
    return [
        Frame((Started("id", "m", 0), ReasoningDelta("Hm. "))),
        *said,
        Frame((TextDelta("of another choice", 1),)),
        Frame((Finished(reason),)),
        Frame((UsageReport(Usage(input=1)),)),
    ]


def told(
    dialect: Dialect,
    body: dict[str, Any],
    said: list[Frame],
    final: Bill,
    *,
    headers: dict[str, str] | None = None,
    funds: Funds | None = None,
) -> tuple[str, bytes]:
    """Return the media type and the bytes of an answer."""
    encoder = dialect.encoder(dialect.parse(orjson.dumps(body), headers or {}), answer(funds=funds))
    out = b"".join([encoder.feed((each,)) for each in said])
    return encoder.media_type, out + encoder.finish(final)


def events(out: bytes) -> list[Any]:
    """Read a stream, whose last frame is `[DONE]`."""
    assert out.endswith(b"\n\n" + DONE)
    return read(out.removesuffix(DONE))


def read(out: bytes) -> list[Any]:
    """Read the frames of a stream."""
    return [orjson.loads(each.removeprefix(b"data: ")) for each in out.split(b"\n\n") if each]


def refusal(dialect: Dialect, body: dict[str, Any] | bytes) -> GatewayError:
    """Return why a request is refused."""
    with pytest.raises(GatewayError) as raised:
        dialect.parse(body if isinstance(body, bytes) else orjson.dumps(body))
    return raised.value
