"""What a chunk costs on its way from a wire to an OpenAI client: `make wire-cost`. Figures, not asserts.

The way is the relay's own: decode, meter against a hold, encode. Each payload is a read of its own, the
dearest case. The figures are microseconds of CPU per payload, the median of rounds; best is the quietest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from fractions import Fraction

import orjson

from proxy.dialects.base import Answer
from proxy.dialects.openai import OpenAIDialect
from proxy.policy.plan import Terms
from proxy.relay import Meter, Relay
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.base import Decoder, Wire
from proxy.wires.gemini import GeminiWire
from proxy.wires.openai import OpenAIWire
from proxy.words.errors import GatewayError
from proxy.words.money import Price, Rates
from proxy.words.usage import Usage

ROUNDS = 40
CHUNKS = 2_000
DEAR = 10**15
TERMS = Terms(
    model="m/m",
    price=Price(Rates(input=1_000_000, output=1_000_000, reasoning=1_000_000)),
    markup=Fraction(1),
    ratio=4000,
    output_cap=10**6,
    price_version="1",
)
CALL = OpenAIDialect("aggregator").parse(
    b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
)


class _Empty:
    def extend(self) -> None:
        return

    def replays(self) -> bool:
        return False

    def outward(self, error: object) -> GatewayError:
        return GatewayError("upstream_error", "x")


def _event(body: object, name: str = "") -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + orjson.dumps(body) + b"\n\n"


def _gemini(text: str) -> bytes:
    """Write a chunk as the public API does: usage in every one."""
    content = {"parts": [{"text": text}], "role": "model"}
    usage = {
        "promptTokenCount": 12,
        "candidatesTokenCount": 34,
        "totalTokenCount": 46,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
    }
    return _event(
        {
            "candidates": [{"content": content, "index": 0}],
            "usageMetadata": usage,
            "modelVersion": "gemini-2.5-flash",
            "responseId": "kmH3aNqsE6mwkdUPqYSU0Ac",
        }
    )


def _anthropic(text: str) -> bytes:
    delta = {"type": "text_delta", "text": text}
    return _event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")


def _openai(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return _event({**head, "choices": [choice]})


_ANTHROPIC_HEAD = (
    _event({"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 9}}}),
    _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
)
CASES: Sequence[tuple[str, Wire, Sequence[bytes], Callable[[str], bytes]]] = (
    ("openai", OpenAIWire(), (), _openai),
    ("anthropic", AnthropicWire(), _ANTHROPIC_HEAD, _anthropic),
    ("gemini", GeminiWire(), (), _gemini),
)


def _relay(decoder: Decoder, language: str) -> Relay:
    answer = Answer("01J", language, 1000, 1_700_000_000, "m/m")
    return Relay(
        decoder, OpenAIDialect("aggregator").encoder(CALL, answer), Meter(TERMS, Usage(10), DEAR), _Empty()
    )


def microseconds(wire: Wire, head: Sequence[bytes], pieces: Sequence[bytes]) -> tuple[float, float]:
    """Return the CPU of decoding a payload alone, and of relaying it."""
    decoder, relay = wire.decoder(), _relay(wire.decoder(), wire.language)
    for piece in (*head, pieces[0]):
        decoder.feed(piece)
        relay.feed(piece)
    started = time.process_time()
    for piece in pieces:
        decoder.feed(piece)
    decoded = time.process_time()
    for piece in pieces:
        relay.feed(piece)
    relayed = time.process_time()
    return (decoded - started) / len(pieces) * 1e6, (relayed - decoded) / len(pieces) * 1e6


def main() -> None:
    print(f"{'µs of CPU a payload':22}{'decode':>9}{'relay':>9}{'best':>9}")
    for name, wire, head, write in CASES:
        pieces = [write(f" word{place % 97}") for place in range(CHUNKS)]
        rounds = [microseconds(wire, head, pieces) for _ in range(ROUNDS)]
        decode, relay = (statistics.median(series) for series in zip(*rounds, strict=True))
        best = min(whole for _, whole in rounds)
        print(f"{name:22}{decode:9.2f}{relay:9.2f}{best:9.2f}")


if __name__ == "__main__":
    main()
