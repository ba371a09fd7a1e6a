"""The database stops under load and comes back: nobody is served for nothing, nobody pays twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from signal import SIGINT, SIGQUIT, Signals

import pytest
import trio

from proxy.bank.verify import verify
from proxy.settings import Store
from tests.e2e.harness import provider, running, settings_for
from tests.fakes.client import chat, post
from tests.fakes.postgres import postgres
from tests.fakes.script import Script
from tests.fakes.upstream import FaultyUpstream
from tests.patience import LONG

PATH = "/chat/completions"
STREAMS = 20


@pytest.mark.fault("F102", "F93")
@pytest.mark.parametrize("how", [SIGQUIT, SIGINT], ids=["crash", "stop"])
async def test_it_stops_and_starts_under_load(tmp_path: Path, upstream: FaultyUpstream, how: Signals) -> None:
    release = trio.Event()
    upstream.default = Script(tokens=8, at=((3, release),))
    with postgres(durable=True) as server:
        settings = replace(
            settings_for(tmp_path, [provider("up", upstream.base_url, timeouts={"idle": 600.0})]),
            store=Store(url=server.database(), dir=tmp_path),
        )
        async with running(settings) as gateway:
            key = await gateway.key("1000")
            statuses: list[int] = []

            async def stream() -> None:
                answer = await post(gateway.url, PATH, chat(stream=True, max_tokens=8), key=key)
                assert answer.body.rstrip().endswith(b"data: [DONE]")
                statuses.append(answer.status)

            async with trio.open_nursery() as streams:
                for _ in range(STREAMS):
                    streams.start_soon(stream)
                with trio.fail_after(LONG):
                    while await gateway.open_holds() < STREAMS:  # noqa: ASYNC110 - the store tells nobody
                        await trio.sleep(0.02)
                await trio.to_thread.run_sync(server.stop, how)
                for _ in range(3):
                    refused = await post(gateway.url, PATH, chat(stream=False), key=key)
                    assert refused.status == 503
                    assert refused.error["reason"] == "ledger"
                    assert int(refused.headers["retry-after"]) >= 1
                # What runs goes on without the ledger, and its end waits for it.
                release.set()
            assert statuses == [200] * STREAMS
            assert gateway.bank.desk.statistics().ends >= STREAMS
            await trio.to_thread.run_sync(server.start)
            with trio.fail_after(LONG):
                while gateway.bank.desk.statistics().ends:  # noqa: ASYNC110 - nor does the desk
                    await trio.sleep(0.02)
                answer = await post(gateway.url, PATH, chat(max_tokens=8), key=key)
            assert answer.status == 200
            await gateway.finished(STREAMS + 1)
            posted, held = await gateway.balance()
            charged = sum(receipt.cost for receipt in gateway.receipts)
            assert (posted, held) == (1_000_000_000 - charged, 0)
            ((records,),) = await gateway.bank.store.read(
                "SELECT count(*) FROM usage_record WHERE outcome = 'ok'"
            )
            assert records == STREAMS + 1
            report = await verify(gateway.bank.store)
            assert (report.ok, report.open_holds) == (True, 0), report
