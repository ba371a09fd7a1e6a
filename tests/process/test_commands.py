"""The commands, while the gateway runs (by its control socket) and while it is stopped (on the store)."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from tests.fakes.client import get
from tests.patience import LONG

from .place import Done, Place, nano, wait_until

A = "a@example.com"
PREFIXES: Mapping[str, str] = {
    "account": "fd_agg_",
    "gateway": "fk-",
    "project": "flp_sk_",
    "mcp": "fd_mcp_",
}


@asynccontextmanager
async def _in(state: str, place: Place) -> AsyncIterator[None]:
    if state == "stopped":
        yield
        return
    async with place.serving() as gateway:
        yield
        await gateway.stop()


async def _all(place: Place, *commands: tuple[str, ...], done: dict[int, Done] | None = None) -> list[Done]:
    """Run commands side by side; return what became of each, in their order, and note it in `done`."""
    done = {} if done is None else done
    # More at a time would not meet more often, but keep the gateway from its share of the processor.
    places = trio.CapacityLimiter(8)

    async def run(number: int, args: tuple[str, ...]) -> None:
        async with places:
            done[number] = await place.run(*args)

    async with trio.open_nursery() as nursery:
        for number, args in enumerate(commands):
            nursery.start_soon(run, number, args)
    return [done[number] for number in range(len(commands))]


@pytest.mark.parametrize("state", ["running", "stopped"])
async def test_accounts_credits_and_keys(tmp_path: Path, state: str) -> None:
    place = Place(tmp_path)
    async with _in(state, place):
        made, admin, plain = await _all(
            place,
            ("accounts", "create", A, "--credits", "1.5", "--json"),
            ("accounts", "create", "b@example.com", "--admin", "--json"),
            ("accounts", "create", "c@example.com", "-q"),
        )
        account = {"account": made.json["account"], "email": A, "credits": "1.5", "password": None}
        assert {**made.json, "database": None} == {**account, "database": None}
        assert len(admin.json["password"]) >= 22
        assert plain.value.isdigit()

        one, another = await _all(
            place,
            ("credits", "grant", A, "0.000001", "-q"),
            ("credits", "grant", A, "2", "--json"),
        )
        assert (one.value, another.json["available"]) in {("1.500001", "3.500001"), ("3.500001", "3.5")}
        bare, told, *keys = await _all(
            place,
            ("credits", "balance", A, "-q"),
            ("credits", "balance", A, "--json"),
            *(("keys", "create", A, "--kind", kind, "-q", *_project(kind)) for kind in PREFIXES),
        )
        assert bare.value == "3.500001"
        assert told.json == {"email": A, "posted": "3.500001", "held": "0", "available": "3.500001"}
        for key, prefix in zip(keys, PREFIXES.values(), strict=True):
            assert key.value.startswith(prefix)
        listed = await place.listed(A)
        assert sorted((key["kind"], key["revoked"]) for key in listed) == [
            (kind, False) for kind in sorted(PREFIXES)
        ]
        ids = {key["kind"]: str(key["id"]) for key in listed}

        revoked, rotated = await _all(
            place,
            ("keys", "revoke", ids["account"], "-q"),
            ("keys", "rotate", ids["project"], "-q"),
        )
        assert revoked.value == ids["account"]
        assert rotated.value.startswith("flp_sk_")
        second = await place.run("keys", "create", A, "--kind", "project", "--project", "P", "--json")
        assert sorted(second.json) == ["id", "key", "kind", "replaced"]
        seen, table, quiet = await _all(
            place, ("keys", "list", A, "--json"), ("keys", "list", A), ("verify", "-q")
        )
        live = [key["kind"] for key in seen.json["keys"] if not key["revoked"]]
        assert sorted(live) == ["gateway", "mcp", "project"], "a project has one active key"
        assert table.out.count("\n") == len(seen.json["keys"]) == 6
        assert not [key for key in keys if key.value in table.out + seen.out]
        assert quiet.value == "ok"
        figures = await place.verified()
        assert figures["open_holds"] == 0
        assert set(figures["invariants"]) == {f"I{number}" for number in range(1, 15)}


async def test_a_list_of_keys_says_what_each_is_for(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.run("accounts", "create", A)
    await place.run("keys", "create", A, "--name", "lap top", "--rpm", "30", "--strategy", "hedge")
    await place.run("keys", "create", A, "--kind", "project", "--project", "P")
    await place.run("keys", "rotate", "1")
    lines = (await place.run("keys", "list", A)).out.splitlines()
    assert [line.split(maxsplit=2)[0::2] for line in lines] == [
        ["1", "account  revoked  lap top rpm=30 strategy=hedge"],
        ["2", "project  active   project=P"],
        ["3", "account  active   lap top rpm=30 strategy=hedge"],
    ]
    own = [(key["rpm"], key["strategy"], key["project"]) for key in await place.listed(A)]
    assert own == [(30, "hedge", None), (None, None, "P"), (30, "hedge", None)]


async def test_keys_and_projects_are_set_and_shown(tmp_path: Path) -> None:
    place = Place(tmp_path, more="[plans.team]\nrpm = 50\n")
    await place.run("accounts", "create", A, "--plan", "team")
    limits = ("--rpm", "5", "--max-request", "0.5", "--cost-per-day", "2", "--models", "sim/echo,fast")
    await place.run("keys", "create", A, *limits, "--expires", "2999-01-01", "--tokens-per-day", "9")
    project = await place.run("projects", "create", A, "P", "--rpm", "7", "--json")
    line, other = (await place.run("keys", "list", A)).out.splitlines()
    assert line.split(maxsplit=4)[4] == (
        "rpm=5 tokens_per_day=9 max_request=0.5 cost_per_day=2 models=fast,sim/echo expires=2999-01-01T00:00Z"
    )
    assert other.split(maxsplit=4)[4] == "project=P"
    await place.run("keys", "set", "1", "--rpm", "6", "--models", "none", "--name", "n", "--strategy", "race")
    told = (await place.run("keys", "show", "1", "--json")).json
    assert (told["rpm"], told["models"], told["name"], told["strategy"]) == (6, None, "n", "race")
    assert told["max_request"] == "0.5"
    await place.run("projects", "set", "1", "--models", "sim/echo", "--rpm", "none")
    assert (await place.run("projects", "list", A)).out.split(maxsplit=2)[2] == "P models=sim/echo\n"
    rotated = await place.value("projects", "rotate", "1")
    assert rotated.startswith("flp_sk_")
    assert rotated != project.json["key"]
    assert await place.value("projects", "delete", "1") == "1"
    assert (await place.run("projects", "list", A)).out == ""
    actions = [entry["action"] for entry in (await place.run("audit", "list", "--json")).json["entries"]]
    assert actions[:4] == ["projects.delete", "projects.delete", "projects.rotate", "projects.rotate"]
    assert "projects.rotate  done" in (await place.run("audit", "list")).out


async def test_an_account_from_its_plan_to_its_end(tmp_path: Path) -> None:
    place = Place(tmp_path, more="[plans.team]\nrpm = 50\n")
    await place.run("accounts", "create", A, "--credits", "3")
    assert await place.value("accounts", "plan", A, "team") == "team"
    assert (await place.run("accounts", "list")).out.split() == ["1", "active", "team", "3", A]
    refused = (await place.run("accounts", "plan", A, "gold")).refused()
    assert refused == "headrace: there is no plan 'gold'; the configuration has default, team"
    assert await place.value("accounts", "block", A) == "blocked"
    assert await place.value("accounts", "unblock", A) == "active"
    told = (await place.run("accounts", "export", A)).json
    assert told["profile"]["plan"] == "team"
    assert [told[part] for part in ("keys", "usage", "days", "texts")] == [[]] * 4
    assert [row["amount"] for row in told["ledger"]] == ["3"]
    assert await place.value("accounts", "close", A) == "closed"
    assert await place.value("accounts", "delete", A) == "1"
    assert "there is no account" in (await place.run("accounts", "show", A)).refused()
    assert (await place.run("accounts", "list")).out == ""
    await place.verified()


def _project(kind: str) -> tuple[str, ...]:
    return ("--project", "P") if kind == "project" else ()


@pytest.mark.parametrize("state", ["running", "stopped"])
async def test_refusals_are_one_line_on_stderr_and_change_nothing(tmp_path: Path, state: str) -> None:
    place = Place(tmp_path)
    refusals = {
        ("accounts", "create", A.upper()): "there is an account",
        ("accounts", "create", "not-an-address"): "not an e-mail address: 'not-an-address'",
        ("accounts", "create", "n@example.com", "--credits=-1"): "starting credits must not be below zero",
        ("accounts", "create", "n@example.com", "--credits", "1/3"): "credits: not a decimal number: '1/3'",
        ("credits", "grant", "nobody@example.com", "1"): "there is no account nobody@example.com",
        ("credits", "grant", A, "-1"): "the amount must be above zero",
        ("credits", "grant", A, "0.0000001"): "credits: finer than one nano-USD",
        ("credits", "grant", A, "9223372036854"): "the ledger refused the grant",
        ("credits", "balance", "nobody@example.com"): "there is no account",
        ("keys", "create", "nobody@example.com"): "there is no account",
        ("keys", "create", A, "--kind", "project"): "belongs to a project",
        ("keys", "create", A, "--project", "P"): "belongs to a project",
        ("keys", "create", A, "--name", "n" * 65): "a name has at most 64 characters",
        ("keys", "create", A, "--kind", "project", "--project", ""): "a project's name has 1 to 64",
        ("keys", "revoke", "4711"): "there is no active key 4711",
        ("keys", "rotate", "4711"): "there is no active key 4711",
    }
    if state == "running":
        # The office is the same; only the way there is another.
        refusals = dict(list(refusals.items())[::3])
    async with _in(state, place):
        await place.run("accounts", "create", A, "--credits", "1")
        before = _content(place)
        done = await _all(place, *refusals)
        for said, refused in zip(refusals.values(), done, strict=True):
            assert said in refused.refused(), refused
            assert refused.err.startswith("headrace: ")
        assert _content(place) == before


def _content(place: Place) -> list[object]:
    tables = ("account", "profile", "project", "api_key", "journal")
    return [
        place.rows(f"SELECT * FROM {table}")  # noqa: S608
        for table in tables
    ]


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("nonsense",),
        ("credits",),
        ("keys", "revoke", "one"),
        ("keys", "revoke", "99999999999999999999"),
        ("keys", "create", A, "--kind", "nonsense"),
        ("keys", "create", A, "--rpm", "0"),
        ("keys", "create", A, "--name", "\x1b[2J"),
        ("verify", "-q", "--json"),
    ],
    ids=" ".join,
)
async def test_wrong_arguments_end_with_2_and_touch_nothing(tmp_path: Path, args: tuple[str, ...]) -> None:
    place = Place(tmp_path)
    done = await place.run(*args)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert "\x1b" not in done.err
    assert not place.data.exists()


@pytest.mark.parametrize(
    "args",
    [
        ("verify",),
        ("keys", "list", A),
        ("keys", "create", A),
        ("keys", "revoke", "1"),
        ("credits", "balance", A),
        ("credits", "grant", A, "1"),
    ],
    ids=" ".join,
)
async def test_where_there_is_no_database_none_is_made_to_look_into(
    tmp_path: Path, args: tuple[str, ...]
) -> None:
    place = Place(tmp_path)
    said = f"headrace: there is no database {place.data / 'headrace.db'}: "
    assert (await place.run(*args)).refused().startswith(said)
    assert not place.data.exists()
    # What is left of a first start that did not get so far is no database either.
    place.data.mkdir()
    (place.data / "lock").touch()
    assert (await place.run(*args)).refused().startswith(said)
    assert [file.name for file in place.data.iterdir()] == ["lock"]


async def test_the_account_that_makes_a_database_says_where(tmp_path: Path) -> None:
    place = Place(tmp_path)
    first = await place.run("accounts", "create", A)
    second = await place.run("accounts", "create", "b@example.com")
    assert f"database:    {place.data / 'headrace.db'}\n" in first.out
    assert "database" not in second.out


async def test_a_broken_ledger_ends_verify_with_1(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.run("accounts", "create", A, "--credits", "1")
    place.write("UPDATE account SET posted = posted + 1")
    for how in ("-q", "--json"):
        done = await place.run("verify", how)
        assert (done.code, done.err) == (1, "")
    told = (await place.run("verify")).out.splitlines()
    assert told[0] == "I1   ok     every transaction's amounts sum to zero"
    assert told[1].startswith(
        "I2   BROKEN an account's posted credits are the sum of its postings: account 1 has "
    )
    assert done.json["ok"] is False
    assert done.json["drift_nanousd"] == 1
    assert done.json["invariants"]["I2"]["ok"] is False


async def _more(done: Mapping[int, Done], number: int, *, of: int) -> None:
    enough = min(len(done) + number, of)
    await wait_until(lambda: len(done) >= enough, LONG)


async def test_fifty_commands_while_the_gateway_comes_and_goes(tmp_path: Path) -> None:
    """None is lost that said it was done, none is done twice, and nothing is broken."""
    place = Place(tmp_path)
    await place.run("accounts", "create", A)
    grants = [("credits", "grant", A, "1") for _ in range(25)]
    keys = [("keys", "create", A, "-q") for _ in range(15)]
    others = [("credits", "balance", A), ("keys", "list", A)] * 5
    commands = [*grants, *keys, *others]
    random.Random(7).shuffle(commands)
    done: dict[int, Done] = {}

    async def come_and_go() -> None:
        while len(done) < len(commands):
            async with place.serving() as gateway:
                await _more(done, 12, of=len(commands))
                await gateway.stop()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(come_and_go)
        await _all(place, *commands, done=done)
    for one in done.values():
        if one.code != 0:
            assert "the gateway stopped before it answered" in one.refused()
    granted = sum(done[n].code == 0 for n, command in enumerate(commands) if command in grants)
    shown = {done[n].value for n, command in enumerate(commands) if command in keys and done[n].code == 0}
    posted, held = await place.balance(A)
    assert nano(str(granted)) <= posted <= nano("25")
    assert held == 0
    assert len(shown) <= len(await place.listed(A)) <= 15
    await place.verified()
    async with place.serving() as gateway:
        for key in sorted(shown)[:3]:
            assert (await get(gateway.url, "/v1/models", key=key)).status == 200
        await gateway.stop()
