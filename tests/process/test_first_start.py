"""From an empty directory to an answer: what the first start makes, prints and protects."""

from __future__ import annotations

import json
import re
import stat
import time
from pathlib import Path

import pytest
import trio

from tests.fakes.client import chat, get, post
from tests.patience import PATIENCE

from .place import ADMIN, Place


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def _bash(script: str) -> str:
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(["bash", "-euc", script], capture_stdout=True, capture_stderr=True)
    return done.stdout.decode()


def _printed_curl(out: str) -> str:
    return out[out.index("  curl ") :].partition("\n\n")[0]


async def test_the_first_start_makes_all_that_is_needed_and_the_printed_curl_works(tmp_path: Path) -> None:
    place = Place(tmp_path)
    begun = time.monotonic()
    async with place.serving() as gateway:
        serving = time.monotonic() - begun
        answer = await post(gateway.url, "/v1/chat/completions", chat("sim/echo"), key=gateway.starter_key)
        first = time.monotonic() - begun
        assert answer.status == 200
        # Both say what they are; a test that asserted them would measure the machine.
        figures = f"to serving {serving:.2f} s, to the first 200 {first:.2f} s, RSS {gateway.rss // 1024} MiB"
        print(f"\nfrom nothing {figures}")  # noqa: T201

        told = json.loads(await _bash(_printed_curl(gateway.out)))
        assert told["choices"][0]["message"]["content"] == "Hello, Headrace!"

        assert len(gateway.password) >= 22
        assert re.search(rf"^  administrator +{ADMIN}$", gateway.out, re.MULTILINE)
        assert place.rows("SELECT email, admin FROM profile") == [(ADMIN, 1)]
        for secret in (gateway.password, gateway.starter_key):
            assert not [file for file in place.data.rglob("*.db*") if secret.encode() in file.read_bytes()]
        await gateway.stop()


async def test_nobody_else_may_read_what_the_first_start_made(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.serving() as gateway:
        directories = {path for path in (place.data, *place.data.rglob("*")) if path.is_dir()}
        assert {_mode(path) for path in directories} == {0o700}
        others = {path.name: oct(_mode(path)) for path in place.data.rglob("*") if not path.is_dir()}
        assert {"headrace.db", "control.sock", "pepper", "lock"} <= others.keys()
        assert set(others.values()) == {"0o600"}
        await gateway.stop()
    assert not (place.data / "control.sock").exists()


async def test_a_second_start_prints_no_secrets_and_knows_the_first_ones_key(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.serving() as gateway:
        key = gateway.starter_key
        await gateway.stop()
    async with place.serving() as gateway:
        assert gateway.out == f"headrace: serving on {gateway.url}\n"
        assert (await get(gateway.url, "/v1/models", key=key)).status == 200
        await gateway.stop()


async def test_a_data_directory_may_be_deeper_than_the_name_of_a_socket(tmp_path: Path) -> None:
    deep = "d" * 60
    place = Place(tmp_path, more=f'[store]\nurl = "sqlite:///{deep}/{deep}/headrace.db"\n')
    async with place.serving() as gateway:
        assert await place.value("credits", "balance", ADMIN) == "10000"
        await gateway.stop()


async def test_a_start_that_was_killed_before_its_secret_was_whole_is_followed_by_a_good_one(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    (place.data / "secrets").mkdir(parents=True)
    (place.data / "secrets" / ".pepper.new").write_bytes(b"half")
    async with place.serving() as gateway:
        assert (place.data / "secrets" / "pepper").stat().st_size == 32
        await gateway.stop()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_who_reads_json_is_greeted_in_json(tmp_path: Path, workers: str) -> None:
    place = Place(tmp_path, more='[log]\nformat = "json"\n')
    for first in (True, False):
        async with place.serving("--workers", workers) as gateway:
            lines = [json.loads(line) for line in gateway.out.splitlines()]
            (said,) = [line for line in lines if line["event"].startswith("serving on http://127.0.0.1:")]
            assert (said["level"], said["logger"]) == ("info", "headrace.process")
            assert {"administrator", "password", "key", "credits"} <= said.keys() or not first
            assert ("password" in said) is first
            await gateway.stop()
