"""S1 to S6: keys that cannot be guessed, are no use where they are stored, and open only what is theirs."""

from __future__ import annotations

import hashlib
import hmac
import re
import string
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import trio

from proxy.control.socket import ControlError
from proxy.edge.surfaces import SURFACES
from proxy.words.ids import KEY_PATTERN, KEY_PREFIXES, KeyKind, key_kind, new_key
from tests.e2e.harness import EMAIL, Running, running, settings_for
from tests.fakes.client import Answer, Client, chat, get, post
from tests.patience import PATIENCE

BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
PATH: Final = "/chat/completions"
HELLO: Final = chat("sim/echo", stream=False)
KINDS: Final[tuple[KeyKind, ...]] = get_args(KeyKind)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(settings_for(tmp_path, [])) as under_test:
        yield under_test


def checksum(body: str) -> str:
    """Compute it as documented, without the code under test: CRC-32 in six digits of base 62."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


@pytest.mark.parametrize("kind", KINDS)
def test_s1_a_key_is_190_bits_of_chance_and_a_checksum(kind: KeyKind) -> None:
    prefix = KEY_PREFIXES[kind]
    keys = [new_key(kind) for _ in range(1000)]
    bodies = [key.removeprefix(prefix) for key in keys]
    assert len(set(bodies)) == 1000
    for key, body in zip(keys, bodies, strict=True):
        assert len(body) == 38
        assert set(body) <= set(BASE62)
        assert key.endswith(checksum(key[:-6]))
    # Each of 62 letters is met at each of 32 places: what is left out by chance is e**-16 of them.
    for place in range(32):
        assert len({body[place] for body in bodies}) > 55, f"place {place} is not chance"


def holding(directory: Path, secret: bytes) -> list[Path]:
    return [file for file in directory.rglob("*") if file.is_file() and secret in file.read_bytes()]


async def test_s2_a_key_is_shown_once_and_kept_as_a_keyed_hash(gateway: Running, tmp_path: Path) -> None:
    key = await gateway.key()
    pepper = (tmp_path / "secrets" / "pepper").read_bytes()
    ((digest, prefix, last4),) = await gateway.bank.store.read("SELECT digest, prefix, last4 FROM api_key")
    assert digest == hmac.digest(pepper, key.encode(), hashlib.sha256)
    assert (prefix, last4) == ("fd_agg_", key[-4:])
    assert key not in str(await gateway.bank.office.keys.list(EMAIL))
    assert (await post(gateway.url, PATH, HELLO, key=key)).status == 200
    await gateway.finished()
    assert holding(tmp_path, key.encode()) == []
    assert [file.name for file in holding(tmp_path, pepper)] == ["pepper"]


@pytest.mark.parametrize("kind", KINDS)
def test_s3_a_slip_is_seen_without_a_look_up_and_the_pattern_finds_keys(kind: KeyKind) -> None:
    key = new_key(kind)
    assert key_kind(key) == kind
    for place in range(len(KEY_PREFIXES[kind]), len(key)):
        slip = "x" if key[place] != "x" else "y"
        assert key_kind(key[:place] + slip + key[place + 1 :]) is None
    said = f'export KEY="{key}"; curl -H "Authorization: Bearer {key}"'
    assert re.findall(KEY_PATTERN, said) == [key, key]


def refused_keys(good: str) -> dict[str, dict[str, str]]:
    """Return fields of requests that no one may make."""
    slip = good[:-1] + ("0" if good[-1] != "0" else "1")
    wrong = {
        "none": {},
        "a slip": {"Authorization": f"Bearer {slip}"},
        "unknown": {"Authorization": f"Bearer {new_key('account')}"},
        "another scheme": {"Authorization": f"Basic {good}"},
        "an upstream's": {"Authorization": "Bearer sk-upstream-CANARY-0123456789"},
        "a truncated one": {"Authorization": f"Bearer {good[:20]}"},
        "a longer one": {"Authorization": f"Bearer {good}0"},
        "quotes": {"x-api-key": "' OR ''='"},
        "in a cookie": {"Cookie": f"session={good}; api_key={good}"},
    }
    return {what: {"Content-Type": "application/json", **fields} for what, fields in wrong.items()}


async def test_s4_every_refusal_has_the_same_words(gateway: Running) -> None:
    key = await gateway.key()
    made = await gateway.bank.office.keys.create(EMAIL, "account", "second")
    revoked = made["key"]
    await gateway.bank.office.keys.revoke(made["id"])
    fields = {**refused_keys(key), "revoked": {"Authorization": f"Bearer {revoked}"}}
    answers: list[Answer] = [
        await post(gateway.url, PATH, HELLO, headers={**each, "X-Request-ID": "same"})
        for each in fields.values()
    ]
    assert {(answer.status, answer.body) for answer in answers} == {(401, answers[0].body)}
    names = {tuple(sorted(answer.headers.keys() - {"date"})) for answer in answers}
    assert len(names) == 1
    assert gateway.receipts == []


async def test_s5_keys_that_share_their_beginning_are_two_and_a_revoked_one_ends_at_once(
    gateway: Running,
) -> None:
    """What is remembered of a key goes by all of it (CVE-2026-35030)."""
    key = await gateway.key()
    assert (await post(gateway.url, PATH, HELLO, key=key)).status == 200
    body = key[:-7] + ("a" if key[-7] != "a" else "b")
    twin = body + checksum(body)
    assert (key_kind(twin), twin[:-8]) == ("account", key[:-8])
    assert (await post(gateway.url, PATH, HELLO, key=twin)).status == 401
    assert (await post(gateway.url, PATH, HELLO, key=key)).status == 200
    ((number,),) = await gateway.bank.store.read("SELECT id FROM api_key")
    await gateway.bank.office.keys.revoke(number)
    with trio.fail_after(PATIENCE):
        while (await post(gateway.url, PATH, HELLO, key=key)).status == 200:
            await trio.lowlevel.checkpoint()


def routes() -> list[tuple[str, str]]:
    return sorted({(surface.method, surface.path) for surface in SURFACES})


async def test_s6_every_route_in_the_table_asks_for_a_key_and_no_other_answers(gateway: Running) -> None:
    key = await gateway.key()
    base = gateway.url.removesuffix("/v1")
    asked: list[tuple[str, str, int]] = []
    for method, path in routes():
        body: Any = None if method == "GET" else {}
        plain = re.sub(r"{[^}]*}", "x", path)
        async with Client(base) as client:
            await client.request(plain, body, method=method)
            asked.append((method, plain, (await client.whole()).status))
    assert len(asked) > 20
    assert [each for each in asked if each[2] != 401] == []
    for path in (
        "/v1/unlisted",
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "/V1/chat/completions",
        "/v1/../healthz",
    ):
        assert (await post(base, path, HELLO, key=key)).status in {400, 404, 405}, path


@pytest.mark.parametrize(
    "host",
    ["", "evil.example/v1/models?", "a b", "127.0.0.1:8000/healthz", "a@b", "x\x0by", "[::1"],
    ids=repr,
)
async def test_s6_the_host_field_chooses_no_route(gateway: Running, host: str) -> None:
    """A path is what the request's target says, whatever the Host (CVE-2026-49468)."""
    answer = await get(gateway.url, "/models", headers={"Host": host})
    assert answer.status in {400, 401}
    assert answer.error["type"] in {"invalid_api_key", "invalid_request_error"}


COLUMNS: Final = (
    "balance",
    "account",
    "digest",
    "rpm = 1, name",
    "rpm) VALUES (1); DROP TABLE api_key; --",
    "",
    "admin",
)


@pytest.mark.parametrize("column", COLUMNS)
async def test_s10_names_of_columns_are_never_a_clients(gateway: Running, column: str) -> None:
    """What may be set is on a list of ours; no other name comes near a statement (S9 too)."""
    await gateway.key()
    office = gateway.bank.office
    made = await office.keys.create(EMAIL, "project", project="shop")
    before = await gateway.bank.store.read("SELECT * FROM api_key")
    given: dict[str, Any] = {column: 1}
    for call in (
        office.keys.create(EMAIL, **given),
        office.projects.create(EMAIL, "second", **given),
        office.keys.set(made["id"], given),
        office.projects.set(1, given),
    ):
        with pytest.raises(ControlError, match="no such setting"):
            await call
    assert await gateway.bank.store.read("SELECT * FROM api_key") == before
    assert await gateway.bank.store.read("SELECT name FROM project") == [("shop",)]
