"""Answers in OpenAI's words that are no chats: passed on as they came, with what they cost in their usage.

Source: platform.openai.com/docs/api-reference/embeddings, /audio, /images.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import orjson

from proxy.words.chat import Embedded, Frame
from proxy.words.errors import GatewayError
from proxy.words.money import credits_json
from proxy.words.sse import frame

from .base import EVENT_STREAM, JSON_TYPE, Answer, Bill
from .openai_usage import usage_object


class ObjectEncoder:
    """One JSON object, or a text. Nothing goes out before the end."""

    __slots__ = ("_answer", "_frame", "media_type")

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._frame = Frame(())
        self.media_type = answer.media_type

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Keep the only frame."""
        for each in frames:
            self._frame = each
        return b""

    def finish(self, bill: Bill) -> bytes:
        """Write it."""
        return priced(self._frame, bill, self._answer)

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """Half of it is nothing."""
        raise error

    def fail(self, error: GatewayError) -> bytes:
        """Nothing was sent yet, so the failure is a true HTTP status."""
        raise error


class EmbeddingEncoder(ObjectEncoder):
    """Vectors: an object in our language, or one that is written here. They always say what was used."""

    __slots__ = ("_encoding",)

    def __init__(self, answer: Answer, encoding: Literal["float", "base64"]) -> None:
        super().__init__(answer)
        self._encoding = encoding
        self.media_type = JSON_TYPE

    def finish(self, bill: Bill) -> bytes:
        """Write the list."""
        body = self._frame.body
        if body is None:
            vectors = [
                vector
                for event in self._frame.events
                if isinstance(event, Embedded)
                for vector in event.vectors
            ]
            data = [
                {"object": "embedding", "index": index, "embedding": self._written(vector)}
                for index, vector in enumerate(vectors)
            ]
            body = {"object": "list", "data": data, "model": self._answer.model}
        usage = body.get("usage")
        reported = usage if isinstance(usage, dict) and not bill.estimated else None
        ours = usage_object(bill, reported, self._answer.credits_per_usd)
        if reported is None:
            ours = {
                name: ours[name]
                for name in ("prompt_tokens", "total_tokens", "cost", "estimated")
                if name in ours
            }
        return orjson.dumps({**body, "usage": ours})

    def _written(self, vector: Sequence[float]) -> Any:
        if self._encoding == "float":
            return vector
        floats = array("f", vector)
        return base64.b64encode(floats.tobytes()).decode("ascii")


class SoundEncoder:
    """Bytes, as they come. They cannot tell of a failure, so that one is told by breaking off."""

    __slots__ = ("media_type",)

    def __init__(self, answer: Answer) -> None:
        self.media_type = answer.media_type

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Pass them on."""
        return b"".join([each.payload for each in frames])

    def finish(self, bill: Bill) -> bytes:
        """There is nothing to add."""
        return b""

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """Break off."""
        raise error

    def fail(self, error: GatewayError) -> bytes:
        """Break off."""
        raise error


class EventEncoder:
    """Events, as they come; the last one, which tells what was used, waits for what it costs."""

    media_type = EVENT_STREAM

    __slots__ = ("_answer", "_describe", "_held")

    def __init__(self, answer: Answer, describe: Callable[[GatewayError], Mapping[str, Any]]) -> None:
        self._answer = answer
        self._describe = describe
        self._held: list[Frame] = []

    def feed(self, frames: Sequence[Frame]) -> bytes:
        """Pass events on."""
        self._held += [each for each in frames if not each.plain]
        return b"".join([_event(each.body, each.payload) for each in frames if each.plain])

    def finish(self, bill: Bill) -> bytes:
        """Write the last event."""
        *others, last = self._held
        out = [_event(each.body, each.payload) for each in others]
        return b"".join([*out, _event(last.body, priced(last, bill, self._answer))])

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        """What was sent cannot be taken back: the client is told in-band."""
        return self.fail(error)

    def fail(self, error: GatewayError) -> bytes:
        """Write the one last event of a stream that failed; SDKs raise on its member `error`."""
        return frame(orjson.dumps({"type": "error", "error": self._describe(error)}))


def priced(answer: Frame, bill: Bill, about: Answer) -> bytes:
    """Return an upstream's object, its usage as far as it has one with what the client pays."""
    body = answer.body
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return answer.payload
    ours = {name: value for name, value in usage.items() if "cost" not in name}
    return orjson.dumps({**body, "usage": {**ours, "cost": credits_json(bill.cost, about.credits_per_usd)}})


def _event(body: Any, payload: bytes) -> bytes:
    """Frame an event, named as OpenAI names them."""
    kind = body["type"]
    name = f"event: {kind}\n".encode() if kind.isascii() and kind.isprintable() else b""
    return name + frame(payload.replace(b"\r", b"").replace(b"\n", b""))
