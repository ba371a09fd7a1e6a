"""What the simulated provider makes beside chats: vectors, speech, transcriptions, images. OpenAI's protocol.

Everything follows from the request alone: the same text gives the same vector and the same sound.

    embed        vectors of `dimensions` (8) numbers, of length one
    speech       a tone for each character, a twentieth of a second long, as WAV
    transcribe   says how long the recording was, and what it was called
    image        a square of one colour, as PNG

The parameters of a model's name are those of `words.script`: `fail`, `retry_after`, `ttft`, `tps`, `stall`,
`cut` (after so many pieces), and `usage`.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from array import array
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

import orjson

from proxy.dialects.multipart import FormParser, Part
from proxy.media.length import seconds_of
from proxy.words.script import Script
from proxy.words.sse import frame
from proxy.words.usage import DEFAULT_RATIO, count, text_size

from .prompt import BadRequestError
from .reply import SimReply

_JSON: Final = {"content-type": "application/json"}
_EVENTS: Final = {"content-type": "text/event-stream"}
_RATE: Final = 8_000
_EACH: Final = _RATE // 20
_CHARACTERS: Final = 5
"""Spoken in one piece."""
DIMENSIONS: Final = 8
_MOST_NUMBERS: Final = 65_536
"""Of all vectors of an answer: in the process itself, who makes them keeps everybody else waiting."""
_SIDE: Final = 16
_TEXTS: Final = {"text": "text/plain; charset=utf-8", "srt": "application/x-subrip", "vtt": "text/vtt"}


def read(path: str, body: bytes) -> dict[str, Any]:
    """Read a request into its fields. Raises BadRequestError."""
    if path.startswith("/audio/t"):
        return _form(body)
    try:
        found = orjson.loads(body)
    except ValueError:
        raise BadRequestError("The body is not JSON.") from None
    if not isinstance(found, dict):
        raise BadRequestError("The body is not an object.")
    return found


def reply(path: str, script: Script, given: Mapping[str, Any]) -> SimReply:
    """Answer a request. Raises BadRequestError where it lacks what it must have."""
    try:
        headers, pieces = _ANSWERS[path](script, given)
    except BadRequestError:
        raise
    except (KeyError, TypeError, ValueError):
        raise BadRequestError("The request lacks something, or has it wrong.") from None
    return SimReply(200, headers, script, iter(pieces))


def vector(of: Any, size: int) -> list[float]:
    """Return that many numbers, of length one, which follow from a text or a list of tokens."""
    seed = orjson.dumps(of)
    numbers = []
    for place in range(size):
        digest = blake2b(seed, digest_size=8, salt=place.to_bytes(16, "big")).digest()
        numbers.append(int.from_bytes(digest, "big") / 2**63 - 1)
    norm = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return [number / norm for number in numbers]


def _embeddings(script: Script, given: Mapping[str, Any]) -> tuple[Mapping[str, str], list[bytes]]:
    found = given["input"]
    listed = isinstance(found, list) and not isinstance(found[0], int)
    inputs = found if listed else [found]
    if len(inputs) * (given.get("dimensions") or DIMENSIONS) > _MOST_NUMBERS:
        raise BadRequestError(f"All vectors of an answer have at most {_MOST_NUMBERS} numbers.")
    data = [
        {"object": "embedding", "index": index, "embedding": _written(each, given)}
        for index, each in enumerate(inputs)
    ]
    tokens = sum(
        len(each) if isinstance(each, list) else count(text_size(each), DEFAULT_RATIO) for each in inputs
    )
    usage = {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}} if script.usage else {}
    return _JSON, [orjson.dumps({"object": "list", "data": data, "model": given["model"], **usage})]


def _written(of: Any, given: Mapping[str, Any]) -> Any:
    numbers = vector(of, given.get("dimensions") or DIMENSIONS)
    if given.get("encoding_format") != "base64":
        return numbers
    return base64.b64encode(array("f", numbers).tobytes()).decode("ascii")


def _speech(script: Script, given: Mapping[str, Any]) -> tuple[Mapping[str, str], Iterator[bytes]]:
    text = str(given["input"])
    if given.get("stream_format") == "sse":
        return _EVENTS, _spoken(script, text)
    return {"content-type": "audio/wav"}, _sound(text)


def _spoken(script: Script, text: str) -> Iterator[bytes]:
    for sound in _sound(text):
        piece = base64.b64encode(sound).decode("ascii")
        yield frame(orjson.dumps({"type": "speech.audio.delta", "audio": piece}))
    told = count(text_size(text), DEFAULT_RATIO)
    made = len(text)
    usage = {"input_tokens": told, "output_tokens": made, "total_tokens": told + made}
    yield frame(orjson.dumps({"type": "speech.audio.done", **({"usage": usage} if script.usage else {})}))


def _sound(text: str) -> Iterator[bytes]:
    """Make 16 bits of one channel, piece by piece: all of a long text would be a hundred times its size."""
    size = 2 * _EACH * len(text)
    form = struct.pack("<HHIIHH", 1, 1, _RATE, 2 * _RATE, 2, 16)
    yield b"RIFF%bWAVEfmt %b%bdata%b" % (
        struct.pack("<I", 36 + size),
        struct.pack("<I", len(form)),
        form,
        struct.pack("<I", size),
    )
    for at in range(0, len(text), _CHARACTERS):
        yield b"".join([_TONES[ord(character) % len(_TONES)] for character in text[at : at + _CHARACTERS]])


def _tone(half: int) -> bytes:
    return array("h", [8_000 if at // half % 2 else -8_000 for at in range(_EACH)]).tobytes()


_TONES: Final = tuple([_tone(8 + place) for place in range(32)])


def _transcription(script: Script, given: Mapping[str, Any]) -> tuple[Mapping[str, str], list[bytes]]:
    sound: bytes = given["file"]
    seconds = seconds_of(lambda at, size: sound[at : at + size], len(sound))
    text = f"A recording of {seconds} seconds, called {given['filename']}."
    wanted = given.get("response_format") or "json"
    usage: dict[str, Any] = {"usage": {"type": "duration", "seconds": seconds}} if script.usage else {}
    if given.get("stream") == "true":
        words = [f"{word} " for word in text.split()]
        events = [{"type": "transcript.text.delta", "delta": word} for word in words]
        events.append({"type": "transcript.text.done", "text": text, **usage})
        return _EVENTS, [frame(orjson.dumps(event)) for event in events]
    if wanted in _TEXTS:
        until = f"00:{seconds // 60:02d}:{seconds % 60:02d}"
        written = {
            "text": f"{text}\n",
            "srt": f"1\n00:00:00,000 --> {until},000\n{text}\n\n",
            "vtt": f"WEBVTT\n\n00:00:00.000 --> {until}.000\n{text}\n\n",
        }
        return {"content-type": _TEXTS[wanted]}, [written[wanted].encode()]
    more: dict[str, Any] = {}
    if wanted == "verbose_json":
        segment = {"id": 0, "start": 0.0, "end": float(seconds), "text": text}
        more = {
            "task": "transcribe",
            "language": "english",
            "duration": float(seconds),
            "segments": [segment],
        }
    return _JSON, [orjson.dumps({"text": text, **more, **usage})]


def _images(_: Script, given: Mapping[str, Any]) -> tuple[Mapping[str, str], list[bytes]]:
    picture = base64.b64encode(_png(given["prompt"])).decode("ascii")
    image = {"b64_json": picture}
    if given.get("response_format") == "url":
        image = {"url": f"data:image/png;base64,{picture}"}
    return _JSON, [orjson.dumps({"created": 0, "data": [image] * (given.get("n") or 1)})]


def _png(prompt: str) -> bytes:
    """Draw a square in the colour of a text (w3.org/TR/png, 8 bits of three channels)."""
    colour = blake2b(prompt.encode("utf-8", "replace"), digest_size=3).digest()
    rows = (b"\x00" + colour * _SIDE) * _SIDE
    head = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def _form(body: bytes) -> dict[str, Any]:
    """Read a form, whose first line says what separates its parts."""
    if not body.startswith(b"--"):
        raise BadRequestError("The body is not a form.")
    parser = FormParser(body[2 : body.find(b"\r\n")])
    found: dict[str, Any] = {}
    name = ""
    try:
        for event in parser.feed(body):
            if isinstance(event, Part):
                name = event.name
                found[name] = b""
                found |= {} if event.filename is None else {"filename": event.filename}
            elif isinstance(event, bytes):
                found[name] += event
        parser.close()
    except ValueError:
        raise BadRequestError("The form cannot be read.") from None
    return {key: value if key in {"file", "filename"} else value.decode() for key, value in found.items()}


_ANSWERS: Final[Mapping[str, Any]] = {
    "/embeddings": _embeddings,
    "/audio/speech": _speech,
    "/audio/transcriptions": _transcription,
    "/audio/translations": _transcription,
    "/images/generations": _images,
}
PATHS: Final = frozenset(_ANSWERS)
