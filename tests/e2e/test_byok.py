"""Accounts' own provider keys, over real sockets: whose key goes where, who pays, and what is never shown."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.bank.verify import verify
from proxy.control.socket import ControlError
from proxy.settings import Outbound, Provider, Settings
from proxy.upstream.line import HttpLine
from tests.fakes import script as say
from tests.fakes.client import Answer, Client, chat, get, post, streaming
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

from .harness import EMAIL, UPSTREAM_KEY, Running, provider, running, settings_for

OWN = "sk-own-CANARY-aaaaaaaaaaaaaaaa1111"
OTHER = "sk-own-CANARY-bbbbbbbbbbbbbbbb2222"
PATH = "/chat/completions"
LOOPBACK = Outbound(http=True, networks=(ip_network("127.0.0.0/8"),))


@dataclass
class Place:
    gateway: Running
    key: str

    async def ask(self, model: str = "m", **more: Any) -> Answer:
        return await post(
            self.gateway.url, PATH, chat(model, **{"stream": False, "max_tokens": 4, **more}), key=self.key
        )

    async def own(self, secret: str = OWN, at: str = "up0", **more: Any) -> dict[str, Any]:
        return await self.gateway.bank.office.vault.add(EMAIL, at, secret, **more)

    async def records(self) -> list[tuple[Any, ...]]:
        return await self.gateway.bank.store.read(
            "SELECT funding, cost, provider, output, outcome FROM usage_record ORDER BY started_at"
        )

    async def check_books(self) -> None:
        assert await self.gateway.open_holds() == 0
        report = await verify(self.gateway.bank.store)
        assert (report.ok, report.drift_nanousd) == (True, 0)


def settings_at(directory: Path, *upstreams: FaultyUpstream, **more: Any) -> Settings:
    return settings_for(
        directory, [provider(f"up{n}", each.base_url) for n, each in enumerate(upstreams)], **more
    )


@asynccontextmanager
async def place(settings: Settings, credits: str = "0") -> AsyncIterator[Place]:  # noqa: A002
    with trio.fail_after(LONG):
        async with running(settings) as gateway:
            yield Place(gateway, await gateway.key(credits))


async def test_an_own_key_serves_and_costs_no_credits(tmp_path: Path, upstream: FaultyUpstream) -> None:
    async with place(settings_at(tmp_path, upstream)) as here:
        assert (await here.ask()).status == 402
        await here.own()
        answer = await here.ask()
        assert (answer.status, answer.headers["x-gateway-cost"]) == (200, "0")
        await here.gateway.finished(2)
        assert [seen.key for seen in upstream.requests] == [OWN]
        assert await here.records() == [("byok", 0, "up0", 4, "ok")]
        assert await here.gateway.balance() == (0, 0)
        assert (await here.gateway.bank.store.read("SELECT amount FROM hold_end"))[-1] == (0,)
        await here.check_books()


@pytest.mark.fault("F68")
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("stream", [False, True])
async def test_f68_a_key_that_its_provider_refuses_is_403_and_nobody_elses_trouble(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, status: int, stream: bool
) -> None:
    upstream.default = say.error(status, f"bad key {OWN} at {upstream.base_url}")
    async with place(settings_at(tmp_path, upstream, spare), "1000") as here:
        await here.own()
        answer = await here.ask(stream=stream)
        assert answer.status == 403
        assert (answer.error["type"], answer.error["code"]) == ("permission_error", "403")
        assert "own key" in answer.error["message"]
        assert OWN not in answer.body.decode()
        assert (spare.requests, len(upstream.requests)) == ([], 1)
        await here.gateway.finished()
        assert await here.gateway.balance() == (1_000_000_000, 0)
        # Its circuit is its own: the operator's key at the same place, and the key that follows, are tried.
        upstream.default = Script()
        stranger = await here.gateway.bank.office.accounts.create("b@example.com", "1000")
        assert stranger["credits"] == "1000"
        theirs = (await here.gateway.bank.office.keys.create("b@example.com"))["key"]
        asked = await post(here.gateway.url, PATH, chat(max_tokens=1), key=theirs)
        assert (asked.status, upstream.requests[-1].key) == (200, UPSTREAM_KEY)
        await here.own(OTHER)
        assert ((await here.ask()).status, upstream.requests[-1].key) == (200, OTHER)


@pytest.mark.parametrize("fault", [say.error(500), say.limited(), Script(unanswered="rst"), say.error(401)])
async def test_s21_an_own_key_never_falls_back_to_the_operators(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, fault: Script
) -> None:
    upstream.default = fault
    async with place(settings_at(tmp_path, upstream, spare), "1000") as here:
        await here.own()
        assert (await here.ask()).status in {403, 429, 502}
        assert {seen.key for seen in upstream.requests} == {OWN}
        assert spare.requests == []
        assert await here.gateway.balance() == (1_000_000_000, 0)


async def test_s21_nor_credits_to_an_own_key(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    """The model that comes first is paid for with credits, so the own key at the next is left alone."""
    upstream.default = say.error(500)
    settings = settings_at(tmp_path, upstream, spare)
    models = tuple(
        replace(settings.models[0], id=name, deployments=(settings.models[0].deployments[at],))
        for at, name in enumerate(("first", "second"))
    )
    async with place(replace(settings, models=models), "1000") as here:
        await here.own(at="up1")
        assert (await here.ask("first", models=["first", "second"])).status == 502
        assert {seen.key for seen in upstream.requests} == {UPSTREAM_KEY}
        assert spare.requests == []
        assert (await here.ask("second", models=["second", "first"])).status == 200
        assert [seen.key for seen in spare.requests] == [OWN]


async def test_s21_it_falls_back_where_the_account_switched_that_on(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    upstream.default = say.error(500)
    async with place(settings_at(tmp_path, upstream, spare), "1000") as here:
        await here.own()
        await here.gateway.bank.office.vault.fallback(EMAIL, on=True)
        assert (await here.ask()).status == 200
        # First the operator's key at the same place, then the next one.
        assert [seen.key for seen in upstream.requests] == [OWN, UPSTREAM_KEY]
        assert [seen.key for seen in spare.requests] == [UPSTREAM_KEY]
        receipt = await here.gateway.finished()
        assert (await here.records())[0][:3] == ("credits", receipt.cost, "up1")
        assert receipt.cost > 0
        await here.gateway.bank.office.vault.fallback(EMAIL, on=False)
        assert (await here.ask()).status in {502, 503}
        assert len(spare.requests) == 1
        await here.gateway.finished(2)
        await here.check_books()


async def test_one_that_may_fall_back_and_has_no_credit_is_left_with_its_key(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    async with place(settings_at(tmp_path, upstream, spare)) as here:
        await here.own()
        await here.gateway.bank.office.vault.fallback(EMAIL, on=True)
        assert (await here.ask()).status == 200
        upstream.default = say.error(500)
        assert (await here.ask()).status == 502
        assert spare.requests == []
        await here.gateway.finished(2)
        await here.check_books()


@pytest.mark.fault("F34")
@pytest.mark.parametrize("change", ["replaced", "deleted"])
async def test_f34_a_stream_ends_on_the_key_it_began_with(
    tmp_path: Path, upstream: FaultyUpstream, change: str
) -> None:
    go_on = trio.Event()
    upstream.default = Script(tokens=6, at=((3, go_on.wait),))
    async with place(settings_at(tmp_path, upstream), "1000") as here:
        await here.own()
        async with streaming(here.gateway.url, PATH, chat(max_tokens=6), key=here.key) as client:
            await client.payloads(3)
            if change == "replaced":
                await here.own(OTHER)
            else:
                await here.gateway.bank.office.vault.delete(EMAIL, "up0")
            go_on.set()
            whole = await client.whole()
        assert whole.payloads[-1] == b"[DONE]"
        assert (await here.gateway.finished()).cost == 0
        assert (await here.ask()).status == 200
        assert [seen.key for seen in upstream.requests] == [
            OWN,
            OTHER if change == "replaced" else UPSTREAM_KEY,
        ]


async def test_own_keys_are_never_raced(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    settings = settings_at(tmp_path, upstream, spare)
    settings = replace(settings, models=(replace(settings.models[0], strategy="race"),))
    async with place(settings) as here:
        await here.own()
        await here.own(OTHER, at="up1")
        assert (await here.ask()).status == 200
        assert [seen.key for seen in upstream.requests] == [OWN]
        assert spare.requests == []


async def test_a_provider_without_the_operators_key_is_for_those_who_bring_theirs(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    keyless = provider("up0", upstream.base_url, api_key=None, key_variable="UP0_KEY")
    async with place(settings_for(tmp_path, [keyless]), "1000") as here:

        async def listed() -> set[str]:
            answer = await get(here.gateway.url, "/models", key=here.key)
            return {model["id"] for model in json.loads(answer.body)["data"]}

        refused = await here.ask()
        assert (refused.status, refused.error["reason"]) == (404, "byok_only")
        assert "m" not in await listed()
        assert (await get(here.gateway.url, "/models/m", key=here.key)).status == 404
        assert upstream.requests == []
        await here.own()
        assert (await here.ask()).status == 200
        assert "m" in await listed()
        assert (await get(here.gateway.url, "/models/m", key=here.key)).status == 200


async def test_s21_an_own_endpoint_gets_the_own_key_and_the_operators_host_nothing(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    async with place(replace(settings_at(tmp_path, upstream), outbound=LOOPBACK)) as here:
        await here.own(base_url=f"{spare.base_url}/")
        for _ in range(2):
            assert (await here.ask()).status == 200
        assert [(seen.key, seen.path) for seen in spare.requests] == [(OWN, "/v1/chat/completions")] * 2
        assert upstream.requests == []


@pytest.mark.fault("F29")
async def test_s18_an_own_endpoint_is_checked_when_it_is_saved_and_when_it_is_used(
    tmp_path: Path, upstream: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place(settings_at(tmp_path, upstream)) as here:
        for url in (
            upstream.base_url,
            "https://localhost/v1",
            "https://a:b@api.example.com",
            "https://a.com/?x",
        ):
            with pytest.raises(ControlError):
                await here.own(base_url=url)
        # What was public when it was saved points inwards now.
        import socket

        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", upstream.port))]
        real = socket.getaddrinfo
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *rest, **more: found if host == "llm.example.com" else real(host, *rest, **more),
        )
        await here.own(base_url=f"https://llm.example.com:{upstream.port}/v1")
        answer = await here.ask()
        assert (answer.status, answer.error["upstream"]) == (502, "unreachable")
        assert upstream.connections == 0


async def test_s24_a_row_that_is_copied_or_changed_does_not_open(
    tmp_path: Path, upstream: FaultyUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    async with place(settings_at(tmp_path, upstream)) as here:
        await here.own()
        store, office = here.gateway.bank.store, here.gateway.bank.office
        thief = (await office.accounts.create("thief@example.com"))["account"]
        theirs = (await office.keys.create("thief@example.com"))["key"]
        copy = (
            "INSERT INTO provider_key (id, account, provider, version, name, sealed, last4, created_at)"
            " SELECT id - 1, ?, provider, version, name, sealed, last4, created_at FROM provider_key"
        )
        await store.write([(copy, (thief,))])
        answer = await post(here.gateway.url, PATH, chat(max_tokens=1), key=theirs)
        assert (answer.status, "cannot be opened" in answer.error["message"]) == (403, True)
        ((number,),) = await store.read("SELECT id FROM provider_key WHERE account != ?", (thief,))
        for change in ("base_url = 'https://evil.example.com'", "version = 2", "provider = 'up1'"):
            await store.write([(f"UPDATE provider_key SET {change} WHERE id = ?", (number,))])  # noqa: S608 - ours
            assert await here.gateway.bank.opened(here.gateway.account, [number]) == ()
        assert upstream.requests == []
    assert OWN not in caplog.text


async def test_s25_master_keys_rotate_while_requests_run(tmp_path: Path, upstream: FaultyUpstream) -> None:
    go_on = trio.Event()
    upstream.script(Script(tokens=4, at=((2, go_on.wait),)))
    settings = settings_at(tmp_path, upstream)
    async with place(settings) as here:
        await here.own()
        async with streaming(here.gateway.url, PATH, chat(max_tokens=4), key=here.key) as client:
            await client.payloads(2)
            told = await here.gateway.bank.office.command("secrets.rotate", {})
            assert told == {"master": 2, "rewrapped": 1}
            go_on.set()
            await client.whole()
        assert (await here.ask()).status == 200
        assert await here.gateway.bank.office.command("secrets.rotate", {}) == {"master": 3, "rewrapped": 1}
    for old in ("master-1", "master-2"):
        (settings.secrets.dir / old).unlink()
    async with running(settings) as again:
        (opened,) = await again.bank.office.vault._rows("1", ())
        assert [key.secret for key in again.bank.office.vault._opened([opened])] == [OWN]


async def test_s23_a_test_asks_for_the_models_with_what_is_kept_and_says_no_more_than_needed(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    upstream.default = say.error(200)
    async with place(replace(settings_at(tmp_path, upstream, spare), outbound=LOOPBACK)) as here:
        test = here.gateway.bank.office.vault.test
        with pytest.raises(ControlError, match="has no key"):
            await test(EMAIL, "up0")
        await here.own()
        upstream.script(say.error(200), say.error(401))
        assert (await test(EMAIL, "up0"))["said"] == "ok"
        for seen, key in zip(upstream.requests, (OWN, None), strict=True):
            assert (seen.method, seen.path, seen.key, seen.body) == ("GET", "/v1/models", key, b"")
        told = await test(EMAIL, "up0")
        assert (told["ok"], "tells everybody the same" in told["said"]) == (True, True)
        await here.own(base_url=spare.base_url)
        await test(EMAIL, "up0")
        assert (len(upstream.requests), spare.requests[0].key) == (4, OWN)


@pytest.mark.parametrize(
    ("status", "helps"),
    [
        (301, "see the base URL"),
        (400, "copied whole"),
        (401, "copied whole"),
        (402, "credit"),
        (403, "permissions"),
        (404, "base URL"),
        (418, "base URL"),
        (429, "limits"),
        (500, "try again"),
        (529, "try again"),
    ],
)
async def test_s23_a_test_that_fails_says_what_happened_and_what_helps(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, status: int, helps: str
) -> None:
    upstream.default = say.error(status, f"{OWN} is wrong")
    async with place(settings_at(tmp_path, upstream, spare)) as here:
        await here.own()
        told = await here.gateway.bank.office.vault.test(EMAIL, "up0")
    assert told["ok"] is False
    assert str(status) in told["said"]
    assert helps in told["said"]
    assert OWN not in told["said"]


@pytest.mark.parametrize(("secret", "shown"), [(OWN, "…1111"), ("short-key", "…"), ("exactly-12ch", "…12ch")])
async def test_s26_of_a_key_its_last_four_are_shown_and_nothing_else(
    tmp_path: Path, secret: str, shown: str
) -> None:
    settings = replace(
        settings_for(tmp_path, []), providers=(Provider("openai", "openai", "https://a.com/v1"),)
    )
    async with place(settings) as here:
        added = await here.own(secret, at="openai", name="mine")
        listed = await here.gateway.bank.office.vault.list(EMAIL)
        assert added["shown"] == listed["keys"][0]["shown"] == shown
        for told in (added, listed, here.gateway.bank, await here.gateway.bank.opened(1, [1])):
            assert secret not in str(told)
            assert secret not in repr(told)


@pytest.mark.parametrize(
    ("at", "secret", "more"),
    [
        ("nobody", OWN, {}),
        ("openai", "", {}),
        ("openai", "changeme", {}),
        ("openai", "two words", {}),
        ("openai", "line\nbreak", {}),
        ("openai", OWN, {"base_url": "http://api.example.com"}),
        ("openai", OWN, {"name": "x" * 65}),
        ("sim", OWN, {"base_url": "https://api.example.com"}),
        ("elevenlabs", OWN, {"base_url": "https://api.example.com"}),
    ],
)
async def test_what_cannot_be_kept_is_refused_unseen(
    tmp_path: Path, at: str, secret: str, more: dict[str, str]
) -> None:
    openai = Provider("openai", "openai", "https://a.com/v1")
    settings = replace(settings_for(tmp_path, []), providers=(openai, Provider("sim", "sim")))
    async with place(settings) as here:
        with pytest.raises(ControlError) as caught:
            await here.own(secret, at=at, **more)
        assert OWN not in str(caught.value)
        await here.own(at="elevenlabs")
        with pytest.raises(ControlError, match="has no key for deepgram"):
            await here.gateway.bank.office.vault.test(EMAIL, "deepgram")


async def test_s20_a_request_cannot_say_where_it_goes_or_with_what_key(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream
) -> None:
    wishes = {
        "base_url": spare.base_url,
        "api_base": spare.base_url,
        "api_key": OWN,
        "extra_headers": {"authorization": OWN},
    }
    body: dict[str, Any] = chat(stream=False, max_tokens=1) | wishes
    headers = {"x-api-key": OWN, "x-base-url": spare.base_url, "openai-organization": "org-1", "api-key": OWN}
    async with place(settings_at(tmp_path, upstream), "1000") as here:
        async with Client(here.gateway.url, here.key) as client:
            await client.request(PATH, body, headers=headers)
            assert (await client.whole()).status == 200
        (seen,) = upstream.requests
        assert seen.key == UPSTREAM_KEY
        assert OWN.encode() not in seen.head
        assert b"org-1" not in seen.head
        assert spare.connections == 0


@pytest.mark.parametrize(
    "fault", [Script(), say.error(401, OWN), say.error(400, f"key={OWN}"), say.error_frame(2, OWN)]
)
async def test_s28_an_own_key_is_nowhere_to_be_found(
    tmp_path: Path, upstream: FaultyUpstream, caplog: pytest.LogCaptureFixture, fault: Script
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.default = fault
    said: list[bytes] = []
    settings = settings_at(tmp_path, upstream)
    async with place(settings, "1000") as here:
        await here.own()
        for stream in (True, False):
            answer = await here.ask(stream=stream)
            said += [answer.body, repr(answer.headers).encode()]
        receipt = await here.gateway.finished(2)
        said.append(
            (await get(here.gateway.url, f"/generation?id={receipt.generation_id}", key=here.key)).body
        )
        said.append((await get(here.gateway.url, "/key", key=here.key)).body)
        said.append(here.gateway.gateway.metrics.render()[0])
        said.append(repr((receipt, here.gateway.bank, here.gateway.gateway)).encode())
        line = here.gateway.gateway.routes._models._core.fleet._lines["up0"]
        assert isinstance(line, HttpLine)
        said.append(repr(line._heads).encode())
        said += _database(settings.store.path)
    assert OWN.encode() not in b"\n".join(said)
    assert OWN not in caplog.text
    assert {seen.key for seen in upstream.requests} == {OWN}
    assert OWN.encode() not in b"\n".join(_database(settings.store.path))


def _database(path: Path) -> Sequence[bytes]:
    return [file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*"))]
