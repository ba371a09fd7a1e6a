"""Targets beside chats: forms, containers of sound, and answers that are passed on (see `targets`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from proxy.dialects.form import Form
from proxy.dialects.multipart import PART_END, Event, FormError, FormParser, Part, boundary_in
from proxy.dialects.openai_media_request import read_embedding, read_images, read_speech, read_transcription
from proxy.media.length import MAX_SECONDS, seconds_of
from proxy.wires.base import Decoder, Target
from proxy.wires.gemini import GeminiWire
from proxy.wires.openai import OpenAIWire
from proxy.words.call import Call
from proxy.words.chat import OpaqueDelta
from proxy.words.errors import GatewayError

from .mutate import cut

BOUNDARY: Final = b"b0undary"
_WIRE: Final = OpenAIWire()
_TARGET: Final = Target("m")
Content = tuple[tuple[Part, bytes], ...]


class Kept:
    """A file in memory."""

    def __init__(self, content: bytes) -> None:
        self.kept = content
        self.length = len(content)

    async def read(self, at: int, count: int) -> bytes:
        """Return some of it."""
        return self.kept[at : at + count]


_SOUND: Final = Form((("model", "m"),), Kept(b"x"), "a.wav", "audio/wav", 1)


def _hears(**fields: str) -> Call:
    found = (*_SOUND.fields, *fields.items())
    return read_transcription(
        Form(found, _SOUND.upload, _SOUND.filename, _SOUND.content_type, 1), translate=False
    )


def _body(**more: Any) -> bytes:
    return orjson.dumps({"model": "m", "input": "x", "prompt": "x", "voice": "v", **more})


ANSWERED: Final[Sequence[tuple[Any, Call]]] = (
    (_WIRE, read_embedding(_body())),
    (GeminiWire(), read_embedding(_body())),
    (_WIRE, read_speech(_body())),
    (_WIRE, read_speech(_body(stream_format="sse"))),
    (_WIRE, read_images(_body(n=2))),
    (_WIRE, read_images(_body(n=2, stream=True))),
    (_WIRE, _hears()),
    (_WIRE, _hears(response_format="srt")),
    (_WIRE, _hears(stream="true")),
)
"""Every way of reading an answer that is no chat."""


def passing(data: bytes) -> None:
    """Read an answer, whole and in pieces; the first byte says of what, the next two where it is cut."""
    wire, call = ANSWERED[data[0] % len(ANSWERED) if data else 0]
    body = data[3:]

    def decoder() -> Decoder:
        found: Decoder = wire.encode(call, _TARGET).reading.decoder
        return found

    whole = _read(decoder(), [body])
    assert _read(decoder(), cut(body, data[1:3])) == whole


def _read(decoder: Decoder, pieces: Iterable[bytes]) -> tuple[Any, ...]:
    frames = [frame for piece in pieces if piece for frame in decoder.feed(piece)]
    frames += decoder.close()
    events = [event for frame in frames for event in frame.events]
    opaque = sum(event.size for event in events if isinstance(event, OpaqueDelta))
    others = [event for event in events if not isinstance(event, OpaqueDelta)]
    assert not (decoder.complete and decoder.failure is not None)
    # What came before a failure was passed on, as far as it had come in one piece or another.
    failure = decoder.failure.trouble if decoder.failure is not None else None
    return opaque, others, failure, decoder.done, decoder.complete, b"".join(each.payload for each in frames)


def container(data: bytes) -> None:
    """Tell how long a recording is."""
    if not data:
        return
    looks = 0

    def peek(at: int, count: int) -> bytes:
        nonlocal looks
        looks += 1
        assert 0 <= at < len(data)
        assert 0 <= count <= len(data) - at
        return data[at : at + count]

    assert 1 <= seconds_of(peek, len(data)) <= MAX_SECONDS
    assert looks < 20_000, "it looks at few places"


def parts_in(pieces: Iterable[bytes], boundary: bytes = BOUNDARY) -> tuple[Content, bool]:
    """Read a form; also tells whether it is whole."""
    parser, events = FormParser(boundary), list[Event]()
    try:
        for piece in pieces:
            events += parser.feed(piece)
        parser.close()
    except FormError:
        return _content(events), False
    return _content(events), True


def _content(events: Iterable[Event]) -> Content:
    found: list[tuple[Part, bytes]] = []
    part, content = None, b""
    for event in events:
        if isinstance(event, Part):
            part, content = event, b""
        elif event is PART_END:
            assert part is not None
            found.append((part, content))
        elif isinstance(event, bytes):
            content += event
    return tuple(found)


def form(data: bytes) -> None:
    """Read a form, whole and in pieces, and write it anew: nobody's name or value becomes another's."""
    whole, complete = parts_in([data[2:]])
    found, complete_in_pieces = parts_in(cut(data[2:], data[:2]))
    assert complete == complete_in_pieces
    shorter = min(len(whole), len(found))
    assert whole[:shorter] == found[:shorter]
    if complete:
        assert whole == found
        _written(whole)


def _written(parts: Content) -> None:
    fields, files = [], []
    for part, content in parts:
        try:
            value = content.decode()
        except UnicodeDecodeError:
            return
        if part.filename is None and part.name != "file":
            fields.append((part.name, value))
        else:
            files.append((part, content))
    if len(files) != 1:
        return
    (part, content), kind = files[0], files[0][0].headers.get("content-type", "")
    given = Form(tuple(fields), Kept(content), part.filename or "audio", kind, 1)
    try:
        call = read_transcription(given, translate=False)
    except GatewayError:
        return
    outgoing = _WIRE.encode(call, _TARGET)
    boundary = boundary_in(dict(outgoing.headers)["content-type"])
    assert boundary is not None
    again, complete = parts_in([outgoing.body], boundary)
    assert complete
    assert [each for _, each in again] == [b"m", *(value.encode() for _, value in call.fields), content]
    assert [each.filename is None for each, _ in again] == [True] * (len(again) - 1) + [False]


def boundary(data: bytes) -> None:
    """Find a boundary in a content type."""
    try:
        found = boundary_in(data.decode("latin-1"))
    except FormError:
        return
    assert found is None or 0 < len(found) <= 70
