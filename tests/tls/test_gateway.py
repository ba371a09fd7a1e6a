"""The gateway's own TLS: the same chat over HTTP/1.1 and HTTP/2, by ALPN."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import openai
import pytest
import trio

from tests.fakes.client import Client, chat, text_of
from tests.fakes.script import ENDLESS, Script, error
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE
from tests.sdk.place import PROMPT, Place, credits_in, place_for, price, settings_at
from tests.sdk.place import text_of as text_of_chunks

VERSIONS = pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
EIGHT = "the " * 8


@pytest.fixture
async def place(
    tmp_path: Path, upstream: FaultyUpstream, certificate: tuple[Path, Path]
) -> AsyncIterator[Place]:
    settings = settings_at(tmp_path, upstream.base_url)
    chain, key = certificate
    settings = replace(settings, server=replace(settings.server, tls_cert=chain, tls_key=key))
    async with place_for(settings, upstream) as place:
        place.gateway.url = place.gateway.url.replace("http://", "https://")
        yield place


def client_of(place: Place, trusting: ssl.SSLContext, version: str) -> httpx.AsyncClient:
    """Return a client that offers that version alone."""
    return httpx.AsyncClient(
        base_url=place.url(),
        headers={"Authorization": f"Bearer {place.key}"},
        verify=trusting,
        http1=version == "HTTP/1.1",
        http2=version == "HTTP/2",
    )


@VERSIONS
async def test_a_whole_answer(place: Place, trusting: ssl.SSLContext, version: str) -> None:
    async with client_of(place, trusting, version) as client:
        answer = await client.post("/chat/completions", json=chat(stream=False))
    assert (answer.status_code, answer.http_version) == (200, version)
    assert answer.json()["choices"][0]["message"]["content"] == EIGHT
    assert credits_in(answer.json()["usage"]["cost"]) == price(10, 8)
    assert answer.headers["x-generation-id"].startswith("gen_")
    await place.billed(price(10, 8))


@VERSIONS
async def test_a_stream_comes_as_it_is_made(place: Place, trusting: ssl.SSLContext, version: str) -> None:
    gate = trio.Semaphore(0)
    place.upstream.default = Script(gap=gate)
    payloads: list[bytes] = []
    async with (
        client_of(place, trusting, version) as client,
        client.stream("POST", "/chat/completions", json=chat(usage=True)) as answer,
    ):
        assert (answer.status_code, answer.http_version) == (200, version)
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                payloads.append(line.removeprefix("data: ").encode())
                if text_of(payloads[-1:]):
                    # Each token was on its way before the next was made.
                    gate.release()
    assert payloads[-1] == b"[DONE]"
    assert text_of(payloads) == EIGHT
    assert credits_in(json.loads(payloads[-2])["usage"]["cost"]) == price(10, 8)
    await place.billed(price(10, 8))


@VERSIONS
async def test_errors_have_their_status(place: Place, trusting: ssl.SSLContext, version: str) -> None:
    place.upstream.default = error(500)
    async with client_of(place, trusting, version) as client:
        for body, headers, status in (
            (chat(temperature=9), {}, 400),
            (chat(), {"Authorization": "Bearer no"}, 401),
            (chat("no/such"), {}, 404),
            (chat(), {}, 502),
        ):
            answer = await client.post("/chat/completions", json=body, headers=headers)
            assert answer.status_code == status
            assert answer.json()["error"]["code"] == str(status)
            assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    await place.unbilled()


async def test_leaving_stops_the_upstream(place: Place, trusting: ssl.SSLContext) -> None:
    """Over HTTP/2, see `test_http2`: httpx never resets a stream."""
    place.upstream.default = Script(tokens=ENDLESS, gap=trio.Semaphore(4))
    async with Client(place.url(), place.key, tls=trusting) as client:
        await client.request("/chat/completions", chat())
        await client.head()
        text = ""
        while text != "the " * 5:
            text += text_of(await client.payloads(1))
        client.close()
        with trio.fail_after(PATIENCE):
            assert (await place.upstream.wait_closed()).aborted
    assert (await place.billed(price(PROMPT, 5))).outcome == "client_abort"


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_sdk_over_tls(place: Place, trusting: ssl.SSLContext, http2: bool, stream: bool) -> None:
    with openai.DefaultHttpx2Client(verify=trusting, http2=http2) as http:
        answer = await place.ask("/api/v1", stream=stream, client={"http_client": http})
    text = text_of_chunks(answer) if stream else answer.choices[0].message.content
    assert text == EIGHT
    await place.billed(price(10, 8))


async def test_models_over_http2(place: Place, trusting: ssl.SSLContext) -> None:
    with openai.DefaultHttpx2Client(verify=trusting, http2=True) as http:
        model = await place.use(
            lambda client: client.models.retrieve("redpill/google/gemini-2.5-flash-lite"), http_client=http
        )
    assert model.id == "redpill/google/gemini-2.5-flash-lite"


@VERSIONS
async def test_a_large_request_and_a_large_answer(
    place: Place, trusting: ssl.SSLContext, version: str
) -> None:
    """Past HTTP/2's windows in both directions."""
    said = "word " * 100_000
    async with client_of(place, trusting, version) as client:
        body = chat("sim/echo", stream=False, messages=[{"role": "user", "content": said}])
        answer = await client.post("/chat/completions", json=body, timeout=20)
    assert answer.json()["choices"][0]["message"]["content"] == said
    receipt = await place.gateway.finished()
    await place.billed(receipt.cost)
    assert credits_in(answer.json()["usage"]["cost"]) == receipt.cost


