"""The failure catalogue, row by row over real sockets: what the client sees, and what the ledger says.

Each case is played as `tests.fakes.cases` describes it; rows that need a set-up of their own are in
`test_money.py` and `test_pool.py`.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import trio
import trio.testing
import trustme

from proxy.edge import conversation
from proxy.receipt import Receipt
from proxy.settings import Provider
from proxy.words.usage import DEFAULT_RATIO, count
from tests.fakes.cases import CASES, Case, cases_for
from tests.fakes.client import Answer, Client, chat, text_of
from tests.fakes.tongues import Wire
from tests.fakes.upstream import NO_SUCH_HOST, FaultyUpstream, black_hole, refusing
from tests.patience import LONG, PATIENCE

from .harness import INPUT, OUTPUT, provider, running, settings_for

SPECIAL = {"F3", "F37", "F38", "F39", "F40", "F74", "F79", "F80", "F82"}
PLAYED = [case for case in CASES if case.row not in SPECIAL]
BYOK = [case for case in PLAYED if case.error == "byok_key_rejected"]
PLAYED = [case for case in PLAYED if case not in BYOK]
OTHERS: list[tuple[Wire, Case]] = [
    (wire, case)
    for wire in get_args(Wire)
    for case in cases_for(wire)
    if wire != "openai" and case.row not in SPECIAL and case.error != "byok_key_rejected"
]
CROSSED = {"F54", "F57", "F60", "F65", "F67", "F68", "F69", "F70"}
"""Rows in which a provider of another protocol takes over, or must not."""


def prompt_tokens() -> int:
    """What the gateway counts for the fakes' own prompt: two bytes and one message."""
    return count(len("hi"), DEFAULT_RATIO) + 4


@asynccontextmanager
async def place_for(case: Case) -> AsyncIterator[tuple[str, FaultyUpstream]]:
    """Yield the deployment's base URL, and the upstream that may be behind it."""
    async with AsyncExitStack() as stack:
        tls = strange_tls() if case.place == "strange_tls" else None
        server = FaultyUpstream(case.script, tls=tls)
        await stack.enter_async_context(server)
        url = server.base_url
        if case.place == "refusing":
            url = stack.enter_context(refusing())
        elif case.place == "black_hole":
            url = stack.enter_context(black_hole())
        elif case.place == "no_such_host":
            url = f"http://{NO_SUCH_HOST}/v1"
        elif case.place == "hanging_dns":
            url = "http://hanging.invalid/v1"
        yield url, server


def strange_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


