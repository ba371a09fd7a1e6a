"""G13: every operation answers as the document says, whatever it is asked, and none fails inside."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.fakes.client import Client
from tests.process.page import PASSWORD, enter
from tests.process.place import ADMIN, Place, Served

ROOT = Path(__file__).parents[2]
# Attempts at passwords are counted for each address, and each request says that it comes from another.
PROXIES = """[dashboard]
proxies = ["127.0.0.0/8"]
max_keys = 100000
max_projects = 100000
max_changes = 100000
"""
WITHIN = 600
USER, OTHER = "user@example.com", "other@example.com"


async def prepared(gateway: Served) -> int:
    """Give the administrator a password, and make two accounts; return the second one's number."""
    async with Client(gateway.url) as client:
        page = await enter(client, gateway.password)
        made = [
            await page.send(
                "POST", "/api/admin/accounts", {"email": email, "credits": "1000", "password": PASSWORD}
            )
            for email in (USER, OTHER)
        ]
    number: int = made[1].json["account"]
    return number


@pytest.mark.fault("G13")
@pytest.mark.parametrize("role", ["user", "admin"])
async def test_every_answer_is_as_the_document_says(tmp_path: Path, role: str) -> None:
    place = Place(tmp_path, more=PROXIES)
    async with place.serving() as gateway:
        other = await prepared(gateway)
        email = ADMIN if role == "admin" else USER
        told = {"url": gateway.url, "role": role, "other": other, "email": email, "password": PASSWORD}
        told["key"] = await place.value("keys", "create", email)
        with trio.fail_after(WITHIN):
            done = await trio.run_process(
                [sys.executable, "-m", "tests.schema"],
                stdin=json.dumps(told).encode(),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                cwd=ROOT,
            )
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert found[:-1] == [], done.stderr
        assert (done.returncode, done.stderr) == (0, b"")
        _check_reach(found[-1]["seen"], role)
        assert "failed inside" not in gateway.err
        assert "Exception on request" not in gateway.err
    await place.verified()


def _check_reach(seen: dict[str, Any], role: str) -> None:
    """Most operations have to have done what they are for, or nothing was shown of their answers."""
    operations = {each.rpartition(" ")[0] for each in seen}
    done = {each.rpartition(" ")[0] for each in seen if each.rpartition(" ")[2].startswith("2")}
    if role == "user":
        assert len(operations) > 80
        operations = {each for each in operations if "/api/admin/" not in each}
    assert len(done & operations) > 0.6 * len(operations), sorted(operations - done)
