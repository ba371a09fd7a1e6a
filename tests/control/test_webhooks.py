"""Webhooks: told of each key that is replaced or revoked, signed, three times at most, past the guard."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

import pytest
import trio

from proxy.control.bank import Bank, open_bank
from proxy.control.webhooks import PAUSES, Webhooks
from proxy.settings import Outbound
from tests.patience import PATIENCE

from .kit import A, do, opened, settings_at

HOME = Outbound(http=True, networks=(ip_network("127.0.0.0/8"),))
Told = tuple[dict[str, str], bytes]


@dataclass
class Hook:
    """A server that is told, and answers as it should."""

    statuses: list[int] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    url: str = ""
    heard: trio.Event = field(default_factory=trio.Event)

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/hook?token=url-canary"
        task_status.started()
        await trio.serve_listeners(self._answer, listeners)

    async def wait(self, number: int) -> None:
        while len(self.told) < number:
            self.heard = trio.Event()
            await self.heard.wait()

    async def _answer(self, stream: trio.SocketStream) -> None:
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive_some()
            head, _, body = data.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
            while len(body) < int(fields["content-length"]):
                body += await stream.receive_some()
            status = self.statuses.pop(0) if self.statuses else 204
            extra = f"location: {self.url}\r\n" if status == 302 else ""
            await stream.send_all(f"HTTP/1.1 {status} X\r\n{extra}content-length: 0\r\n\r\n".encode())
            raw = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            self.told.append(({name.lower(): value for name, value in raw.items()}, body))
            self.heard.set()


@asynccontextmanager
async def hooked(directory: Path, *statuses: int) -> AsyncIterator[tuple[Bank, Hook, Callable[[], None]]]:
    """A bank, a hook, and what starts telling it."""
    hook = Hook(list(statuses))
    with trio.fail_after(PATIENCE):
        async with opened(directory, HOME) as bank, trio.open_nursery() as nursery:
            await nursery.start(hook.serve)
            webhooks = Webhooks(bank, HOME, sleep=paused)
            yield bank, hook, lambda: nursery.start_soon(webhooks.run)
            nursery.cancel_scope.cancel()


async def paused(seconds: float) -> None:
    assert seconds in {0.0, *PAUSES}
    await trio.lowlevel.checkpoint()


async def pending(bank: Bank) -> int:
    return len(await bank.store.read("SELECT id FROM webhook_event"))


async def test_a_rotation_and_a_revocation_are_told_signed_and_without_the_key(tmp_path: Path) -> None:
    async with hooked(tmp_path) as (bank, hook, start):
        start()
        made = await do(bank, "projects.create", email=A, name="P", webhook=hook.url)
        secret = made["webhook_secret"]
        assert await pending(bank) == 0, "the first key replaces none"
        new = await do(bank, "projects.rotate", id=made["project"])
        await hook.wait(1)
        await do(bank, "keys.revoke", id=new["id"])
        await hook.wait(2)
        await do(bank, "projects.rotate", id=made["project"])
        await hook.wait(3)
        bodies = [json.loads(body) for _, body in hook.told]
        assert [body["event"] for body in bodies] == [
            "project.key_rotated",
            "project.key_revoked",
            "project.key_rotated",
        ]
        for body in bodies[:2]:
            assert body["key"] == {"prefix": "flp_sk_", "last4": new["key"][-4:]}
            assert sorted(body) == ["at", "event", "key", "project"]
            assert body["project"] == "P"
        for fields, body in hook.told:
            signed = f"{fields['webhook-id']}.{fields['webhook-timestamp']}.".encode() + body
            key = base64.b64decode(secret.removeprefix("whsec_"))
            mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
            assert fields["webhook-signature"] == f"v1,{mac}"
            assert new["key"] not in f"{fields}{body!r}"
        assert len({fields["webhook-id"] for fields, _ in hook.told}) == 3


async def test_other_keys_and_projects_without_a_webhook_tell_nobody(tmp_path: Path) -> None:
    async with hooked(tmp_path) as (bank, hook, _):
        plain = await do(bank, "projects.create", email=A, name="plain")
        await do(bank, "projects.rotate", id=plain["project"])
        key = await do(bank, "keys.create", email=A)
        await do(bank, "keys.rotate", id=key["id"])
        off = await do(bank, "projects.create", email=A, name="off", webhook=hook.url)
        await do(bank, "projects.set", id=off["project"], changes={"webhook": None})
        await do(bank, "projects.rotate", id=off["project"])
        assert await pending(bank) == 0


async def test_deleting_a_project_is_told_as_well(tmp_path: Path) -> None:
    async with hooked(tmp_path) as (bank, hook, start):
        made = await do(bank, "projects.create", email=A, name="P", webhook=hook.url)
        await do(bank, "projects.delete", id=made["project"])
        start()
        await hook.wait(1)
        body = json.loads(hook.told[0][1])
        assert (body["event"], body["project"]) == ("project.key_revoked", "P")


@pytest.mark.parametrize(("statuses", "calls"), [((500, 204), 2), ((500, 302, 200), 3), ((500, 500, 500), 3)])
async def test_it_is_tried_three_times_under_one_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, statuses: tuple[int, ...], calls: int
) -> None:
    with caplog.at_level(logging.WARNING, "headrace.control"):
        async with hooked(tmp_path, *statuses) as (bank, hook, start):
            made = await do(bank, "projects.create", email=A, name="P", webhook=hook.url)
            await do(bank, "projects.rotate", id=made["project"])
            start()
            await hook.wait(calls)
            while await pending(bank):
                await trio.lowlevel.checkpoint()
            assert len(hook.told) == calls
            assert len({fields["webhook-id"] for fields, _ in hook.told}) == 1
    failed = statuses[-1] >= 300
    assert [record.getMessage().endswith("status 500") for record in caplog.records] == [True] * failed
    assert "canary" not in caplog.text


async def test_what_was_not_told_yet_is_told_by_the_next_life(tmp_path: Path) -> None:
    async with hooked(tmp_path / "first") as (bank, hook, _):
        made = await do(bank, "projects.create", email=A, name="P", webhook=hook.url)
        await do(bank, "projects.rotate", id=made["project"])
        assert await pending(bank) == 1
    hook.told.clear()
    async with open_bank(settings_at(tmp_path / "first", HOME)) as bank, trio.open_nursery() as nursery:
        await nursery.start(hook.serve)
        await bank.store.write([("UPDATE project SET webhook = ?", (hook.url,))])
        nursery.start_soon(Webhooks(bank, HOME, sleep=paused).run)
        with trio.fail_after(PATIENCE):
            await hook.wait(1)
        nursery.cancel_scope.cancel()


@pytest.mark.fault("S18")
async def test_an_address_that_has_turned_inward_is_not_called(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was public when it was set; what counts is where it points when it is called."""
    with caplog.at_level(logging.WARNING, "headrace.control"):
        async with hooked(tmp_path) as (bank, hook, _), trio.open_nursery() as nursery:
            made = await do(bank, "projects.create", email=A, name="P", webhook=hook.url)
            await do(bank, "projects.rotate", id=made["project"])
            strict = Webhooks(bank, Outbound(http=True), sleep=paused)
            nursery.start_soon(strict.run)
            while await pending(bank):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert hook.told == []
    assert "was not told" in caplog.text
    assert "canary" not in caplog.text