async def test_a_raw_client_over_tls(place: Place, trusting: ssl.SSLContext) -> None:
    async with Client(place.url(), place.key, tls=trusting) as client:
        await client.request("/chat/completions", chat(usage=True))
        answer = await client.whole()
    assert answer.complete
    assert text_of(answer.payloads) == EIGHT
    await place.billed(price(10, 8))


async def test_a_client_that_does_not_know_the_authority(place: Place) -> None:
    with pytest.raises(openai.APIConnectionError):
        await place.ask()
    assert not place.gateway.receipts


async def test_plain_http_at_the_tls_port_is_no_way_in(place: Place) -> None:
    async with Client(place.url().replace("https://", "http://"), place.key) as client:
        await client.request("/chat/completions", chat())
        with pytest.raises(EOFError):
            await client.head()
    assert not place.gateway.receipts


async def test_alpn_and_old_versions(place: Place, ca_file: Path) -> None:
    port = int(place.url().rsplit(":", 1)[1].split("/")[0])

    def shake(offered: list[str], newest: ssl.TLSVersion | None = None) -> tuple[str | None, str | None]:
        context = ssl.create_default_context(cafile=str(ca_file))
        context.set_alpn_protocols(offered)
        if newest is not None:
            context.set_ciphers("DEFAULT@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = newest
        with (
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as secured,
        ):
            return secured.selected_alpn_protocol(), secured.version()

    run = trio.to_thread.run_sync
    assert await run(shake, ["h2", "http/1.1"]) == ("h2", "TLSv1.3")
    assert await run(shake, ["http/1.1"]) == ("http/1.1", "TLSv1.3")
    assert (await run(shake, ["h2"], ssl.TLSVersion.TLSv1_2))[1] == "TLSv1.2"
    with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises((ssl.SSLError, ConnectionError)):
        await run(shake, ["http/1.1"], ssl.TLSVersion.TLSv1_1)


@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
@pytest.mark.parametrize(("flag", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
async def test_curl(place: Place, ca_file: Path, flag: str, version: str) -> None:
    """What a user's first try looks like."""
    command = [
        *("curl", "-sS", flag, "--cacert", str(ca_file), "--max-time", "10", "-N"),
        *("-H", f"Authorization: Bearer {place.key}", "-H", "Content-Type: application/json"),
        *("-d", json.dumps(chat()), "-w", "%{http_version} %{http_code}", place.url() + "/chat/completions"),
    ]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert done.returncode == 0, done.stderr
    body, _, last = done.stdout.decode().rpartition("\n")
    assert last == f"{version} 200"
    payloads = [
        line.removeprefix("data: ").encode() for line in body.split("\n") if line.startswith("data: ")
    ]
    assert text_of(payloads) == EIGHT
    assert payloads[-1] == b"[DONE]"
    await place.billed(price(10, 8))
