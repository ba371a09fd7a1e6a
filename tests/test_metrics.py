"""What is known of the deployments shows in the metrics, under names the operator chose and no others."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from proxy.bank.desk import Desk
from proxy.bank.memory import MemoryStore
from proxy.observe.metrics import Metrics
from proxy.policy.health import Health
from proxy.policy.plan import Candidate
from proxy.policy.prices import PriceBook
from proxy.policy.routing import Router
from proxy.receipt import Attempt, Receipt
from proxy.settings import Deployment, Provider, Settings
from proxy.words.chat import ChatRequest, Message, Origin, TextPart
from proxy.words.principal import Principal

SIM = Provider("sim", "sim")
KNOWN, UNKNOWN = "sim/echo", "sim/echo:tokens=7"


def candidate(model: str) -> Candidate:
    call = ChatRequest(model, (Message("user", (TextPart("hi"),)),), Origin("openai", {}), prompt_bytes=2)
    router = Router(Settings(providers=(SIM,)), PriceBook.load(()))
    plan = router.plan(call, Principal(1, 1, "account"), datetime(2026, 11, 21, tzinfo=UTC))
    return replace(plan.candidates[0], deployment=Deployment(SIM, model.partition("/")[2]))


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def metrics(health: Health) -> Metrics:
    return Metrics(Desk(MemoryStore()), health, {KNOWN})


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Return what a scrape says: by the name and the values of the labels."""
    families = text_string_to_metric_families(metrics.render()[0].decode())
    return {
        (sample.name, *[value for _, value in sorted(sample.labels.items())]): sample.value
        for family in families
        for sample in family.samples
    }


async def test_a_deployments_pulse_and_breaker_are_gauges(
    metrics: Metrics, health: Health, autojump_clock: object
) -> None:
    for model in (KNOWN, UNKNOWN):
        await trio.sleep(1)
        now = trio.current_time()
        health.opened(candidate(model), now - 0.5, now)
        for _ in range(5):
            health.failed(candidate(model), "failed", now, now)
    told = samples(metrics)
    assert told["headrace_first_token_seconds", KNOWN] == pytest.approx(0.5, rel=0.05)
    assert told["headrace_error_rate", KNOWN] == pytest.approx(5 / 6)
    assert told["headrace_hedge_delay_seconds", KNOWN] == 2.0
    assert told["headrace_breaker_state", KNOWN] == 2
    assert told["headrace_breaker_openings_total", KNOWN] == 1
    assert not [name for name in told if UNKNOWN in name]
    assert ("headrace_tokens_per_second", KNOWN) not in told, "no stream has finished"


async def test_budgets_are_counted(metrics: Metrics, health: Health, autojump_clock: object) -> None:
    assert [health.budgets.hedge("m", 1) for _ in range(3)] == [True, True, False]
    assert health.budgets.retry("m", 0.0, failover=True)
    told = samples(metrics)
    assert told["headrace_further_attempts_total", "hedges"] == 2
    assert told["headrace_further_attempts_total", "failovers"] == 1
    assert told["headrace_further_attempts_refused_total", "calls", "hedges"] == 1


async def test_what_nobody_got_is_a_loss(metrics: Metrics, autojump_clock: object) -> None:
    won = Attempt("a", "m", 0.0, cost=7)
    lost = Attempt("b", "m", 0.0, cost=5)
    failed = Attempt("b", "m", 0.0, trouble="failed")
    receipt = Receipt("g", "r", 1, 1, None, stream=True, started_at=0.0, started_unix=0.0, model_asked="m")
    receipt.attempts, receipt.winner = [lost, failed, won], won
    metrics.observe(receipt)
    told = samples(metrics)
    assert told["headrace_upstream_cost_nanousd_total", "a"] == 7
    assert told["headrace_upstream_cost_nanousd_total", "b"] == 5
    assert told["headrace_upstream_loss_nanousd_total", "b"] == 5
    assert ("headrace_upstream_loss_nanousd_total", "a") not in told
    kinds = {name[1:]: value for name, value in told.items() if name[0] == "headrace_upstream_attempts_total"}
    assert kinds == {("a", "none"): 1, ("b", "cancelled"): 1, ("b", "failed"): 1}
