"""A gateway over the simulated provider, for whoever tries what is described."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import trio

from proxy.settings import Alias, Allowance
from proxy.words.principal import Limits
from tests.e2e.harness import Door, Running, running, settings_for
from tests.patience import LONG


class Stand(NamedTuple):
    """A gateway, its address without a base, and a key of it."""

    gateway: Running
    url: str
    key: str


@asynccontextmanager
async def stand(directory: Path, door: Door = "http1", rpm: int | None = None) -> AsyncIterator[Stand]:
    """Run it for the length of the block."""
    settings = replace(
        settings_for(directory, []),
        plans={"default": Allowance(Limits(rpm=rpm), allow_race=True)},
        aliases={"auto": Alias(("sim/echo",))},
    )
    with trio.fail_after(LONG):
        async with running(settings, door=door) as gateway:
            yield Stand(gateway, gateway.url.removesuffix("/v1"), await gateway.key("100000"))
            if gateway.receipts:
                await gateway.finished(len(gateway.receipts))
            assert await gateway.open_holds() == 0
