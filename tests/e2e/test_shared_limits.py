"""Limits that keys share, over sockets: a plan's are all its keys' together, a project's those of its key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from proxy.settings import Allowance
from proxy.words.ids import KeyKind
from proxy.words.principal import Limits
from tests.fakes.client import Answer, chat, post

from .harness import EMAIL, running, settings_for

HELLO = chat("sim/echo", stream=False, max_tokens=8)


@pytest.mark.fault("F36")
@pytest.mark.parametrize("second", ["account", "project"])
async def test_a_burst_by_two_keys_uses_no_more_than_their_plan_gives(
    tmp_path: Path, second: KeyKind
) -> None:
    plain = settings_for(tmp_path, [])
    limited = replace(plain, plans={"default": Allowance(Limits(tokens_per_day=200))})
    async with running(limited) as gateway:
        keys = [await gateway.key()]
        project = "shop" if second == "project" else None
        made = await gateway.bank.office.keys.create(EMAIL, second, project=project)
        keys.append(made["key"])
        answers: list[Answer] = []

        async def ask(key: str) -> None:
            answers.append(await post(gateway.url, "/chat/completions", HELLO, key=key))

        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(ask, keys[number % 2])
        await gateway.finished(40)
        refused = [answer for answer in answers if answer.status == 429]
        used = sum(each.usage.total_tokens for each in gateway.receipts)
        assert 0 < used <= 200
        assert len(refused) == 40 - sum(answer.status == 200 for answer in answers) > 0
        assert {answer.error["type"] for answer in refused} == {"rate_limit_error"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
