"""The control socket's protocol: whoever misbehaves loses the connection, and nothing else happens."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from proxy.control.bank import Bank, open_bank
from proxy.control.serving import MAX_MESSAGE, serve_control
from proxy.control.socket import ControlError, answers, ask
from tests.e2e.harness import settings_for


async def _handle(method: str, params: dict[str, Any]) -> Any:
    if method == "refuse":
        raise ControlError("refused")
    if method == "fail":
        raise RuntimeError("CANARY")
    if method == "slow":
        await trio.sleep(0.1)
    return {"method": method, **params}


@asynccontextmanager
async def _served(path: Path, handler: Any = _handle) -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, path, handler)
        yield nursery
        nursery.cancel_scope.cancel()


async def _ask(path: Path, method: str, **params: Any) -> dict[str, Any]:
    return await trio.to_thread.run_sync(ask, path, method, params)


def _packed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


async def _conversation(path: Path, data: bytes) -> bytes:
    """Send bytes, say FIN, and return all that comes back."""
    stream = await trio.open_unix_socket(path)
    async with stream:
        received = b""
        try:
            await stream.send_all(data)
            await stream.send_eof()
            while more := await stream.receive_some(65_536):
                received += more
        except trio.BrokenResourceError:
            pass
        return received


async def test_a_command_is_answered_and_only_we_may_ask(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with _served(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await _ask(path, "echo", a="ü" * 100_000) == {"method": "echo", "a": "ü" * 100_000}
        with pytest.raises(ControlError, match=r"^refused$"):
            await _ask(path, "refuse")
        assert answers(path)
    assert not path.exists()
    assert not answers(path)


async def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(path))
    assert not answers(path)
    async with _served(path):
        assert await _ask(path, "echo") == {"method": "echo"}


async def test_a_path_may_be_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with _served(deep / "control.sock"):
        assert await _ask(deep / "control.sock", "echo") == {"method": "echo"}


async def test_commands_on_one_connection_are_answered_in_order(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    messages: list[dict[str, Any]] = [{"method": method, "params": {}} for method in ("slow", "one", "two")]
    async with _served(path):
        received = await _conversation(path, b"".join(_packed(json.dumps(m).encode()) for m in messages))
    for message in messages:
        assert received[4:].startswith(
            json.dumps({"result": {"method": message["method"]}}).replace(" ", "").encode()
        )
        received = received[4 + struct.unpack(">I", received[:4])[0] :]
    assert received == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x00\x00\x00\x10",
        _packed(b'{"method": "echo"}')[:-1],
        struct.pack(">I", MAX_MESSAGE + 1) + b"{}",
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        _packed(b""),
        _packed(b"{"),
        _packed(b"\xff\xfe"),
        _packed(b"[" * 100_000),
        _packed(b'"\\ud800"'),
    ],
    ids=lambda data: repr(data[:24]),
)
async def test_bytes_that_are_no_message_close_the_connection(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "control.sock"
    async with _served(path):
        assert await _conversation(path, data) == b""
        assert await _ask(path, "echo") == {"method": "echo"}


@pytest.mark.parametrize(
    "body",
    [b"null", b"1", b"[]", b"{}", b'"echo"', b'{"method": 1}', b'{"method": ["echo"]}', b'{"params": {}}'],
)
async def test_a_message_that_is_no_command_is_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "control.sock"
    async with _served(path):
        received = await _conversation(path, _packed(body))
        assert json.loads(received[4:]) == {"error": "malformed command"}
        assert await _ask(path, "echo") == {"method": "echo"}


async def test_a_command_that_fails_inside_is_answered_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "control.sock"
    async with _served(path):
        with pytest.raises(ControlError, match=r"^the command failed inside: RuntimeError$"):
            await _ask(path, "fail")
        assert await _ask(path, "echo") == {"method": "echo"}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_client_that_does_not_wait_for_its_answer_harms_nobody(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with _served(path):
        for _ in range(20):
            stream = await trio.open_unix_socket(path)
            await stream.send_all(_packed(b'{"method": "slow", "params": {}}'))
            await stream.aclose()
        assert await _ask(path, "echo") == {"method": "echo"}


async def test_a_command_that_was_begun_is_finished_while_the_gateway_stops(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    begun, go_on = trio.Event(), trio.Event()

    async def handle(method: str, params: dict[str, Any]) -> Any:
        begun.set()
        await go_on.wait()
        return {"done": True}

    answered: dict[str, Any] = {}
    async with trio.open_nursery() as clients, _served(path, handle) as nursery:

        async def client() -> None:
            answered.update(await _ask(path, "long"))

        clients.start_soon(client)
        await begun.wait()
        nursery.cancel_scope.cancel()
        go_on.set()
    assert answered == {"done": True}


async def test_a_gateway_that_dies_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(path))
        listening.listen()

        def die() -> None:
            listening.accept()[0].close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, die)
            with pytest.raises(ControlError, match="stopped before it answered"):
                await _ask(path, "echo")


@asynccontextmanager
async def _office(directory: Path) -> AsyncIterator[tuple[Path, Bank]]:
    path = directory / "control.sock"
    async with open_bank(settings_for(directory, [])) as bank, _served(path, bank.office.command):
        yield path, bank


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("nonsense", {}),
        ("accounts.create", {}),
        ("accounts.create", {"email": None}),
        ("accounts.create", {"email": "a@example.com", "more": 1}),
        ("accounts.create", {"email": "a@example.com", "credits": [1]}),
        ("accounts.create", {"email": "a@example.com", "credits": 1.5e300}),
        ("accounts.create", {"email": "a\x1b[2J@example.com"}),
        ("credits.grant", {"email": {"$ne": 1}, "credits": "1"}),
        ("credits.balance", {"email": ["a"]}),
        ("keys.create", {"email": "u@example.com", "kind": "root"}),
        ("keys.create", {"email": "u@example.com", "kind": ["account"]}),
        ("keys.create", {"email": "u@example.com", "rpm": 1.5}),
        ("keys.create", {"email": "u@example.com", "rpm": "many"}),
        ("keys.create", {"email": "u@example.com", "name": None}),
        ("keys.create", {"email": "u@example.com", "kind": "project", "project": 7}),
        ("keys.revoke", {"id": "1 OR 1=1"}),
        ("keys.revoke", {"id": 2**64 - 1}),
        ("keys.rotate", {"id": None}),
        ("keys.rotate", {"id": 1e300}),
    ],
)
async def test_odd_parameters_are_refused_and_change_nothing(
    tmp_path: Path, method: str, params: dict[str, Any]
) -> None:
    async with _office(tmp_path) as (path, bank):
        await _ask(path, "accounts.create", email="u@example.com", credits="1")
        await _ask(path, "keys.create", email="u@example.com")
        with pytest.raises(ControlError):
            await _ask(path, method, **params)
        counts = (
            "SELECT (SELECT count(*) FROM profile), (SELECT count(*) FROM account), count(*) FROM api_key"
        )
        assert await bank.store.read(f"{counts} WHERE revoked_at IS NULL") == [(1, 1, 1)]
        assert (await _ask(path, "verify"))["ok"] is True
