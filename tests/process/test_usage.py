"""Records, lessons and texts by the command line and over a stop, in one process and in several."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.client import chat, post

from .place import ADMIN, Place

PROMPT = "What is the sum of the first hundred numbers, and how would one find it without adding? " * 10
ASKED = 48


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_what_requests_left_behind(tmp_path: Path, workers: str) -> None:
    place = Place(tmp_path)
    async with place.serving("--workers", workers) as gateway:
        key = gateway.starter_key
        on = await place.run("accounts", "texts", ADMIN, "on", "--days", "3", "--json")
        assert on.json == {"email": ADMIN, "texts": "on", "days": 3, "deleted": 0}
        body = chat("sim/lorem:tokens=120,ttft=0", stream=False)
        body["messages"][0]["content"] = PROMPT
        for number in range(ASKED):
            answer = await post(
                gateway.url, "/v1/chat/completions", body, key=key, headers={"X-Request-ID": f"r-{number}"}
            )
            assert answer.status == 200
        listed = (await place.run("usage", "list", ADMIN, "--limit", "100", "--json")).json["requests"]
        assert [each["request_id"] for each in listed] == [f"r-{n}" for n in reversed(range(ASKED))]
        (found,) = (await place.run("usage", "find", "r-7", "--json")).json["requests"]
        generation = found["generation_id"]
        shown = await place.run("usage", "show", generation)
        assert f"generation_id:  {generation}" in shown.out
        assert "attempt 1:      provider=sim" in shown.out
        assert PROMPT not in shown.out
        assert PROMPT in (await place.run("usage", "show", generation, "--text")).out
        (day,) = (await place.run("usage", "summary", ADMIN, "--json")).json["sums"]
        assert (day["requests"], day["completion_tokens"]) == (ASKED, ASKED * 120)
        (model,) = (await place.run("usage", "summary", ADMIN, "--by", "model", "--json")).json["sums"]
        assert (model["model"], model["cost"]) == ("sim/lorem", day["cost"])
        await gateway.stop()
    assert place.rows("SELECT model FROM learned") == [("sim/lorem",)]
    assert place.rows("SELECT count(*) FROM usage_text") == [(ASKED,)]
    off = await place.run("accounts", "texts", ADMIN, "off")
    assert "deleted:     48" in off.out
    assert place.rows("SELECT count(*) FROM usage_text") == [(0,)]
    assert (await place.run("verify")).code == 0


async def test_what_cannot_be_found_is_refused_in_a_line(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert (await place.run("accounts", "create", ADMIN)).code == 0
    for command in (("show", "gen_x"), ("find", "x"), ("list", "nobody@example.com")):
        assert (await place.run("usage", *command)).refused().startswith("headrace: ")
