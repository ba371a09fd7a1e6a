"""What is fuzzed, and what must hold whatever comes: no exception but ours, any split equal to the whole.

Each target takes bytes and raises `AssertionError`, or what got out of our code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

import orjson

from proxy.dialects.ai_gateway import AIGatewayDialect
from proxy.dialects.ai_llm import AILLMDialect
from proxy.dialects.anthropic import AnthropicDialect
from proxy.dialects.auto import AutoDialect
from proxy.dialects.base import Answer
from proxy.dialects.completions import CompletionsDialect
from proxy.dialects.openai import OpenAIDialect
from proxy.dialects.openai_media_request import read_embedding, read_images, read_speech
from proxy.dialects.responses import ResponsesDialect
from proxy.policy.plan import Terms
from proxy.relay import Meter, Relay
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.base import Decoder, Target, Wire
from proxy.wires.gemini import GeminiWire
from proxy.wires.openai import OpenAIWire
from proxy.words.call import Call
from proxy.words.chat import ChatRequest, Event
from proxy.words.errors import GatewayError
from proxy.words.money import Price, Rates
from proxy.words.sse import LineTooLongError, SSEDecoder
from proxy.words.usage import Usage

from . import media
from .mutate import cut

WIRES: Final[Mapping[str, Wire]] = {
    "openai": OpenAIWire(),
    "anthropic": AnthropicWire(),
    "gemini": GeminiWire(),
}
DIALECT: Final = OpenAIDialect("aggregator")
_MINTED: Final = re.compile(r"call_gm_[0-9a-f]{16}")
_TERMS: Final = Terms(
    model="m/m",
    price=Price(Rates(input=1_000_000, output=1_000_000, reasoning=1_000_000)),
    markup=Fraction(1),
    ratio=4000,
    output_cap=1000,
    price_version="1",
)
_BODY: Final = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":%b}'
_CALLS: Final = tuple(DIALECT.parse(_BODY % stream) for stream in (b"true", b"false"))


class Read(NamedTuple):
    """What a decoder made of a stream."""

    events: tuple[str, ...]
    failure: str | None
    done: bool
    complete: bool


def read(decoder: Decoder, pieces: Iterable[bytes]) -> tuple[Read, list[Event]]:
    """Read a stream to its end."""
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    frames += decoder.close()
    events = [event for frame in frames for event in frame.events]
    # Ids of calls that got none are minted, and never the same.
    shown = tuple(_MINTED.sub("minted", repr(event)) for event in events)
    failure = decoder.failure.trouble if decoder.failure is not None else None
    return Read(shown, failure, decoder.done, decoder.complete), events


def stream(name: str, data: bytes, places: Collection[int]) -> list[Event]:
    """Read a stream whole and in pieces, and relay it to both kinds of client."""
    wire = WIRES[name]
    whole, events = read(wire.decoder(), [data])
    pieces = cut(data, places)
    assert read(wire.decoder(), pieces)[0] == whole
    for call in _CALLS:
        relayed(wire, call, pieces)
    return events


class _Purse:
    def extend(self) -> GatewayError:
        return GatewayError("insufficient_credits", "Used up.")

    def replays(self) -> bool:
        return False

    def outward(self, error: object) -> GatewayError:
        return GatewayError("upstream_error", "It broke.")


def relayed(wire: Wire, call: ChatRequest, pieces: Iterable[bytes]) -> bytes:
    """Relay a stream, as far as a hold of a thousand tokens goes; a refusal is an answer too."""
    answer = Answer("01J", wire.language, 1000, 1, "m/m")
    relay = Relay(wire.decoder(), DIALECT.encoder(call, answer), Meter(_TERMS, Usage(9), 1000), _Purse())
    out = b""
    try:
        for piece in pieces:
            out += relay.feed(piece)
            if relay.done:
                return out
        out += relay.close()
    except GatewayError:
        return out
    assert relay.done
    return out


def sse(data: bytes, places: Iterable[int], max_line: int = 64) -> None:
    """Read payloads: any split gives the same, up to a line that is too long in both."""

    def payloads(pieces: Iterable[bytes]) -> tuple[list[bytes], bool]:
        decoder, found = SSEDecoder(max_line), list[bytes]()
        try:
            for piece in pieces:
                found += decoder.feed(piece)
            found += decoder.close()
        except LineTooLongError:
            return found, True
        return found, False

    whole, too_long = payloads([data])
    found, too_long_split = payloads(cut(data, places))
    assert too_long == too_long_split
    # What a failed call had found goes with it, so that the shorter one is the beginning of the other.
    shorter = min(len(whole), len(found))
    assert whole[:shorter] == found[:shorter]
    assert too_long or len(whole) == len(found)
    assert all(0 < len(payload) <= max_line for payload in (*whole, *found))


TARGETS_OF_REQUESTS: Final = (
    Target("m"),
    Target("claude-sonnet-4-5", max_output=50),
    Target("gemini-3-pro", reasoning=True, stream_options=False),
)


READERS: Final[Mapping[str, Callable[[bytes], Call]]] = {
    "request": DIALECT.parse,
    "completions": CompletionsDialect("aggregator").parse,
    "responses": ResponsesDialect("aggregator").parse,
    "messages": AnthropicDialect().parse,
    "count": AnthropicDialect().parse_count,
    "auto": AutoDialect().parse,
    "llm": AILLMDialect("generate").parse,
    "llm-chat": AILLMDialect("chat").parse,
    "project": AIGatewayDialect("generate").parse,
    "project-chat": AIGatewayDialect("chat").parse,
    "embeddings": read_embedding,
    "speech": read_speech,
    "images": read_images,
}
"""Whatever reads requests, by the name of its target."""


def request(name: str, data: bytes) -> None:
    """Parse a request, weigh it, and write it to every wire."""
    try:
        call = READERS[name](data)
    except GatewayError:
        return
    assert call.prompt_tokens(4000) >= 0
    assert call.forecast(4000, 1000).output >= 0
    for wire in WIRES.values():
        for target in TARGETS_OF_REQUESTS:
            try:
                outgoing = wire.encode(call, target)
            except GatewayError:
                continue
            assert isinstance(orjson.loads(outgoing.body), dict)
            assert outgoing.path.startswith("/")


def failure(data: bytes) -> None:
    """Read an answer that failed."""
    for wire in WIRES.values():
        for status in (301, 400, 401, 404, 429, 500, 529):
            error = wire.failure(status, {"retry-after": data[:8].decode("latin-1")}, data, 0.0)
            assert error.message is None or len(error.message) < 10_000


def _stream_of(name: str) -> Callable[[bytes], Any]:
    return lambda data: stream(name, data[2:], data[:2] + bytes(2))


def _requests_of(name: str) -> Callable[[bytes], Any]:
    return lambda data: request(name, data)


TARGETS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    **{name: _stream_of(name) for name in WIRES},
    "sse": lambda data: sse(data[3:], data[:3]),
    **{name: _requests_of(name) for name in READERS},
    "failure": failure,
    "passing": media.passing,
    "container": media.container,
    "form": media.form,
    "boundary": media.boundary,
}
"""By name; of bytes that are split, the first few say where."""
