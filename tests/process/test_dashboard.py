"""The management API of a real gateway, in one process and in several: from the first start's password on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.client import Client

from .page import PASSWORD, Page
from .place import ADMIN, Place


@pytest.mark.fault("S28", "S42")
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_first_password_is_changed_and_then_all_is_open(tmp_path: Path, workers: str) -> None:
    place = Place(tmp_path)
    async with place.serving("--workers", workers) as gateway:
        first = gateway.password
        async with Client(gateway.url) as client:
            page = Page(client)
            signed = await page.send("POST", "/api/auth/login", {"email": ADMIN, "password": first})
            assert signed.json["password_change_required"] is True
            refused = await page.send("GET", "/api/admin/providers")
            assert refused.error["code"] == "password_change_required"
            change = {"password": first, "new_password": PASSWORD}
            assert (await page.send("POST", "/api/auth/password", change)).status == 200
            providers = (await page.send("GET", "/api/admin/providers")).json["providers"]
            assert "sim" in {each["name"] for each in providers}
            assert (await page.send("POST", "/api/admin/config/check", {})).json["ok"] is True
            own = "sk-own-CANARY-0123456789"
            body = {"provider": "elevenlabs", "key": own}
            assert (await page.send("POST", "/api/user/byok", body)).status == 201
            made = await page.send("POST", "/api/user/playground-token", {})
            token = page.fields["cookie"].partition("=")[2]
            secrets = (PASSWORD, first, own, made.json["key"], token, page.fields["x-csrf-token"])
            reloaded = await page.send("POST", "/api/admin/config/reload", {})
            assert (reloaded.status, "several workers" in reloaded.body.decode()) == (
                (400, True) if workers == "1" else (200, False)
            )
        # A reload lets idle connections end.
        again = Page(Client(gateway.url))
        async with again.client:
            again.fields = page.fields
            audit = (await again.send("GET", "/api/admin/audit?limit=2")).json["entries"]
            assert [each["action"] for each in audit] == ["settings.reload"] * 2
            told = await again.send("POST", "/api/auth/login", {"email": ADMIN, "password": first})
            assert told.status == 401
        await gateway.stop()
    for secret in secrets:
        assert not [
            file for file in place.data.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()
        ]
        assert secret not in gateway.err
