"""What an account is told of its requests: summed, listed, one by one, and as a file."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from proxy.control.sums import TOP

from .kit import A, Browser, Stand

SUMS = "/api/user/usage"
LIST = "/api/user/usage/requests"
DAY = 86_400


class Account:
    """A's requests, each a second after the one before."""

    def __init__(self, api: Stand, browser: Browser, key: int) -> None:
        self.api, self.browser, self.key = api, browser, key
        self._made = 0

    async def spend(self, **said: Any) -> str:
        """Have a request made and settled; `said` are fields of its record."""
        self._made += 1
        self.api.clock.now += 1
        generation = f"gen_{self._made:03}"
        await self.api.spend(1, said.pop("key", self.key), generation, **{"cost": 100, **said})
        return generation

    async def listed(self, query: str = "") -> list[str]:
        told = (await self.browser.get(f"{LIST}?{query}")).json
        return [each["generation_id"] for each in told["requests"]]

    async def sums(self, query: str) -> list[dict[str, Any]]:
        told = await self.browser.get(f"{SUMS}?{query}")
        assert told.status == 200, told.body
        found: list[dict[str, Any]] = told.json["sums"]
        return found


@pytest.fixture
async def account(api: Stand) -> Account:
    key = await api.bank.office.command("keys.create", {"email": A, "name": "first"})
    return Account(api, await api.signed_in(A), key["id"])


async def test_requests_are_found_by_whatever_is_known_of_them(account: Account) -> None:
    other = await account.api.bank.office.command(
        "keys.create", {"email": A, "kind": "project", "project": "p"}
    )
    played = (await account.browser.post("/api/user/playground-token")).json
    ((play,),) = await account.api.bank.store.read("SELECT id FROM api_key WHERE playground = 1")
    assert played["key"]
    one = await account.spend(model="m/a", model_asked="fast", provider="x", request_id="mine")
    two = await account.spend(model="m/b", provider="y", key=other["id"], project=1)
    three = await account.spend(model="m/b", provider=None, outcome="upstream_error")
    four = await account.spend(outcome="client_abort", key=play)
    for query, found in {
        "": [four, three, two, one],
        "model=m/b": [three, two],
        "model=fast": [one],
        "provider=y": [two],
        "project=p": [two],
        f"key={other['id']}": [two],
        "key=0": [four],
        "request=mine": [one],
        f"request={three}": [three],
        "request=unknown": [],
        "failed=true": [three],
        "failed=true&provider=x": [],
        "since=2027-01-16": [],
    }.items():
        assert await account.listed(query) == found, query
        summed = sum(each["requests"] for each in await account.sums(f"by=model&{query}"))
        assert summed == len(found), query
    names = {each["key"]: each["name"] for each in await account.sums("by=key")}
    assert names == {account.key: "first", other["id"]: names[other["id"]], 0: "Playground"}
    assert names[other["id"]].startswith("flp_sk_")


async def test_pages_of_requests_meet_and_end(account: Account) -> None:
    made = [await account.spend() for _ in range(5)]
    account.api.clock.now -= 1
    made.append(await account.spend())
    pages, before = [], ""
    while True:
        told = (await account.browser.get(f"{LIST}?limit=2{before}")).json
        pages.append([each["generation_id"] for each in told["requests"]])
        if told["next"] is None:
            break
        before = f"&before={told['next']}"
    assert pages == [made[5:3:-1], made[3:1:-1], made[1::-1], []]
    for wrong in ("x", "_", "-1_gen", "9999999999999999999_gen", "%D9%A3_gen"):
        assert (await account.browser.get(f"{LIST}?before={wrong}")).status == 400


async def test_days_come_in_parts_and_what_is_small_is_their_rest(account: Account) -> None:
    for number in range(TOP + 2):
        await account.spend(model=f"m{number}", cost=100 + number)
    account.api.clock.now += DAY
    account.browser = await account.api.signed_in(A)
    await account.spend(model="m0")
    await account.spend(model="m5", outcome="internal_error")
    sums = await account.sums("by=day&split=model")
    days = [each["day"] for each in await account.sums("by=day")]
    assert len(days) == 2
    assert [(each["day"], each["model"], each["other"], each["failed"]) for each in sums] == [
        (days[0], "m0", False, 0),
        (days[0], "m3", False, 0),
        (days[0], "m4", False, 0),
        (days[0], "m5", False, 0),
        (days[0], None, True, 0),
        (days[1], "m0", False, 0),
        (days[1], "m5", False, 1),
    ]
    assert sums[4]["requests"] == 2
    assert sums[4]["cost"] == pytest.approx((101 + 102) / 1e6)
    for wrong in ("by=model&split=key", "split=day", "by=hour"):
        assert (await account.browser.get(f"{SUMS}?{wrong}")).status == 400


async def test_how_quick_requests_were(account: Account) -> None:
    """Nearest rank, of those that ended well; of a whole answer by the attempt that gave it."""
    for first in range(1, 20):
        await account.spend(first_token_ms=first * 10)
    await account.spend(first_token_ms=None, stream=False)
    await account.spend(first_token_ms=9000, outcome="client_abort")
    (all_of_it,) = await account.sums("by=all&latency=true")
    (day,) = await account.sums("by=day&latency=true")
    for each in (all_of_it, day):
        assert (each["requests"], each["first_token_p50"], each["first_token_p95"]) == (21, 90, 180)
    (whole, *_) = (await account.browser.get(f"{LIST}?limit=2")).json["requests"][1:]
    assert whole["first_token_ms"] == 1
    assert await account.sums("by=all&latency=true&provider=none") == []
    (plain,) = await account.sums("by=all")
    assert plain["first_token_p50"] is None


async def test_one_request_is_told_with_its_attempts_but_not_with_what_they_cost_us(account: Account) -> None:
    generation = await account.spend()
    told = (await account.browser.get(f"{LIST}/{generation}")).json
    assert told["attempts"] == [
        {
            "provider": "sim",
            "model": "echo",
            "outcome": "ok",
            "status": 200,
            "started_ms": 0,
            "first_token_ms": 1,
            "duration_ms": 2,
        }
    ]
    assert (told["key_name"], told["usage"]) == ("first", {"input": 3, "output": 4})


async def test_a_file_has_all_that_is_chosen_and_runs_nothing(account: Account) -> None:
    await account.spend(request_id="=HYPERLINK(1)", model_asked="+1", cost=250_000)
    for _ in range(3):
        await account.spend(provider="other")
    told = await account.browser.get(f"{LIST}?format=csv&limit=1&provider=sim")
    (row,) = csv.DictReader(io.StringIO(told.body.decode()))
    assert (row["request_id"], row["model_asked"], row["cost"]) == ("'=HYPERLINK(1)", "'+1", "0.25")
    assert (row["key_name"], row["input"], row["reasoning"]) == ("first", "3", "0")
    assert told.headers["content-disposition"] == 'attachment; filename="requests.csv"'
    everything = await account.browser.get(f"{LIST}?format=csv")
    assert len(everything.body.decode().splitlines()) == 5


async def test_a_file_is_read_in_pages_and_ends(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("usage", "sheet"):
        monkeypatch.setattr(f"proxy.control.api.{module}.ROWS", 2)
    monkeypatch.setattr("proxy.control.api.usage._ROWS", 4)
    made = [await account.spend() for _ in range(5)]
    told = await account.browser.get(f"{LIST}?format=csv")
    rows = csv.DictReader(io.StringIO(told.body.decode()))
    assert [row["generation_id"] for row in rows] == made[:0:-1]
