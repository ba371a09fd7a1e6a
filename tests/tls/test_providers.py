"""A provider behind TLS: whom the gateway trusts, and that a refusal costs nothing."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import trio
import trustme

from tests.fakes.script import ENDLESS, Script, broken
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE
from tests.sdk.place import HI, PROMPT, Place, credits_in, place_for, price, settings_at, text_of

from .conftest import server_context

STREAMS = pytest.mark.parametrize("stream", [False, True])
EIGHT = "the " * 8


@asynccontextmanager
async def place_over(
    directory: Path, context: ssl.SSLContext, *, host: str = "127.0.0.1", **options: Any
) -> AsyncIterator[Place]:
    """Run a gateway whose provider answers over TLS."""
    async with FaultyUpstream(tls=context) as upstream:
        url = upstream.base_url.replace("127.0.0.1", host)
        async with place_for(settings_at(directory, url, provider=options), upstream) as place:
            yield place


async def test_a_private_authority_that_the_operator_named(
    tmp_path: Path, authority: trustme.CA, ca_file: Path
) -> None:
    async with place_over(tmp_path, server_context(authority), ca_file=ca_file) as place:
        answer = await place.ask()
        assert answer.choices[0].message.content == EIGHT
        assert credits_in(answer.usage.cost) == price(10, 8)
        await place.billed(price(10, 8))
        *chunks, last = await place.ask(stream=True, stream_options={"include_usage": True})
        assert text_of(chunks) == EIGHT
        assert credits_in(last.usage.cost) == price(10, 8)
        await place.billed(price(10, 8))


async def test_a_name_in_the_certificate(tmp_path: Path, authority: trustme.CA, ca_file: Path) -> None:
    context = server_context(authority, "localhost")
    async with place_over(tmp_path, context, host="localhost", ca_file=ca_file) as place:
        assert (await place.ask()).choices[0].message.content == EIGHT
        await place.billed(price(10, 8))


async def refused(place: Place, *, stream: bool) -> None:
    """Check that the gateway will have nothing to do with its provider."""
    for base in ("/v1", "/api/v1"):
        with pytest.raises(openai.InternalServerError) as caught:
            await place.ask(base, stream=stream)
        body: Any = caught.value.body
        assert caught.value.status_code == 502
        assert body["upstream"] == "tls"
        assert caught.value.type == ("server_error" if base == "/v1" else "upstream_error")
        assert "127.0.0.1" not in caught.value.message
        assert "certificate" not in caught.value.message
    assert place.upstream.hits == 0
    assert place.gateway.receipts[0].attempts[0].trouble == "tls"
    await place.unbilled()


@STREAMS
async def test_an_authority_nobody_named(tmp_path: Path, authority: trustme.CA, stream: bool) -> None:
    async with place_over(tmp_path, server_context(authority)) as place:
        await refused(place, stream=stream)


@STREAMS
async def test_another_authority(tmp_path: Path, ca_file: Path, stream: bool) -> None:
    async with place_over(tmp_path, server_context(trustme.CA()), ca_file=ca_file) as place:
        await refused(place, stream=stream)


@STREAMS
@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("127.0.0.1", ("wrong.example",)),
        ("127.0.0.1", ("localhost",)),
        ("127.0.0.1", ("127.0.0.2",)),
        ("localhost", ("127.0.0.1", "other.localhost", "*.localhost")),
    ],
)
async def test_a_certificate_for_another_host(
    tmp_path: Path, authority: trustme.CA, ca_file: Path, stream: bool, host: str, names: tuple[str, ...]
) -> None:
    context = server_context(authority, *names)
    async with place_over(tmp_path, context, host=host, ca_file=ca_file) as place:
        await refused(place, stream=stream)


async def test_a_provider_that_speaks_no_tls(
    tmp_path: Path, upstream: FaultyUpstream, ca_file: Path, nursery: trio.Nursery
) -> None:
    async def plain(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(4096)
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    (listener, *_) = await nursery.start(trio.serve_tcp, plain, 0)
    url = f"https://127.0.0.1:{listener.socket.getsockname()[1]}/v1"
    async with place_for(settings_at(tmp_path, url, provider={"ca_file": ca_file}), upstream) as place:
        await refused(place, stream=False)


async def test_old_versions_are_refused(tmp_path: Path, authority: trustme.CA, ca_file: Path) -> None:
    context = server_context(authority)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with place_over(tmp_path, context, ca_file=ca_file) as place:
        await refused(place, stream=False)


async def test_trust_in_one_provider_is_not_trust_in_another(
    tmp_path: Path, authority: trustme.CA, ca_file: Path
) -> None:
    """The setting is the provider's own: the same host without it is refused."""
    context = server_context(authority)
    async with FaultyUpstream(tls=context) as upstream:
        trusted = settings_at(tmp_path / "a", upstream.base_url, provider={"ca_file": ca_file})
        (tmp_path / "a").mkdir()
        async with place_for(trusted, upstream) as place:
            await place.ask()
            await place.billed(price(10, 8))
            untrusted = settings_at(tmp_path / "b", upstream.base_url)
            (tmp_path / "b").mkdir()
            async with place_for(untrusted, upstream) as other:
                with pytest.raises(openai.InternalServerError):
                    await other.ask()


async def test_leaving_stops_a_provider_behind_tls(
    tmp_path: Path, authority: trustme.CA, ca_file: Path
) -> None:
    async with place_over(tmp_path, server_context(authority), ca_file=ca_file) as place:
        place.upstream.default = Script(tokens=ENDLESS, gap=trio.Semaphore(4))

        def leave(client: openai.OpenAI) -> str:
            chunks: list[Any] = []
            with client.chat.completions.create(model="m", messages=HI, stream=True) as stream:
                for chunk in stream:
                    chunks.append(chunk)
                    if len(text_of(chunks)) == 20:
                        break
            return text_of(chunks)

        assert await place.use(leave) == "the " * 5
        with trio.fail_after(PATIENCE):
            assert (await place.upstream.wait_closed()).aborted
        assert (await place.billed(price(PROMPT, 5))).outcome == "client_abort"


@pytest.mark.parametrize("how", ["fin", "rst", "truncate"])
async def test_an_answer_cut_inside_tls_is_not_whole(
    tmp_path: Path, authority: trustme.CA, ca_file: Path, how: Any
) -> None:
    async with place_over(tmp_path, server_context(authority), ca_file=ca_file) as place:
        place.upstream.default = broken(3, how)
        with pytest.raises(openai.APIError) as caught:
            await place.ask(stream=True)
        assert caught.value.body["upstream"] in {"truncated", "reset"}  # type: ignore[index]
        await place.billed(price(PROMPT, 3))
