"""What OpenAI's wire serves beside chats: embeddings, speech, transcriptions and images.

Sources: platform.openai.com/docs/api-reference/embeddings, /audio, /images. A request is sent on as it came,
under the provider's name of the model; its answer is one object, a stream of events, or bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import orjson

from proxy.words.call import Call
from proxy.words.chat import UsageReport
from proxy.words.media import EmbeddingRequest, ImageRequest, MediaCall, SpeechRequest, TranscriptionRequest

from .base import Decoder, Outgoing, Reading, Target
from .multipart import form
from .openai_media_usage import embedding_report, image_report, speech_report, transcription_report
from .passing import BytesDecoder, EventsDecoder, TextDecoder, WholeDecoder

MAX_WHOLE: Final = 64 * 1024 * 1024
"""Bytes of an answer that comes whole: ten images of the largest size, or 2048 vectors of 3072 numbers."""
_OBJECT: Final = ("application/json",)
_EVENTS: Final = ("text/event-stream",)
_SOUND: Final = ("audio/", "application/octet-stream")
_TEXTS: Final = ("text/", "application/x-subrip", "application/json")
_OBJECTS: Final = frozenset({"json", "verbose_json", "diarized_json"})
_PACE: Final[Mapping[str, int]] = {"opus": 6_000, "aac": 12_000, "mp3": 16_000, "flac": 32_000}
_PCM_PACE: Final = 48_000
"""Bytes of a second of speech by format, about; 24 kHz of 16 bits where it is not compressed
(platform.openai.com/docs/guides/text-to-speech, "Supported output formats")."""

Writer = Callable[[MediaCall, Target], Outgoing]


def write_media(call: Call, target: Target) -> Outgoing | None:
    """Write a request of any kind but a chat; None where there is no such kind."""
    writer = _WRITERS.get(type(call))
    return writer(call, target) if writer is not None and isinstance(call, MediaCall) else None


def _embeddings(call: MediaCall, target: Target) -> Outgoing:
    return _json("/embeddings", call, target, _whole(call, embedding_report))


def _speech(call: MediaCall, target: Target) -> Outgoing:
    assert isinstance(call, SpeechRequest)  # noqa: S101 - `_WRITERS` says so
    if call.events:
        reading = _events(call, speech_report)
    else:
        reading = Reading(BytesDecoder(_PACE.get(call.format, _PCM_PACE)), _SOUND)
    return _json("/audio/speech", call, target, reading)


def _images(call: MediaCall, target: Target) -> Outgoing:
    assert isinstance(call, ImageRequest)  # noqa: S101
    reading = _events(call, image_report, call.n) if call.events else _whole(call, image_report)
    return _json("/images/generations", call, target, reading)


def _transcription(call: MediaCall, target: Target) -> Outgoing:
    assert isinstance(call, TranscriptionRequest)  # noqa: S101
    if call.events:
        reading = _events(call, transcription_report)
    elif call.format in _OBJECTS:
        reading = _whole(call, transcription_report)
    else:
        reading = Reading(TextDecoder(partial(transcription_report, call), MAX_WHOLE), _TEXTS, MAX_WHOLE)
    content_type, parts = form((("model", target.model), *call.fields), call)
    headers = (("content-type", content_type), ("accept", _accepted(reading)))
    path = "/audio/translations" if call.translate else "/audio/transcriptions"
    if call.upload.kept is not None:
        return Outgoing(path, b"".join(part for part in parts if isinstance(part, bytes)), headers, reading)
    return Outgoing(path, b"", headers, reading, parts)


def _json(path: str, call: MediaCall, target: Target, reading: Reading) -> Outgoing:
    body = orjson.dumps({**call.origin.body, "model": target.model})
    headers = (("content-type", "application/json"), ("accept", _accepted(reading)))
    return Outgoing(path, body, headers, reading)


def _accepted(reading: Reading) -> str:
    return ", ".join(f"{each}*" if each.endswith("/") else each for each in reading.accept)


def _whole(call: MediaCall, report: Callable[..., UsageReport | None]) -> Reading:
    decoder: Decoder = WholeDecoder(partial(report, call), MAX_WHOLE)
    return Reading(decoder, _OBJECT, MAX_WHOLE)


def _events(call: MediaCall, report: Callable[..., UsageReport | None], pieces: int = 1) -> Reading:
    return Reading(EventsDecoder(partial(report, call), pieces, MAX_WHOLE), _EVENTS, MAX_WHOLE)


_WRITERS: Final[Mapping[type, Writer]] = {
    EmbeddingRequest: _embeddings,
    SpeechRequest: _speech,
    TranscriptionRequest: _transcription,
    ImageRequest: _images,
}
