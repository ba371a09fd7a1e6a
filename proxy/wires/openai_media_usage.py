"""What OpenAI says was used by calls that are no chats.

Sources: platform.openai.com/docs/api-reference/embeddings/object, /audio/json-object,
/audio/transcript-text-done-event, /images/object. Images count what they are made of under `input_tokens`,
recordings are counted in tokens or, where they are sold so, in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from proxy.words.chat import UsageReport
from proxy.words.media import EmbeddingRequest, ImageRequest, SpeechRequest, TranscriptionRequest
from proxy.words.usage import DEFAULT_RATIO, MAX_TOKENS, Usage, count, text_size

MAX_SECONDS: Final = 7 * 24 * 3600
_DISTRUSTED: Final = UsageReport(Usage(), trusted=False)


def embedding_report(_call: EmbeddingRequest, body: Mapping[str, Any]) -> UsageReport | None:
    """Read the usage of an answer; its `data` must be there, or it is none (KeyError)."""
    if not isinstance(body["data"], list):
        raise TypeError("no list of vectors")
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    tokens = _figure(usage.get("prompt_tokens"))
    return _DISTRUSTED if tokens is None else UsageReport(Usage(input=tokens))


def speech_report(call: SpeechRequest, body: Mapping[str, Any]) -> UsageReport | None:
    """Read the usage of the last event."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    told, sound = _figure(usage.get("input_tokens")), _figure(usage.get("output_tokens"))
    if told is None or sound is None:
        return _DISTRUSTED
    return UsageReport(Usage(input=told, output_audio=sound, characters=call.characters))


def transcription_report(call: TranscriptionRequest, body: Mapping[str, Any]) -> UsageReport | None:
    """Read the usage, or the length that some formats tell, of an answer or of its last event.

    Where neither is there the text tells whether the recording can be as short as its container says.
    """
    usage, text = body.get("usage"), body.get("text")
    size = text_size(text) if isinstance(text, str) else 0
    if isinstance(usage, dict) and usage.get("type") != "duration":
        return _tokens_heard(call, usage, size)
    found = usage.get("seconds") if isinstance(usage, dict) else body.get("duration")
    least = call.at_least(size)
    if found is None and least == call.seconds:
        return None
    seconds = least if found is None else _seconds(found)
    if seconds is None:
        return _DISTRUSTED
    written = count(size, DEFAULT_RATIO)
    return UsageReport(call.heard(seconds, DEFAULT_RATIO)._replace(output=written))


def image_report(call: ImageRequest, body: Mapping[str, Any]) -> UsageReport:
    """Count the images of an answer, or of an event, and read what they took."""
    data = body.get("data")
    images = min(len(data), call.n) if isinstance(data, list) else 1
    if "data" not in body and "b64_json" not in body:
        raise KeyError("data")
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return UsageReport(call.made(images, DEFAULT_RATIO))
    inside = _details(usage, "input_tokens_details")
    outside = _details(usage, "output_tokens_details")
    told, made = _figure(usage.get("input_tokens")), _figure(usage.get("output_tokens"))
    seen = _figure(inside.get("image_tokens", 0))
    written = _figure(outside.get("text_tokens", 0))
    if told is None or made is None or seen is None or written is None or seen > told or written > made:
        return _DISTRUSTED
    return UsageReport(
        Usage(input=told - seen, input_image=seen, output=written, output_image=made - written, images=images)
    )


def _tokens_heard(call: TranscriptionRequest, usage: Mapping[str, Any], size: int) -> UsageReport:
    # OpenAI writes `input_token_details` here, and `input_tokens_details` elsewhere.
    inside = _details(usage, "input_token_details") or _details(usage, "input_tokens_details")
    told, written = _figure(usage.get("input_tokens")), _figure(usage.get("output_tokens"))
    sound = _figure(inside.get("audio_tokens", told))
    if told is None or written is None or sound is None or sound > told:
        return _DISTRUSTED
    heard = Usage(input=told - sound, input_audio=sound, output=written, seconds=call.at_least(size))
    return UsageReport(heard)


def _details(usage: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = usage.get(name)
    return found if isinstance(found, dict) else {}


def _figure(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None


def _seconds(value: object) -> int | None:
    """Read a length, which some servers write as text, rounded up."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) and value is not True else math.nan
    except ValueError:
        return None
    return math.ceil(seconds) if 0 <= seconds <= MAX_SECONDS else None