class HangingResolver(trio.abc.HostnameResolver):
    """A name server that never answers, for one name; everything else is looked up as ever."""

    async def getaddrinfo(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host == b"hanging.invalid":
            await trio.sleep_forever()
        return await trio.to_thread.run_sync(lambda: socket.getaddrinfo(host, port, *args, **kwargs))

    async def getnameinfo(self, *args: Any) -> Any:
        raise NotImplementedError


async def ask(client: Client, case: Case) -> Answer | None:
    """Send the case's request and read it out, or leave as the case says."""
    await client.request("/chat/completions", chat("m", **case.request))
    if case.leaves is None:
        return await client.whole()
    return None


async def leave(client: Client, case: Case, server: FaultyUpstream) -> None:
    seen = await server.wait_request()
    if case.leaves in {"after", "half_close"} and case.relayed:
        await server.wait_tokens(case.relayed)
    if case.leaves == "before_first":
        while not seen.bytes_sent:  # the head has to be on its way
            await trio.lowlevel.checkpoint()
    if case.request.get("stream") and case.leaves in {"after", "half_close", "before_done"}:
        await client.head()
        texts: list[bytes] = []
        while count(len(text_of(texts)), DEFAULT_RATIO) < case.relayed:
            payload = await client.payload()
            assert payload is not None
            texts.append(payload)
        if case.ledger == "S(u)" or case.leaves == "before_done":
            while b'"finish_reason":"stop"' not in texts[-1]:
                payload = await client.payload()
                assert payload is not None
                texts.append(payload)
    # The gateway, in this very process, has to have read what was sent, though it may have nothing to show.
    await trio.testing.wait_all_tasks_blocked()
    if case.leaves == "half_close":
        await client.half_close()
    else:
        client.close()


def expected_cost(case: Case, receipt: Receipt, relayed: int) -> int:
    match case.ledger:
        case "-" | "V":
            return 0
        case "S(r)":
            return (prompt_tokens() * INPUT + relayed * OUTPUT) // 1_000_000
        case "S(u)":
            told: dict[str, int] = {"completion_tokens": 8, "prompt_tokens": 10, **(case.script.usage or {})}
            return (told["prompt_tokens"] * INPUT + told["completion_tokens"] * OUTPUT) // 1_000_000


async def play(
    case: Case,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    healthy: bool,
    wire: Wire = "openai",
) -> None:
    if case.comment_after is not None:
        monkeypatch.setattr(conversation, "FIRST_COMMENT_AFTER", case.comment_after)
    async with place_for(case) as (url, server), FaultyUpstream() as second:
        first = replace(provider("first", url, timeouts=dict(case.timeouts)), wire=wire)
        providers: list[Provider] = [first]
        if healthy:
            providers.append(provider("second", second.base_url))
        async with running(settings_for(directory, providers)) as gateway:
            key = await gateway.key()
            before, _ = await gateway.balance()
            async with Client(gateway.url, key) as client:
                answer = await ask(client, case)
                if answer is None:
                    await leave(client, case, server)
                receipt = await gateway.finished()
                saved = healthy and case.fails_over
                check_ledger(case, receipt, before - (await gateway.balance())[0], saved=bool(saved))
                assert await gateway.open_holds() == 0
                assert (await gateway.balance())[1] == 0
            if answer is not None:
                check_answer(Case(row=case.row, what=case.what) if saved else case, answer)
            if case.closes:
                with trio.fail_after(PATIENCE):
                    await server.wait_closed()
            if not healthy:
                assert server.hits == case.hits
            elif not case.fails_over:
                assert second.hits == 0
        with trio.fail_after(PATIENCE):
            await server.wait_idle()


def check_ledger(case: Case, receipt: Receipt, charged: int, *, saved: bool) -> None:
    assert receipt.cost == charged
    if saved:
        assert charged == (10 * INPUT + 8 * OUTPUT) // 1_000_000
        return
    relayed = count(receipt.relayed_bytes, DEFAULT_RATIO)
    if case.what == "reset":
        assert relayed <= case.relayed
    elif case.relayed >= 0 and case.script.word == "the ":
        assert relayed == case.relayed
    assert charged == expected_cost(case, receipt, relayed)


def check_answer(case: Case, answer: Answer) -> None:
    assert b"CANARY" not in answer.body
    assert b"CANARY" not in answer.head
    assert answer.status == case.status
    for name, value in case.headers.items():
        assert answer.headers[name] == value or value == "*"
    if answer.status != 200:
        assert answer.error["type" if case.error != "context_length_exceeded" else "code"] is not None
        check_error(case, answer.error)
        return
    assert answer.complete
    payloads = answer.payloads
    assert (payloads[-1] == b"[DONE]") == case.done
    assert payloads.count(b"[DONE]") == int(case.done)
    chunks = [json.loads(payload) for payload in payloads if payload != b"[DONE]"]
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert [reason for reason in reasons if reason][-1] == case.finish
    if case.error is not None:
        check_error(case, chunks[-1]["error"])
    check_usage(case, chunks)


def check_error(case: Case, error: dict[str, Any]) -> None:
    from proxy.words.errors import FACES

    assert case.error is not None
    face = FACES[case.error]
    if error["code"] == str(face.status):
        assert error["type"] == face.gateway_type
    else:
        assert case.status == 400
    for name, value in case.detail.items():
        assert error[name] == value


def check_usage(case: Case, chunks: list[dict[str, Any]]) -> None:
    asked = case.request.get("stream_options", {}).get("include_usage", False)
    told = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    if not asked or case.error is not None:
        assert told == []
        return
    assert len(told) == 1
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == told[0]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert ("estimated" in told[0]) == (case.ledger == "S(r)")


@pytest.mark.parametrize("case", PLAYED, ids=str)
async def test_a_case_with_one_provider(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if case.place == "hanging_dns":
        trio.socket.set_custom_hostname_resolver(HangingResolver())
    with trio.fail_after(LONG):
        await play(case, tmp_path, monkeypatch, healthy=False)


@pytest.mark.parametrize("case", [case for case in PLAYED if case.fails_over is not None], ids=str)
async def test_a_case_with_a_healthy_provider_behind(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case.place == "hanging_dns":
        trio.socket.set_custom_hostname_resolver(HangingResolver())
    with trio.fail_after(LONG):
        await play(case, tmp_path, monkeypatch, healthy=True)


@pytest.mark.parametrize(("wire", "case"), OTHERS, ids=[f"{wire}-{case}" for wire, case in OTHERS])
async def test_a_case_with_a_provider_of_another_protocol(
    wire: Wire, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(LONG):
        await play(case, tmp_path, monkeypatch, healthy=False, wire=wire)


CROSSINGS = [(wire, case) for wire, case in OTHERS if case.row in CROSSED and case.fails_over is not None]


@pytest.mark.parametrize(("wire", "case"), CROSSINGS, ids=[f"{wire}-{case}" for wire, case in CROSSINGS])
async def test_a_case_in_which_a_provider_of_another_protocol_is_behind(
    wire: Wire, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(LONG):
        await play(case, tmp_path, monkeypatch, healthy=True, wire=wire)


async def test_the_harness_notices_money_that_moves(tmp_path: Path) -> None:
    async with (
        FaultyUpstream() as server,
        running(settings_for(tmp_path, [provider("first", server.base_url)])) as gateway,
    ):
        key = await gateway.key()
        async with Client(gateway.url, key) as client:
            answer = await ask(client, Case(row="-", what="healthy"))
        assert answer is not None
        receipt = await gateway.finished()
        assert receipt.outcome == "ok"
        assert receipt.cost == (10 * INPUT + 8 * OUTPUT) // 1_000_000
