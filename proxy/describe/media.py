"""Embeddings, speech, transcriptions and images, as OpenAI has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .common import STREAM
from .operation import Operation
from .schema import Schema, anything, array, const, either, integer, number, obj, one_of, ref, string

_MODEL: Final = string("A model that is made for this")
_RECORDING: Final = {
    "model": _MODEL,
    "file": {"type": "string", "contentMediaType": "application/octet-stream", "description": "A recording"},
    "prompt": string("How it is written"),
    "response_format": one_of("json", "text", "srt", "verbose_json", "vtt", "diarized_json"),
    "temperature": number(minimum=0, maximum=1),
}
SCHEMAS: Final[Mapping[str, Schema]] = {
    "EmbeddingRequest": obj(
        "model input",
        model=_MODEL,
        input=either(
            string(), array(either(string(), integer(), array(integer()))), about="One text or several"
        ),
        encoding_format=one_of("float", "base64"),
        dimensions=integer(minimum=1),
        user=string(),
    ),
    "Embeddings": obj(
        "object data model usage",
        object=const("list"),
        data=array(
            obj(
                "object index embedding",
                object=const("embedding"),
                index=integer(),
                embedding=either(array(number()), string("base64")),
            )
        ),
        model=string(),
        usage=obj(
            "prompt_tokens total_tokens", prompt_tokens=integer(), total_tokens=integer(), cost=number()
        ),
    ),
    "SpeechRequest": obj(
        "model input voice",
        model=_MODEL,
        input=string("What is said"),
        voice=either(string(), obj(id=string())),
        instructions=string("How it is said"),
        response_format=string("`mp3`, `opus`, `aac`, `flac`, `wav`, `pcm`"),
        speed=number(minimum=0.25, maximum=4),
        stream_format=one_of("audio", "sse"),
    ),
    "SpeechEvent": obj(
        "type", type=string("`speech.audio.delta`, `speech.audio.done`"), audio=string("base64")
    ),
    "TranscriptionRequest": obj(
        "model file", **_RECORDING, language=string("Of the recording"), stream=STREAM
    ),
    "TranslationRequest": obj("model file", **_RECORDING),
    "Transcription": obj("text", text=string(), usage=anything("Tokens or seconds, and `cost`")),
    "TranscriptEvent": obj("type", type=string("`transcript.text.delta`, `transcript.text.done`")),
    "ImageRequest": obj(
        "prompt",
        model=_MODEL,
        prompt=string(),
        n=integer(minimum=1, maximum=10),
        size=string(),
        quality=string(),
        style=string(),
        response_format=one_of("url", "b64_json"),
        output_format=string(),
        background=string(),
    ),
    "Images": obj(
        "created data",
        created=integer(),
        data=array(obj(url=string(), b64_json=string(), revised_prompt=string())),
        usage=anything("Tokens, where images are priced by them, and `cost`"),
    ),
}
_HEARD: Final = "A form, with its parts in any order. Billed by the second of sound, or by tokens, as the model is priced."
OPERATIONS: Final = (
    Operation(
        "POST",
        "embeddings",
        "createEmbedding",
        "Embeddings, audio, images",
        "Turn texts into vectors",
        "Several texts at once, or tokens.",
        request=ref("EmbeddingRequest"),
        answer=ref("Embeddings"),
        example={"model": "sim/embed", "input": ["a mill", "a race"]},
    ),
    Operation(
        "POST",
        "audio/speech",
        "createSpeech",
        "Embeddings, audio, images",
        "Say a text",
        "The sound comes as it is made. Billed by the character, or by tokens, as the model is priced.",
        request=ref("SpeechRequest"),
        media_type="audio/*",
        events=ref("SpeechEvent"),
        streamed={"stream_format": "sse"},
        done=False,
        example={"model": "sim/speech", "input": "Hello, Headrace!", "voice": "alloy"},
    ),
    Operation(
        "POST",
        "audio/transcriptions",
        "createTranscription",
        "Embeddings, audio, images",
        "Write down a recording",
        _HEARD,
        request=ref("TranscriptionRequest"),
        form=True,
        answer=ref("Transcription"),
        also=("text/plain",),
        events=ref("TranscriptEvent"),
        streamed={"stream": "true"},
        done=False,
        example={"model": "sim/transcribe"},
    ),
    Operation(
        "POST",
        "audio/translations",
        "createTranslation",
        "Embeddings, audio, images",
        "Write down a recording in English",
        _HEARD,
        request=ref("TranslationRequest"),
        form=True,
        answer=ref("Transcription"),
        also=("text/plain",),
        example={"model": "sim/transcribe"},
    ),
    Operation(
        "POST",
        "images/generations",
        "createImage",
        "Embeddings, audio, images",
        "Make images",
        "Billed by the image, or by tokens, as the model is priced.",
        request=ref("ImageRequest"),
        answer=ref("Images"),
        example={"model": "sim/image", "prompt": "a mill at a river"},
    ),
)
