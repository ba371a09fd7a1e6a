"""Embeddings, speech, transcriptions and images through the whole gateway: sent, relayed and billed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.bank.verify import verify
from proxy.settings import Deployment, Model, Settings
from proxy.words.money import Price, Rates
from tests.fakes.client import Answer, Client
from tests.fakes.recordings import FORM, form, mp3, wav
from tests.fakes.script import STALL, Script, broken, error, whole
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG
from tests.tls.h2client import H2Client

from .harness import Door, Running, provider, running, settings_for

MILLION = 1_000_000
PRICES = {
    "embed": Price(Rates(input=1000 * MILLION)),
    "tts": Price(Rates(characters=1000 * MILLION)),
    "tts-tokens": Price(Rates(input=1000 * MILLION, output=2000 * MILLION, output_audio=2000 * MILLION)),
    "whisper": Price(Rates(seconds=1000 * MILLION)),
    "transcribe-tokens": Price(
        Rates(input=1000 * MILLION, input_audio=3000 * MILLION, output=2000 * MILLION)
    ),
    "dall-e": Price(Rates(images=1000 * MILLION)),
    "gpt-image": Price(Rates(input=1000 * MILLION, output=2000 * MILLION, output_image=2000 * MILLION)),
}
"""A thousand nano-USD for one of anything that goes in, or is sold by the piece; two for what comes out."""
CREDIT = 1_000_000_000
UPLOAD = {"Content-Type": FORM["content-type"]}
VECTORS = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.5]}],
    "model": "up-model",
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}
SPEECH = {"model": "tts", "input": "hello", "voice": "alloy"}
STREAMED = {**SPEECH, "stream": True}
"""The fake makes its answer while it sends it to those alone who say so."""
SOUND = bytes(range(256)) * 400
both = pytest.mark.parametrize("door", ["http1", "asgi"])


def settings_at(directory: Path, *upstreams: FaultyUpstream, **more: Any) -> Settings:
    providers = [provider(f"up{n}", each.base_url, **more) for n, each in enumerate(upstreams)]
    plain = settings_for(directory, providers)
    models = [
        Model(name, tuple(Deployment(each, name) for each in providers), price=price)
        for name, price in PRICES.items()
    ]
    return replace(plain, models=tuple(models))


class Stage:
    """A gateway with a key, and a way to ask it."""

    def __init__(self, gateway: Running, key: str) -> None:
        self.gateway = gateway
        self.key = key

    async def ask(self, path: str, body: Any, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with Client(self.gateway.url, self.key) as client:
            await client.request(path, body, headers=named)
            return await client.whole()

    async def hear(self, path: str, fields: list[tuple[str, str]], sound: bytes) -> Answer:
        return await self.ask(path, form(fields, sound), **UPLOAD)


@asynccontextmanager
async def stage(settings: Settings, door: Door = "http1") -> AsyncIterator[Stage]:
    """Run a gateway, at whose end nothing is held and every invariant holds."""
    with trio.fail_after(LONG):
        async with running(settings, door=door) as gateway:
            yield Stage(gateway, await gateway.key())
            if gateway.receipts:
                await gateway.finished(len(gateway.receipts))
            assert await gateway.open_holds() == 0
            posted, held = await gateway.balance()
            assert (posted, held) == (CREDIT - sum(receipt.cost for receipt in gateway.receipts), 0)
            report = await verify(gateway.bank.store)
            assert report.ok, report


@both
async def test_embeddings_pass_and_are_billed_as_reported(
    tmp_path: Path, upstream: FaultyUpstream, door: Door
) -> None:
    upstream.default = whole(VECTORS)
    async with stage(settings_at(tmp_path, upstream), door) as place:
        answer = await place.ask("/embeddings", {"model": "embed", "input": ["a", "b"], "user": "u", "x": 1})
        assert answer.status == 200
        assert answer.json["data"] == VECTORS["data"]
        assert answer.json["usage"] == {"prompt_tokens": 7, "total_tokens": 7, "cost": 0.007}
        assert answer.headers["x-gateway-cost"] == "0.007"
        assert answer.headers["x-gateway-provider"] == "up0"
        assert answer.headers["x-request-id"]
        assert upstream.requests[0].path == "/v1/embeddings"
        assert upstream.requests[0].json == {"model": "embed", "input": ["a", "b"], "user": "u", "x": 1}
        receipt = await place.gateway.finished()
        assert (receipt.cost, receipt.usage.input, receipt.estimated) == (7000, 7, False)


async def test_embeddings_without_figures_are_counted(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = whole({name: value for name, value in VECTORS.items() if name != "usage"})
    async with stage(settings_at(tmp_path, upstream)) as place:
        answer = await place.ask("/embeddings", {"model": "embed", "input": "four and more"})
        assert answer.json["usage"] == {
            "prompt_tokens": 4,
            "total_tokens": 4,
            "cost": 0.004,
            "estimated": True,
        }


@both
async def test_speech_is_passed_as_it_comes_and_billed_by_the_character(
    tmp_path: Path, upstream: FaultyUpstream, door: Door
) -> None:
    more = trio.Event()
    upstream.default = Script(
        role=False,
        tokens=0,
        usage=None,
        done=0,
        finish=None,
        content_type="audio/mpeg",
        at=((0, SOUND[:1000]), (0, more), (0, SOUND[1000:]), (0, "end")),
    )
    async with stage(settings_at(tmp_path, upstream), door) as place:
        async with Client(place.gateway.url, place.key) as client:
            await client.request("/audio/speech", STREAMED)
            head = await client.head()
            assert (head.status, head.headers["content-type"]) == (200, "audio/mpeg")
            while len(head.body) < 1000:
                assert await client.some(), "the first bytes do not wait for the last"
            more.set()
            answer = await client.whole()
        assert (answer.body, answer.complete) == (SOUND, True)
        receipt = await place.gateway.finished()
        assert (receipt.cost, receipt.usage.characters, receipt.outcome) == (5000, 5, "ok")


@both
@pytest.mark.parametrize("sound", [wav(3), wav(200)], ids=["small", "spooled"])
async def test_recordings_are_sent_on_whole_and_billed_by_the_second(
    tmp_path: Path, upstream: FaultyUpstream, door: Door, sound: bytes
) -> None:
    upstream.default = whole({"text": "hello"})
    async with stage(settings_at(tmp_path, upstream), door) as place:
        fields = [("language", "en"), ("model", "whisper"), ("timestamp_granularities[]", "word")]
        answer = await place.hear("/audio/transcriptions", fields, sound)
        assert (answer.status, answer.json) == (200, {"text": "hello"})
        seen = upstream.requests[0]
        assert seen.path == "/v1/audio/transcriptions"
        assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
        assert sound in seen.body
        assert b'name="file"; filename="a.wav"\r\ncontent-type: audio/wav' in seen.body
        for name, value in [("model", "whisper"), ("language", "en"), ("timestamp_granularities[]", "word")]:
            assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in seen.body
        receipt = await place.gateway.finished()
        seconds = (len(sound) - 44) // 16_000
        assert (receipt.usage.seconds, receipt.cost, receipt.estimated) == (seconds, 1000 * seconds, True)


@pytest.mark.parametrize(
    ("model", "answer", "cost"),
    [
        ("whisper", {"text": "x", "usage": {"type": "duration", "seconds": 9}}, 9000),
        ("whisper", {"text": "x", "duration": 8.47, "segments": []}, 9000),
        ("whisper", {"text": "x", "usage": {"type": "duration", "seconds": -1}}, 3000),
        (
            "transcribe-tokens",
            {
                "text": "x",
                "usage": {
                    "type": "tokens",
                    "input_tokens": 30,
                    "input_token_details": {"audio_tokens": 20, "text_tokens": 10},
                    "output_tokens": 5,
                },
            },
            10_000 + 60_000 + 10_000,
        ),
        ("transcribe-tokens", {"text": "four"}, 3 * 17 * 3000 + 2000),
    ],
)
async def test_the_upstreams_own_figure_settles(
    tmp_path: Path, upstream: FaultyUpstream, model: str, answer: dict[str, Any], cost: int
) -> None:
    upstream.default = whole(answer)
    async with stage(settings_at(tmp_path, upstream)) as place:
        fields = [("model", model), ("response_format", "verbose_json")]
        assert (await place.hear("/audio/transcriptions", fields, wav(3))).status == 200
        assert (await place.gateway.finished()).cost == cost


@pytest.mark.parametrize(
    ("wanted", "kind"), [("text", "text/plain"), ("srt", "text/plain"), ("vtt", "text/vtt")]
)
async def test_texts_pass_as_they_are(
    tmp_path: Path, upstream: FaultyUpstream, wanted: str, kind: str
) -> None:
    upstream.default = whole(b"1\n00:00 --> 00:01\nhi\n", content_type=f"{kind}; charset=utf-8")
    async with stage(settings_at(tmp_path, upstream)) as place:
        fields = [("model", "whisper"), ("response_format", wanted)]
        answer = await place.hear("/audio/translations", fields, wav(3))
        assert (answer.status, answer.body) == (200, b"1\n00:00 --> 00:01\nhi\n")
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
        assert upstream.requests[0].path == "/v1/audio/translations"
        assert (await place.gateway.finished()).cost == 3000


@pytest.mark.parametrize(
    ("wanted", "kind"), [("text", "text/plain"), ("srt", "text/plain"), ("json", "application/json")]
)
async def test_what_was_written_tells_of_a_header_that_lies(
    tmp_path: Path, upstream: FaultyUpstream, wanted: str, kind: str
) -> None:
    said = "word " * 1000
    upstream.default = whole({"text": said}) if wanted == "json" else whole(said.encode(), content_type=kind)
    async with stage(settings_at(tmp_path, upstream)) as place:
        fields = [("model", "whisper"), ("response_format", wanted)]
        answer = await place.hear("/audio/transcriptions", fields, mp3(200, told=1))
        assert answer.status == 200
        assert (await place.gateway.finished()).usage.seconds == 50


@both
async def test_a_transcription_streams(tmp_path: Path, upstream: FaultyUpstream, door: Door) -> None:
    events = [
        {"type": "transcript.text.delta", "delta": "hel"},
        {"type": "transcript.text.delta", "delta": "lo"},
    ]
    last = {"type": "transcript.text.done", "text": "hello", "usage": {"type": "duration", "seconds": 4}}
    sent = b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in [*events, last])
    upstream.default = whole(sent, content_type="text/event-stream")
    async with stage(settings_at(tmp_path, upstream), door) as place:
        answer = await place.hear("/audio/transcriptions", [("stream", "true"), ("model", "whisper")], wav(3))
        told = [json.loads(payload) for payload in answer.payloads]
        assert told[:2] == events
        assert told[2]["usage"] == {"type": "duration", "seconds": 4, "cost": 0.004}
        assert (await place.gateway.finished()).cost == 4000


@pytest.mark.parametrize(
    ("model", "answer", "cost"),
    [
        ("dall-e", {"created": 1, "data": [{"url": "https://x/1"}, {"url": "https://x/2"}]}, 2000),
        ("dall-e", {"created": 1, "data": [{"b64_json": "aaaa"}]}, 1000),
        ("dall-e", {"created": 1, "data": [{"url": "u"}] * 9}, 3000),
        (
            "gpt-image",
            {
                "created": 1,
                "data": [{"b64_json": "aaaa"}],
                "usage": {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110},
            },
            10_000 + 200_000,
        ),
    ],
)
async def test_images_are_billed_as_they_are_priced(
    tmp_path: Path, upstream: FaultyUpstream, model: str, answer: dict[str, Any], cost: int
) -> None:
    upstream.default = whole(answer)
    async with stage(settings_at(tmp_path, upstream)) as place:
        body = {"model": model, "prompt": "a cat", "n": 3, "size": "1024x1024", "quality": "low"}
        got = await place.ask("/images/generations", body)
        assert got.json["data"] == answer["data"]
        assert upstream.requests[0].json == body
        assert (await place.gateway.finished()).cost == cost


REQUESTS: list[tuple[str, Any, dict[str, str]]] = [
    ("/embeddings", {"model": "embed", "input": "x"}, {}),
    ("/audio/speech", SPEECH, {}),
    ("/images/generations", {"model": "dall-e", "prompt": "x"}, {}),
    ("/audio/transcriptions", form([("model", "whisper")], wav(3)), UPLOAD),
    ("/audio/transcriptions", form([("model", "whisper")], wav(200)), UPLOAD),
]
every = pytest.mark.parametrize(
    ("path", "body", "headers"), REQUESTS, ids=["embed", "speech", "image", "small", "spooled"]
)


@every
@pytest.mark.parametrize(
    ("script", "status"),
    [
        (error(400, "bad", code="c"), 400),
        (error(500), 502),
        (error(429), 429),
        (whole(b"<html>", content_type="text/html"), 502),
        (whole(b"", content_type="text/html"), 502),
        (whole({"error": {"message": "boom", "code": 500}}), 502),
        (Script(unanswered="rst"), 502),
        (Script(before_head=STALL), 504),
    ],
    ids=["400", "500", "429", "html", "empty", "error object", "reset", "silent"],
)
async def test_failures_cost_nothing(
    tmp_path: Path,
    upstream: FaultyUpstream,
    path: str,
    body: Any,
    headers: dict[str, str],
    script: Script,
    status: int,
) -> None:
    upstream.default = script
    patience = {"first_byte": 0.3, "first_byte_reasoning": 0.3}
    async with stage(settings_at(tmp_path, upstream, timeouts=patience)) as place:
        answer = await place.ask(
            path, body, **{name.replace("-", "_"): value for name, value in headers.items()}
        )
        assert answer.status == status, answer.body
        assert answer.error["request_id"] == answer.headers["x-request-id"]
        assert (await place.gateway.finished()).cost == 0


@every
async def test_another_deployment_answers_where_one_fails(
    tmp_path: Path,
    upstream: FaultyUpstream,
    spare: FaultyUpstream,
    path: str,
    body: Any,
    headers: dict[str, str],
) -> None:
    upstream.default = error(503)
    spare.default = whole(
        {"text": "x", **VECTORS}, content_type="audio/mpeg" if "speech" in path else "application/json"
    )
    async with stage(settings_at(tmp_path, upstream, spare)) as place:
        answer = await place.ask(
            path, body, **{name.replace("-", "_"): value for name, value in headers.items()}
        )
        assert answer.status == 200
        assert answer.headers["x-gateway-attempts"] == "2"
        assert len(upstream.requests[0].body) == len(spare.requests[0].body), "the file is read anew"


async def test_speech_that_breaks_off_has_no_end_and_no_price(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    cut = broken(0, "truncate")
    upstream.default = replace(cut, role=False, content_type="audio/mpeg", at=((0, SOUND), *cut.at))
    async with stage(settings_at(tmp_path, upstream)) as place:
        answer = await place.ask("/audio/speech", STREAMED)
        assert (answer.status, answer.complete) == (200, False)
        assert answer.body.startswith(SOUND)
        receipt = await place.gateway.finished()
        assert (receipt.cost, receipt.outcome) == (0, "upstream_error")
        async with H2Client(place.gateway.url, place.key) as client:
            stream = await client.post("/audio/speech", STREAMED)
            await client.until(lambda: stream in client.reset or stream in client.ended)
            assert stream in client.reset, (
                client.status,
                len(client.bodies[stream]),
                client.ended,
                client.closed,
            )
        assert (await place.gateway.finished(2)).cost == 0


@pytest.mark.fault("F4", "F5", "F7")
@every
async def test_a_client_that_leaves_pays_for_what_an_upstream_has_taken(
    tmp_path: Path, upstream: FaultyUpstream, path: str, body: Any, headers: dict[str, str]
) -> None:
    upstream.queue.append(Script(before_head=STALL))
    async with stage(settings_at(tmp_path, upstream)) as place:
        async with Client(place.gateway.url, place.key) as client:
            await client.request(path, body, headers=headers)
            await upstream.wait_request()
        seen = await upstream.wait_closed()
        assert seen.aborted
        assert (await place.gateway.finished()).cost == 0, "no upstream has said that it took it"


async def test_a_client_that_leaves_in_mid_speech_pays_for_the_text(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    upstream.default = Script(role=False, tokens=1, content_type="audio/mpeg", at=((0, SOUND), (0, "stall")))
    async with stage(settings_at(tmp_path, upstream)) as place:
        async with Client(place.gateway.url, place.key) as client:
            await client.request("/audio/speech", STREAMED)
            await client.head()
            assert await client.some()
        assert (await upstream.wait_closed()).aborted
        receipt = await place.gateway.finished()
        assert (receipt.cost, receipt.outcome) == (5000, "client_abort")


@pytest.mark.fault("F2")
async def test_nothing_is_held_for_a_client_that_leaves_in_mid_upload(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    async with stage(settings_at(tmp_path, upstream)) as place:
        sent = form([("model", "whisper")], wav(200))
        async with Client(place.gateway.url, place.key) as client:
            head = {**UPLOAD, "Content-Length": str(len(sent))}
            await client.request("/audio/transcriptions", sent[:2_000_000], headers=head)
        async with H2Client(place.gateway.url, place.key) as h2:
            stream = h2.h2.get_next_available_stream_id()
            h2.h2.send_headers(
                stream, [*h2.head("/audio/transcriptions")[:-1], ("content-type", FORM["content-type"])]
            )
            h2.h2.send_data(stream, sent[:10_000])
            await h2.flush()
            await h2.leave(stream)
        answer = await place.ask("/embeddings", {"model": "sim/embed", "input": "x"})
        assert answer.status == 200
        assert upstream.hits == 0
        assert len(place.gateway.receipts) == 1


async def test_a_form_comes_over_http2_too(tmp_path: Path, upstream: FaultyUpstream) -> None:
    async with stage(settings_at(tmp_path, upstream)) as place, H2Client(place.gateway.url, place.key) as h2:
        stream = h2.h2.get_next_available_stream_id()
        h2.h2.send_headers(
            stream, [*h2.head("/audio/transcriptions")[:-1], ("content-type", FORM["content-type"])]
        )
        h2.h2.send_data(stream, form([("model", "sim/transcribe")], wav(1))[:15_000])
        h2.h2.send_data(stream, form([("model", "sim/transcribe")], wav(1))[15_000:], end_stream=True)
        await h2.flush()
        status, body = await h2.whole(stream)
        assert (status, body["text"]) == (200, "A recording of 1 seconds, called a.wav.")


async def test_nothing_is_read_before_the_key_is_known(tmp_path: Path, upstream: FaultyUpstream) -> None:
    async with stage(settings_at(tmp_path, upstream)) as place:
        async with Client(place.gateway.url, "fd_agg_wrong") as client:
            head = {**UPLOAD, "Content-Length": "9999999", "Expect": "100-continue"}
            await client.request("/audio/transcriptions", b"", headers=head)
            answer = await client.whole()
        assert (answer.status, answer.interim) == (401, [])


@pytest.mark.parametrize(
    ("path", "model", "status"),
    [
        ("/embeddings", "dall-e", 400),
        ("/embeddings", "none", 404),
        ("/images/generations", "embed", 400),
        ("/audio/speech", "whisper", 400),
        ("/chat/completions", "tts", 400),
    ],
)
async def test_what_a_model_cannot_do_is_refused_by_its_name(
    tmp_path: Path, upstream: FaultyUpstream, path: str, model: str, status: int
) -> None:
    async with stage(settings_at(tmp_path, upstream)) as place:
        body = {
            "model": model,
            "input": "x",
            "voice": "v",
            "prompt": "x",
            "messages": [{"role": "user", "content": "x"}],
        }
        answer = await place.ask(path, body)
        assert (answer.status, answer.error["param"]) == (status, "model")
        assert f"'{model}'" in answer.error["message"]
        assert upstream.hits == 0


async def test_what_cannot_be_paid_is_refused_before_anything_is_sent(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    plain = settings_at(tmp_path, upstream)
    dear = Price(Rates(images=CREDIT * MILLION, characters=CREDIT * MILLION, seconds=CREDIT * MILLION))
    models = tuple(
        [replace(model, price=dear) for model in plain.models if model.id in {"dall-e", "tts", "whisper"}]
    )
    async with stage(replace(plain, models=models)) as place:
        for path, body, headers in REQUESTS[1:]:
            answer = await place.ask(
                path, body, **{name.replace("-", "_"): value for name, value in headers.items()}
            )
            assert (answer.status, answer.error["type"]) == (402, "insufficient_balance")
        assert upstream.hits == 0


def pictures(*kinds: str) -> bytes:
    """Write a stream of images, none of which says what it used."""
    events = [{"type": f"image_generation.{kind}", "b64_json": "aaaa"} for kind in kinds]
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events)


DRAW = {"model": "dall-e", "prompt": "a cat", "n": 3, "stream": True}


async def test_each_image_of_a_stream_is_billed(tmp_path: Path, upstream: FaultyUpstream) -> None:
    upstream.default = whole(pictures(*["completed"] * 3), content_type="text/event-stream")
    async with stage(settings_at(tmp_path, upstream)) as place:
        answer = await place.ask("/images/generations", DRAW)
        assert len(answer.payloads) == 3
        receipt = await place.gateway.finished()
        assert (receipt.cost, receipt.usage.images, receipt.estimated) == (3000, 3, False)


@pytest.mark.fault("F4")
async def test_a_client_that_leaves_with_half_an_image_pays_for_all(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    upstream.default = Script(
        role=False,
        tokens=1,
        content_type="text/event-stream",
        at=((0, pictures("partial_image")), (0, "stall")),
    )
    async with stage(settings_at(tmp_path, upstream)) as place:
        async with Client(place.gateway.url, place.key) as client:
            await client.request("/images/generations", DRAW)
            await client.head()
            assert await client.some()
        assert (await upstream.wait_closed()).aborted
        receipt = await place.gateway.finished()
        assert (receipt.cost, receipt.outcome) == (3000, "client_abort")


@pytest.mark.parametrize(
    ("path", "body", "kind", "sent", "cost"),
    [
        ("/audio/speech", STREAMED, "audio/mpeg", SOUND, 5000),
        ("/images/generations", DRAW, "text/event-stream", pictures("partial_image"), 3000),
    ],
    ids=["speech", "images"],
)
async def test_an_answer_whose_time_runs_out_is_not_free(
    tmp_path: Path,
    upstream: FaultyUpstream,
    path: str,
    body: Any,
    kind: str,
    sent: bytes,
    cost: int,
) -> None:
    upstream.default = Script(role=False, tokens=1, content_type=kind, at=((0, sent), (0, "stall")))
    async with stage(settings_at(tmp_path, upstream, timeouts={"total": 0.5})) as place:
        answer = await place.ask(path, body)
        assert answer.status == 200
        receipt = await place.gateway.finished()
        assert (receipt.cost, receipt.outcome) == (cost, "upstream_error")
