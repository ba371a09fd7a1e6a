"""OpenAI's wire beside chats: what is sent, which answers count as whole, and what they say was used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from proxy.dialects.form import Form
from proxy.dialects.multipart import FormParser, Part, boundary_in
from proxy.dialects.openai_media_request import read_embedding, read_images, read_speech, read_transcription
from proxy.wires.base import Decoder, Outgoing, Reading, Target
from proxy.wires.openai import OpenAIWire
from proxy.wires.passing import EventsDecoder, TextDecoder, WholeDecoder
from proxy.words.call import Call
from proxy.words.chat import Event, Finished, OpaqueDelta, UsageReport
from proxy.words.usage import MAX_TOKENS, Usage
from tests.fuzz.media import Kept

WIRE = OpenAIWire()
DONE = Finished("stop")
DISTRUSTED = UsageReport(Usage(), trusted=False)
FORM = Form((("model", "mine"), ("language", "en")), Kept(b"RIFF"), "a.wav", "audio/wav", 3)


def body(**more: Any) -> bytes:
    return orjson.dumps({"model": "mine", "input": "hello", "prompt": "a cat", "voice": "v", **more})


def hears(form: Form = FORM, *, translate: bool = False, **fields: str) -> Call:
    return read_transcription(replace(form, fields=(*form.fields, *fields.items())), translate=translate)


EMBEDDINGS = read_embedding(body())
SPEECH = read_speech(body())
SPOKEN = read_speech(body(stream_format="sse"))
IMAGES = read_images(body(n=2))
DRAWN = read_images(body(n=2, stream=True))
HEARD = hears()
TOLD = hears(stream="true")


def sent(call: Call) -> Outgoing:
    return WIRE.encode(call, Target("theirs"))


def reading(call: Call) -> Reading:
    found = sent(call).reading
    assert found is not None
    return found


def read(decoder: Decoder, pieces: Iterable[bytes]) -> list[Event]:
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return [event for frame in [*frames, *decoder.close()] for event in frame.events]


def events(*payloads: Any) -> bytes:
    return b"".join(b"data: %b\n\n" % orjson.dumps(payload) for payload in payloads)


@pytest.mark.parametrize(
    ("call", "path", "accept"),
    [
        (EMBEDDINGS, "/embeddings", "application/json"),
        (SPEECH, "/audio/speech", "audio/*, application/octet-stream"),
        (SPOKEN, "/audio/speech", "text/event-stream"),
        (IMAGES, "/images/generations", "application/json"),
        (DRAWN, "/images/generations", "text/event-stream"),
    ],
)
def test_a_request_goes_on_under_the_providers_name_of_the_model(call: Call, path: str, accept: str) -> None:
    outgoing = sent(call)
    assert outgoing.path == path
    assert orjson.loads(outgoing.body) == {**call.origin.body, "model": "theirs"}  # type: ignore[attr-defined]
    assert outgoing.headers == (("content-type", "application/json"), ("accept", accept))


@pytest.mark.parametrize(
    ("call", "path", "accept"),
    [
        (HEARD, "/audio/transcriptions", "application/json"),
        (hears(translate=True), "/audio/translations", "application/json"),
        (TOLD, "/audio/transcriptions", "text/event-stream"),
        *(
            (
                hears(response_format=name),
                "/audio/transcriptions",
                "text/*, application/x-subrip, application/json",
            )
            for name in ("text", "srt", "vtt")
        ),
    ],
)
def test_a_recording_goes_on_as_a_form(call: Call, path: str, accept: str) -> None:
    outgoing = sent(call)
    headers = dict(outgoing.headers)
    assert (outgoing.path, headers["accept"]) == (path, accept)
    boundary = boundary_in(headers["content-type"])
    assert boundary is not None
    parser = FormParser(boundary)
    found = parser.feed(outgoing.body)
    parser.close()
    parts = [each for each in found if isinstance(each, Part)]
    assert [each.name for each in parts][:2] == ["model", "language"]
    assert b"theirs" in found
    assert (parts[-1].name, parts[-1].filename, parts[-1].headers["content-type"]) == (
        "file",
        "a.wav",
        "audio/wav",
    )
    assert b"RIFF" in found


@pytest.mark.parametrize(
    ("filename", "kind", "line"),
    [
        ('a".wav', "audio/wav", b'filename="a%22.wav"\r\ncontent-type: audio/wav\r\n'),
        ("a\r\nX: y", "audio/wav", b'filename="a%0D%0AX: y"\r\n'),
        ("a\\", "audio/wav", b'filename="a%5C"\r\n'),
        ("a", "audio/wav\r\nX: y", b'filename="a"\r\ncontent-type: application/octet-stream\r\n'),
        ("a", "", b'filename="a"\r\ncontent-type: application/octet-stream\r\n'),
    ],
)
def test_names_stay_within_their_lines(filename: str, kind: str, line: bytes) -> None:
    assert line in sent(hears(replace(FORM, filename=filename, content_type=kind))).body


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "bad_content"),
    "cut short": (b'{"text": "he', "bad_content"),
    "a page": (b"<html>", "bad_content"),
    "a list": (b"[]", "bad_content"),
    "null": (b"null", "bad_content"),
    "an error": (b'{"error": {"message": "no", "code": 500}}', "failed"),
    "words of an error": (b'{"error": "no"}', "failed"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("call", [EMBEDDINGS, IMAGES, HEARD], ids=["embeddings", "images", "transcription"])
def test_what_is_no_object_is_no_answer(call: Call, name: str) -> None:
    answer, trouble = BAD[name]
    decoder = reading(call).decoder
    assert read(decoder, [answer]) == []
    assert not decoder.complete
    assert decoder.failure is not None
    assert decoder.failure.trouble == trouble


@pytest.mark.parametrize(
    ("call", "answer"),
    [(EMBEDDINGS, {}), (EMBEDDINGS, {"data": {}}), (IMAGES, {"created": 1})],
)
def test_an_object_that_lacks_its_answer_is_none(call: Call, answer: Any) -> None:
    decoder = reading(call).decoder
    assert read(decoder, [orjson.dumps(answer)]) == []
    assert decoder.failure is not None
    assert decoder.failure.trouble == "bad_content"


def tokens(told: Any, made: Any, **more: Any) -> dict[str, Any]:
    return {"input_tokens": told, "output_tokens": made, **more}


def says(usage: Any) -> dict[str, Any]:
    return {"text": "four", "data": [{}, {}], "usage": usage}


LAST = {"type": "speech.audio.done"}
HEARING = Usage(input_audio=3 * 17, seconds=3)
FIGURES: list[tuple[Call, dict[str, Any], UsageReport | None]] = [
    (EMBEDDINGS, {"data": []}, None),
    (EMBEDDINGS, says([7]), None),
    (EMBEDDINGS, says({"prompt_tokens": 7}), UsageReport(Usage(input=7))),
    *(
        (EMBEDDINGS, says({"prompt_tokens": odd}), DISTRUSTED)
        for odd in (-1, 1.5, "7", True, None, MAX_TOKENS + 1)
    ),
    (SPOKEN, LAST, None),
    (SPOKEN, {**LAST, "usage": tokens(2, 9)}, UsageReport(Usage(input=2, output_audio=9, characters=5))),
    (SPOKEN, {**LAST, "usage": tokens(2, None)}, DISTRUSTED),
    (SPOKEN, {**LAST, "usage": tokens(-2, 9)}, DISTRUSTED),
    (HEARD, {"text": "four"}, None),
    (HEARD, says({"type": "duration", "seconds": 2.1}), UsageReport(HEARING._replace(output=1))),
    (HEARD, {"text": 4, "duration": "2.5"}, UsageReport(HEARING)),
    *((HEARD, {"text": "", "duration": odd}, DISTRUSTED) for odd in (-1, "x", True, [1], "nan", "inf", 1e9)),
    (HEARD, says({"type": "tokens", **tokens(9, 4)}), UsageReport(Usage(input_audio=9, output=4, seconds=3))),
    (
        HEARD,
        says(tokens(9, 4, input_tokens_details={"audio_tokens": 5})),
        UsageReport(Usage(input=4, input_audio=5, output=4, seconds=3)),
    ),
    (HEARD, says(tokens(9, 4, input_token_details={"audio_tokens": 10})), DISTRUSTED),
    (HEARD, says(tokens(9, 4, input_token_details={"audio_tokens": "5"})), DISTRUSTED),
    (HEARD, says(tokens(None, 4)), DISTRUSTED),
    (IMAGES, says(None), UsageReport(IMAGES.made(2, 4000))),
    (IMAGES, {"data": [{}] * 9}, UsageReport(IMAGES.made(2, 4000))),
    (IMAGES, {"b64_json": "AAAA"}, UsageReport(IMAGES.made(1, 4000))),
    (
        IMAGES,
        says(
            tokens(9, 7, input_tokens_details={"image_tokens": 4}, output_tokens_details={"text_tokens": 2})
        ),
        UsageReport(Usage(input=5, input_image=4, output=2, output_image=5, images=2)),
    ),
    (
        IMAGES,
        says(tokens(9, 7, input_tokens_details=[4])),
        UsageReport(Usage(input=9, output_image=7, images=2)),
    ),
    (IMAGES, says(tokens(3, 7, input_tokens_details={"image_tokens": 4})), DISTRUSTED),
    (IMAGES, says(tokens(9, 1, output_tokens_details={"text_tokens": 2})), DISTRUSTED),
    (IMAGES, says(tokens(9, -1)), DISTRUSTED),
]


@pytest.mark.parametrize(("call", "answer", "report"), FIGURES)
def test_what_an_answer_says_was_used(call: Call, answer: dict[str, Any], report: UsageReport | None) -> None:
    decoder = reading(call).decoder
    found = read(decoder, [events(answer) if call is SPOKEN else orjson.dumps(answer)])
    assert [event for event in found if isinstance(event, UsageReport)] == ([report] if report else [])
    assert found[-1] == DONE
    assert decoder.complete


@pytest.mark.parametrize("name", ["text", "srt", "vtt"])
def test_texts_are_whatever_came(name: str) -> None:
    decoder = reading(hears(response_format=name)).decoder
    assert decoder.feed(b"1\n00:00 --> ") == []
    assert [frame.payload for frame in decoder.close()] == [b"1\n00:00 --> "]
    assert decoder.complete


@pytest.mark.parametrize(
    "decoder", [TextDecoder(lambda _: None, 8), WholeDecoder(lambda _: None, 8)], ids=["text", "object"]
)
def test_an_answer_that_is_too_large_is_not_kept(decoder: TextDecoder | WholeDecoder) -> None:
    found = []
    for piece in (b"12345678", b"9"):
        decoder.feed(piece)
        found.append(decoder.failure.trouble if decoder.failure else None)
    assert found == [None, "protocol"]
    assert decoder.feed(b"1") == decoder.close() == []
    assert not decoder.complete


def test_sound_is_counted_however_it_is_cut() -> None:
    sizes = []
    for piece in (1, 6, 16_000, 48_000):
        decoder = reading(SPEECH).decoder
        found = read(decoder, [b"x" * piece] * (48_000 // piece))
        assert decoder.complete
        sizes.append(sum(event.size for event in found if isinstance(event, OpaqueDelta)))
    assert sizes == [3 * 21 * 4] * 4, "three seconds of MP3"
    silent = reading(SPEECH).decoder
    assert silent.close() == []
    assert silent.failure is not None
    assert silent.failure.trouble == "bad_content"


PIECE = {"type": "image_generation.partial_image", "b64_json": "AAAA"}
IMAGE = {"type": "image_generation.completed", "b64_json": "AAAA"}
DELTA = {"type": "transcript.text.delta", "delta": "hel"}
TEXT = {"type": "transcript.text.done", "text": "hel"}
STREAMS: list[tuple[Call, list[Any], bool, str | None]] = [
    (DRAWN, [PIECE, IMAGE, PIECE, IMAGE], True, None),
    (DRAWN, [IMAGE, IMAGE, "ignored"], True, None),
    (DRAWN, [PIECE, IMAGE], False, None),
    (DRAWN, [PIECE, {"type": IMAGE["type"]}], False, "bad_content"),
    (SPOKEN, [{"type": "speech.audio.delta", "audio": "AAAA"}, LAST], True, None),
    (SPOKEN, [{"type": "speech.audio.delta", "audio": "AAAA"}], False, None),
    (TOLD, [DELTA, TEXT], True, None),
    (TOLD, [], False, None),
    (TOLD, [DELTA, {"delta": "lo"}], False, "bad_content"),
    (TOLD, [DELTA, {"type": 7}], False, "bad_content"),
    (TOLD, [DELTA, [TEXT]], False, "bad_content"),
    (TOLD, [DELTA, {"type": "error", "error": {"message": "no"}}], False, "failed"),
]


@pytest.mark.parametrize(("call", "payloads", "complete", "trouble"), STREAMS)
def test_a_stream_ends_with_its_last_event(
    call: Call, payloads: list[Any], complete: bool, trouble: str | None
) -> None:
    data = events(*payloads)
    decoder = reading(call).decoder
    found = read(decoder, [data[at : at + 5] for at in range(0, len(data), 5)])
    assert decoder.complete is complete
    assert (found[-1:] == [DONE]) is complete
    assert (decoder.failure.trouble if decoder.failure else None) == trouble


@pytest.mark.parametrize(
    ("data", "trouble"),
    [
        (b"data: [DONE]\n\n", "bad_content"),
        (b"data: <html>\n\n", "bad_content"),
        (b'data: {"type": "transcript.te\n\n', "bad_content"),
        (b"data: " + b"x" * 100 + b"\n\n", "protocol"),
    ],
    ids=["an end before the last event", "a page", "half an event", "a line too long"],
)
def test_a_stream_that_breaks(data: bytes, trouble: str) -> None:
    decoder = EventsDecoder(lambda _: None, 1, 64)
    assert len(read(decoder, [events(DELTA), data, events(TEXT)])) <= 1
    assert decoder.failure is not None
    assert decoder.failure.trouble == trouble
    assert not decoder.complete
