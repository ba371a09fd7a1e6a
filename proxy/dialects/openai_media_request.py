"""Reading requests for embeddings, speech, transcriptions and images, as OpenAI writes them.

Source: platform.openai.com/docs/api-reference/embeddings/create, /audio/createSpeech,
/audio/createTranscription, /audio/createTranslation, /images/create. Fields unknown here are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.words.chat import Origin
from proxy.words.media import EmbeddingRequest, ImageRequest, SpeechRequest, TranscriptionRequest
from proxy.words.usage import text_size

from .base import parse_json
from .fields import Body, array, boolean, integer, number, refuse, string, unsupported
from .form import Form
from .wishes import take_wishes

LANGUAGE: Final = "openai"
MAX_INPUTS: Final = 2048
MAX_SPOKEN: Final = 100_000
"""Characters; providers have lower limits, and say so."""
MAX_IMAGES: Final = 10
_MAX_TOKEN: Final = 2**31
_MAX_WORD: Final = 256
_ELSEWHERE: Final = ("url", "file_url", "file_id", "audio_url", "cloud_storage_url", "source_url")
"""Fields by which some providers take a recording that is not in the form: what is billed is the one that is,
and what the operator's account holds is not every client's (console.groq.com/docs/speech-to-text;
docs.mistral.ai, "Audio transcription"; elevenlabs.io/docs, "Create transcript")."""
_FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")


def read_embedding(body: bytes) -> EmbeddingRequest:
    """Read a request for embeddings. Raises GatewayError naming the field at fault."""
    given = parse_json(body)
    wishes = take_wishes(given)
    encoding = string(given, "encoding_format", _MAX_WORD) or "float"
    if encoding not in {"float", "base64"}:
        refuse("encoding_format", "must be 'float' or 'base64'")
    inputs = _inputs(given)
    texts = [each for each in inputs if isinstance(each, str)]
    return EmbeddingRequest(
        model=_model(given),
        origin=Origin(LANGUAGE, given),
        wishes=wishes,
        inputs=inputs,
        text_bytes=sum(map(text_size, texts)),
        tokens=sum(len(each) for each in inputs if not isinstance(each, str)),
        encoding="base64" if encoding == "base64" else "float",
        dimensions=integer(given, "dimensions", 1, 65_536),
    )


def read_speech(body: bytes) -> SpeechRequest:
    """Read a request for speech. Raises as `read_embedding`."""
    given = parse_json(body)
    wishes = take_wishes(given)
    text = string(given, "input", MAX_SPOKEN)
    if not text:
        refuse("input", "must be a text to speak")
    voice = given.get("voice")
    if not (isinstance(voice, str) and voice) and not isinstance(voice, dict):
        refuse("voice", "must be the name of a voice")
    kind = string(given, "stream_format", _MAX_WORD) or "audio"
    if kind not in {"audio", "sse"}:
        refuse("stream_format", "must be 'audio' or 'sse'")
    number(given, "speed", 0.25, 4.0)
    told = string(given, "instructions", MAX_SPOKEN) or ""
    return SpeechRequest(
        model=_model(given),
        origin=Origin(LANGUAGE, given),
        stream=True,
        events=kind == "sse",
        wishes=wishes,
        characters=len(text),
        told_bytes=text_size(text) + text_size(told),
        format=string(given, "response_format", _MAX_WORD) or "mp3",
    )


def read_images(body: bytes) -> ImageRequest:
    """Read a request for images. Raises as `read_embedding`."""
    given = parse_json(body)
    wishes = take_wishes(given)
    prompt = string(given, "prompt", MAX_SPOKEN)
    if not prompt:
        refuse("prompt", "must describe the image")
    stream = boolean(given, "stream") or False
    response_format = string(given, "response_format", _MAX_WORD)
    if response_format not in {None, "url", "b64_json"}:
        refuse("response_format", "must be 'url' or 'b64_json'")
    return ImageRequest(
        model=_model(given),
        origin=Origin(LANGUAGE, given),
        stream=stream,
        events=stream,
        wishes=wishes,
        prompt_bytes=text_size(prompt),
        n=integer(given, "n", 1, MAX_IMAGES) or 1,
        size=string(given, "size", _MAX_WORD),
        quality=string(given, "quality", _MAX_WORD),
    )


def read_transcription(form: Form, *, translate: bool) -> TranscriptionRequest:
    """Read a form with a recording in it. Raises as `read_embedding`."""
    fields = form.fields
    wanted = form.one("response_format") or "json"
    if wanted not in _FORMATS:
        refuse("response_format", f"must be one of {', '.join(_FORMATS)}")
    for name, value in fields:
        if value and name in _ELSEWHERE:
            raise unsupported(name, "cannot be used: send the recording itself as 'file'")
    stream = _flag(form, "stream") and not translate
    model = form.one("model")
    if not model:
        refuse("model", "must name a model")
    return TranscriptionRequest(
        model=model,
        origin=Origin(LANGUAGE, {}),
        stream=stream,
        events=stream,
        fields=tuple([(name, value) for name, value in fields if name != "model"]),
        upload=form.upload,
        filename=form.filename,
        content_type=form.content_type,
        seconds=form.seconds,
        translate=translate,
        prompt_bytes=text_size(form.one("prompt") or ""),
        format=wanted,
    )


def _model(given: Mapping[str, Any]) -> str:
    model = string(given, "model", 200)
    if not model:
        refuse("model", "must name a model")
    return model


def _inputs(given: Body) -> tuple[str | tuple[int, ...], ...]:
    """Read a text, a list of texts, a list of tokens, or a list of such lists; none may be empty."""
    found = given.get("input")
    if isinstance(found, str):
        return (_text(found),)
    listed = array(given, "input", MAX_INPUTS if not _is_tokens(found) else _MAX_TOKEN)
    if not listed:
        refuse("input", "must be a text, a list of texts, or lists of tokens")
    if _is_tokens(listed):
        return (tuple(listed),)
    return tuple([_text(each) if isinstance(each, str) else _tokens(each) for each in listed])


def _is_tokens(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(type(each) is int and 0 <= each < _MAX_TOKEN for each in value)
    )


def _text(text: str) -> str:
    if not text:
        refuse("input", "must not hold an empty text")
    return text


def _tokens(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not _is_tokens(value):
        refuse("input", "must be a text, a list of texts, or lists of tokens")
    return tuple(value)


def _flag(form: Form, name: str) -> bool:
    value = (form.one(name) or "false").lower()
    if value not in {"true", "false", "1", "0"}:
        refuse(name, "must be true or false")
    return value in {"true", "1"}
