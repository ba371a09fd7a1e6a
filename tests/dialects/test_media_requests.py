"""Requests for embeddings, speech, images and transcriptions: what is read, and what is refused, by name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.form import Form
from proxy.dialects.openai_media_request import read_embedding, read_images, read_speech, read_transcription
from proxy.words.errors import GatewayError
from proxy.words.usage import DEFAULT_RATIO, Usage


class Kept:
    """A recording in memory."""

    length = 3
    kept = b"abc"

    async def read(self, at: int, count: int) -> bytes:
        return self.kept[at : at + count]


def form(*fields: tuple[str, str], seconds: int = 60) -> Form:
    return Form((("model", "w"), *fields), Kept(), "a.wav", "audio/wav", seconds)


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ("four", 1),
        (["four", "fours"], 3),
        ([1, 2, 3], 3),
        ([[1, 2], [3]], 3),
        (["four", [1, 2]], 3),
    ],
)
def test_every_form_of_input_is_weighed(given: Any, tokens: int) -> None:
    call = read_embedding(orjson.dumps({"model": "e", "input": given}))
    assert call.forecast(DEFAULT_RATIO, 0) == Usage(input=tokens)
    assert call.origin.body["input"] == given


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": [1, "x"]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": {}}, "input"),
        ({"input": None}, "input"),
        ({"input": ["x"] * 2049}, "input"),
        ({"model": None}, "model"),
        ({"model": 1}, "model"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"provider": {"zdr": True}}, "provider.zdr"),
    ],
)
def test_bad_requests_for_embeddings_are_refused(more: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_embedding(orjson.dumps({"model": "e", "input": "x", **more}))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": 3}, "input"),
        ({"input": "x" * 100_001}, "input"),
        ({"voice": None}, "voice"),
        ({"speed": 5}, "speed"),
        ({"speed": "1"}, "speed"),
        ({"stream_format": "ws"}, "stream_format"),
        ({"model": ""}, "model"),
    ],
)
def test_bad_requests_for_speech_are_refused(more: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_speech(orjson.dumps({"model": "t", "input": "x", "voice": "v", **more}))
    assert caught.value.param == param


def test_speech_is_weighed_by_its_characters() -> None:
    call = read_speech(orjson.dumps({"model": "t", "input": "h\u00e9llo" * 3, "voice": "v"}))
    usage = call.forecast(DEFAULT_RATIO, 0)
    assert (usage.characters, usage.input, usage.output_audio) == (15, 5, 21)
    assert (call.stream, call.events) == (True, False)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": 1.5}, "n"),
        ({"size": 4}, "size"),
        ({"stream": "yes"}, "stream"),
        ({"response_format": "gif"}, "response_format"),
    ],
)
def test_bad_requests_for_images_are_refused(more: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_images(orjson.dumps({"model": "i", "prompt": "x", **more}))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("more", "tokens"),
    [
        ({}, 6240),
        ({"n": 2, "size": "1024x1024", "quality": "low"}, 544),
        ({"size": "1024x1536", "quality": "medium"}, 1584),
        ({"size": "auto", "quality": "auto"}, 6240),
        ({"size": "1024x1024", "quality": "hd"}, 4160),
    ],
)
def test_images_are_weighed_by_size_and_quality(more: dict[str, Any], tokens: int) -> None:
    call = read_images(orjson.dumps({"model": "i", "prompt": "x", **more}))
    usage = call.forecast(DEFAULT_RATIO, 0)
    assert (usage.output_image, usage.images) == (tokens, more.get("n", 1))


def test_a_recording_is_weighed_by_its_seconds() -> None:
    call = read_transcription(form(("prompt", "four"), ("x", "1"), ("x", "2")), translate=False)
    usage = call.forecast(DEFAULT_RATIO, 0)
    assert usage == Usage(input=1, input_audio=60 * 17, output=300, seconds=60)
    assert call.fields == (("prompt", "four"), ("x", "1"), ("x", "2"))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ([("response_format", "pdf")], "response_format"),
        ([("stream", "maybe")], "stream"),
        ([("model", "again")], "model"),
        ([("response_format", "json"), ("response_format", "text")], "response_format"),
        ([("url", "https://x/an-hour.mp3")], "url"),
        ([("file_id", "somebody-elses")], "file_id"),
    ],
)
def test_bad_forms_are_refused(fields: list[tuple[str, str]], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_transcription(form(*fields), translate=False)
    assert caught.value.param == param


def test_a_translation_is_never_streamed() -> None:
    assert not read_transcription(form(("stream", "true")), translate=True).stream
