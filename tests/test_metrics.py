"""What is known of the deployments shows in the metrics, under names the operator chose and no others."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from proxy.bank.desk import Desk
from proxy.bank.memory import MemoryStore
from proxy.observe.metrics import OTHER, Metrics
from proxy.observe.names import NAMES
from proxy.policy.health import Health
from proxy.policy.plan import Candidate
from proxy.policy.prices import PriceBook
from proxy.policy.routing import Router
from proxy.receipt import Attempt, Receipt
from proxy.settings import Deployment, Provider, Settings
from proxy.words.chat import ChatRequest, Message, Origin, TextPart
from proxy.words.principal import Principal
from proxy.words.usage import Usage

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
    return Metrics(Desk(MemoryStore()), health, {KNOWN}, {KNOWN})


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


def finished(model: str = KNOWN, **fields: Any) -> Receipt:
    """A stream that came whole, of 11 tokens, at the first attempt."""
    receipt = Receipt("g", "r", 1, 1, None, stream=True, started_at=10.0, started_unix=0.0, model_asked="m")
    won = Attempt("a", "m", 10.001, first_event_at=10.5, ended_at=12.0)
    receipt.model, receipt.attempts, receipt.winner = model, [won], won
    receipt.admitted, receipt.held, receipt.cost, receipt.usage = True, 100, 30, Usage(input=7, output=11)
    receipt.first_relayed_at, receipt.ended_at, receipt.admit_seconds = 10.502, 12.002, 0.001
    for name, value in fields.items():
        setattr(receipt, name, value)
    return receipt


async def test_a_stream_is_told_by_the_names_of_the_conventions(
    metrics: Metrics, autojump_clock: object
) -> None:
    metrics.observe(finished())
    told = samples(metrics)
    labels = ("chat", "a", KNOWN)
    assert told["gen_ai_server_time_to_first_token_seconds_sum", *labels] == pytest.approx(0.502)
    assert told["gen_ai_server_time_per_output_token_seconds_sum", *labels] == pytest.approx(0.15)
    assert told["gen_ai_server_request_duration_seconds_sum", "", *labels] == pytest.approx(2.002)
    assert told["gen_ai_client_token_usage_sum", *labels, "input"] == 7
    assert told["gen_ai_client_token_usage_sum", *labels, "output"] == 11
    assert told["headrace_overhead_seconds_sum",] == pytest.approx(0.003)
    assert told["headrace_admissions_total", "admitted"] == 1
    money = [told[f"headrace_{what}_nanousd_total",] for what in ("held", "settled", "refunded")]
    assert money == [100, 30, 70]


async def test_a_model_that_a_client_made_up_has_no_name(metrics: Metrics, autojump_clock: object) -> None:
    metrics.observe(finished(UNKNOWN))
    metrics.observe(finished("another"))
    assert samples(metrics)["gen_ai_server_time_to_first_token_seconds_count", "chat", "a", OTHER] == 2


@pytest.mark.fault("F1", "F2")
@pytest.mark.parametrize(
    ("fields", "stage"),
    [
        ({"admitted": False, "attempts": [], "winner": None, "first_relayed_at": None}, "admission"),
        ({"winner": None, "first_relayed_at": None}, "waiting"),
        ({}, "streaming"),
    ],
)
async def test_a_client_that_left_is_counted_by_how_far_it_got(
    metrics: Metrics, autojump_clock: object, fields: dict[str, Any], stage: str
) -> None:
    metrics.watch(lambda: 0, lambda: 0, lambda: 0, left=lambda: 4)
    metrics.observe(finished(outcome="client_abort", **fields))
    told = samples(metrics)
    assert told["headrace_client_aborts_total", stage] == 1
    assert told["headrace_client_aborts_total", "reading"] == 4
    speeds = told.get(("gen_ai_server_time_per_output_token_seconds_count", "chat", "a", KNOWN), 0)
    assert speeds == 0, "an answer that broke off has no speed"


async def test_who_won_beside_another_and_what_the_loser_cost(
    metrics: Metrics, autojump_clock: object
) -> None:
    slow = Attempt("a", "m", 10.0, cost=5)
    fast = Attempt("b", "m", 10.2, cost=7, why="hedge")
    metrics.observe(finished(attempts=[slow, fast], winner=fast))
    metrics.observe(finished(attempts=[slow, fast], winner=slow))
    broken = Attempt("b", "m", 10.2, cost=9, why="hedge", trouble="failed")
    metrics.observe(finished(attempts=[slow, broken], winner=slow))
    told = samples(metrics)
    results = {name[2]: count for name, count in told.items() if name[0] == "headrace_hedges_total"}
    assert results == {"won": 1, "lost": 1, "failed": 1}
    assert told["headrace_hedge_waste_nanousd_total", "a"] == 5
    assert told["headrace_hedge_waste_nanousd_total", "b"] == 7


async def test_the_door_and_the_bank_are_asked_when_it_is_scraped(
    metrics: Metrics, autojump_clock: object
) -> None:
    metrics.watch(lambda: 1, lambda: 2, lambda: 3, lambda: {"invalid_api_key": 5})
    told = samples(metrics)
    assert [told[f"headrace_requests_{name}",] for name in ("running", "waiting", "shed_total")] == [1, 2, 3]
    assert told["headrace_refusals_total", "invalid_api_key"] == 5
    assert (told["headrace_bank_pending",], told["headrace_bank_down",]) == (0, 0)


def test_names_follow_the_rules_of_both_houses() -> None:
    """OpenTelemetry's names with their units, and Prometheus': base units, nothing twice."""
    for name in NAMES.values():
        assert re.fullmatch(r"(gen_ai|headrace|process)_[a-z0-9_]+", name.name), name
        assert name.text.endswith("."), name
        assert not name.name.endswith("_total"), name
        assert (name.kind == "histogram") == bool(name.bounds), name
        assert list(name.bounds) == sorted(set(name.bounds)), name
        assert not {"key", "account", "user", "project", "le"} & set(name.labels), name
