"""What a request costs at the edges: a hold still being taken, a cap reached, an answer that fails."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from proxy.bank.verify import verify
from proxy.settings import Allowance
from proxy.words.money import ceil_div
from proxy.words.principal import Limits
from tests.fakes import script as say
from tests.fakes.client import Client, chat, post, text_of
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import PATIENCE

from .harness import Running, provider, running, settings_for
from .stage import PATH, PROMPT, price

HOLD = ceil_div(price(PROMPT, 8) * 120, 100)
"""Of a request for eight tokens, in nano-USD."""


async def check_books(gateway: Running) -> None:
    assert await gateway.open_holds() == 0
    assert (await gateway.balance())[1] == 0
    assert (await verify(gateway.bank.store)).ok


@pytest.mark.fault("F3")
async def test_a_client_that_leaves_while_its_hold_is_written_leaves_none(
    tmp_path: Path, upstream: FaultyUpstream
) -> None:
    """The store is kept busy until the client has gone; the hold is taken then, and ended all the same."""
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        key = await gateway.key()
        with closing(sqlite3.connect(tmp_path / "headrace.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with Client(gateway.url, key) as client:
                await client.request(PATH, chat(max_tokens=8))
                with trio.fail_after(PATIENCE):
                    while not gateway.bank.desk.statistics().pending:  # noqa: ASYNC110 - it announces nothing
                        await trio.sleep(0.002)
                client.close()
                with trio.fail_after(PATIENCE):
                    while not gateway.receipts:
                        await gateway.receipts.told.wait()
            other.execute("ROLLBACK")
        receipt = await gateway.finished()
        assert (receipt.outcome, receipt.cost) == ("client_abort", 0)
        ends = await gateway.bank.store.read("SELECT kind FROM hold_end")
        assert ends == [("void",)]
        assert upstream.hits == 0
        await check_books(gateway)


@pytest.mark.parametrize("trouble", ["rst", "fin", "end"])
async def test_a_whole_answer_that_failed_costs_nothing(
    tmp_path: Path, upstream: FaultyUpstream, trouble: say.Ending
) -> None:
    upstream.default = say.broken(3, trouble)
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        answer = await post(gateway.url, PATH, chat(max_tokens=8, stream=False), key=await gateway.key())
        assert answer.status == 502
        receipt = await gateway.finished()
        assert (receipt.outcome, receipt.cost, receipt.usage.total_tokens) == ("upstream_error", 0, 0)
        assert (await gateway.balance())[0] == 1_000_000_000
        await check_books(gateway)


@pytest.mark.fault("F39", "F74")
@pytest.mark.parametrize("cap", [HOLD, HOLD + 1, 2 * HOLD, 5 * HOLD - 7])
async def test_a_hold_grows_no_larger_than_a_request_may_cost(
    tmp_path: Path, upstream: FaultyUpstream, cap: int
) -> None:
    upstream.default = Script(tokens=say.ENDLESS)
    plain = settings_for(tmp_path, [provider("up", upstream.base_url)])
    capped = replace(plain, plans={"default": Allowance(Limits(max_request=cap))})
    async with running(capped) as gateway:
        async with Client(gateway.url, await gateway.key()) as client:
            await client.request(PATH, chat(max_tokens=8))
            with trio.fail_after(PATIENCE):
                answer = await client.whole()
        assert b"[DONE]" not in answer.payloads
        assert b"permission_denied" in answer.payloads[-1] or b"permission_error" in answer.payloads[-1]
        receipt = await gateway.finished()
        assert receipt.cost == price(PROMPT, len(text_of(answer.payloads)) // 4)
        assert HOLD // 2 < receipt.cost <= cap
        assert receipt.held <= cap
        await check_books(gateway)


@pytest.mark.parametrize(
    ("script", "takes", "outcome"),
    [
        (Script(), None, "ok"),
        (say.broken(3, "rst"), None, "upstream_error"),
        (Script(at=((4, say.STALL),)), 3, "client_abort"),
    ],
    ids=["whole", "broken", "left"],
)
async def test_each_request_is_told_of_charged_and_recorded_once(
    tmp_path: Path, upstream: FaultyUpstream, script: Script, takes: int | None, outcome: str
) -> None:
    upstream.default = script
    async with running(settings_for(tmp_path, [provider("up", upstream.base_url)])) as gateway:
        key = await gateway.key()
        for _ in range(3):
            async with Client(gateway.url, key) as client:
                await client.request(PATH, chat(max_tokens=8))
                await client.head()
                await client.payloads(takes)
        await gateway.finished(3)
        await trio.testing.wait_all_tasks_blocked()
        receipts = gateway.receipts
        assert [receipt.outcome for receipt in receipts] == [outcome] * 3
        assert len({receipt.generation_id for receipt in receipts}) == 3
        recorded = await gateway.bank.store.read("SELECT generation_id, cost FROM usage_record ORDER BY 1")
        assert recorded == sorted((receipt.generation_id, receipt.cost) for receipt in receipts)
        assert (await gateway.balance())[0] == 1_000_000_000 - sum(receipt.cost for receipt in receipts)
        counted = gateway.gateway.metrics.registry.get_sample_value("headrace_settled_nanousd_total", {})
        assert counted == sum(receipt.cost for receipt in receipts)
        await check_books(gateway)
