"""A bank with plans, on a clock that stands, for the counters of the office."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from proxy.bank.record import Record, RecordedAttempt
from proxy.control.bank import Bank, open_bank
from proxy.settings import Allowance, Outbound, Settings
from proxy.words.ids import key_digest
from proxy.words.principal import Limits, Principal
from proxy.words.usage import Usage
from tests.e2e.harness import settings_for

A = "a@example.com"
PLANS = {
    "default": Allowance(Limits(rpm=600)),
    "team": Allowance(Limits(rpm=60, max_output=100), strategy="cheapest", allow_race=True),
}


def settings_at(directory: Path, outbound: Outbound = Outbound()) -> Settings:
    """Settings with two plans."""
    return replace(settings_for(directory, []), plans=PLANS, outbound=outbound)


@asynccontextmanager
async def opened(directory: Path, outbound: Outbound = Outbound()) -> AsyncIterator[Bank]:
    """Open a bank with one account."""
    async with open_bank(settings_at(directory, outbound)) as bank:
        await bank.office.accounts.create(A, "10")
        yield bank


def record(generation: str, account: int, key: int, cost: int, at: int) -> Record:
    """Return what is kept of a request that began at a time, in milliseconds."""
    return Record(
        generation_id=generation,
        request_id="r",
        account=account,
        key_id=key,
        project=None,
        model="sim/echo",
        provider="sim",
        upstream_model="echo",
        usage=Usage(input=3, output=4),
        estimated=False,
        cost=cost,
        price_version="v",
        started_at=at,
        first_token_ms=1,
        duration_ms=2,
        outcome="ok",
        stream=False,
        attempts=(RecordedAttempt("sim", "echo", "ok", 200, 5, 0, 1, 2),),
    )


async def do(bank: Bank, name: str, /, **params: Any) -> dict[str, Any]:
    """Run a command."""
    return await bank.office.command(name, params)


async def principal(bank: Bank, key: str) -> Principal:
    """Return what a key stands for, which is something."""
    found = await bank.principal(key_digest(bank.pepper, key))
    assert found is not None
    return found
