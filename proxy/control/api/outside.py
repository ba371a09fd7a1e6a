"""What the API asks of the rest of the gateway: how deployments are, what the settings' file says now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from proxy.control.socket import ControlError
from proxy.policy.health import Health
from proxy.policy.prices import PriceBook
from proxy.policy.remarks import remarks
from proxy.settings import Settings

Load = Callable[[], Settings]
"""Reads the settings anew. Raises SettingsError."""
_STATES: Final = ("closed", "half_open", "open")
_FIGURES: Final[Mapping[str, str]] = {
    "headrace_first_token_seconds": "first_token",
    "headrace_first_token_p95_seconds": "first_token_p95",
    "headrace_tokens_per_second": "tokens_per_second",
    "headrace_error_rate": "error_rate",
}


def _nothing() -> Sequence[Mapping[str, Any]]:
    return ()


async def _no_reload() -> dict[str, Any]:
    raise ControlError(
        "one process reads its settings at its start alone: restart it, or run several workers"
    )


@dataclass(frozen=True, slots=True)
class Outside:
    """What the rest of the gateway knows or does."""

    deployments: Callable[[], Sequence[Mapping[str, Any]]] = _nothing
    """Breaker and pulse of each deployment that was used."""
    check: Callable[[], Sequence[str]] = tuple
    """Read the settings as a start would; return what is odd. Raises SettingsError."""
    reload: Callable[[], Awaitable[dict[str, Any]]] = _no_reload
    """Go by the settings as they are in the file now. Raises ControlError where that cannot be done."""


def within(health: Health, load: Load | None) -> Outside:
    """Return what one process knows of itself."""
    return Outside(partial(_of_health, health), partial(_odd, load))


def among(
    gauges: Callable[[str], Iterable[tuple[str, float]]], load: Load, reload: Callable[[], None]
) -> Outside:
    """Return what the process that controls knows of those at the edge.

    `gauges` are the figures of a metric by deployment; `reload` asks for the settings to be read anew.
    """

    async def reloaded() -> dict[str, Any]:
        reload()
        await trio.lowlevel.checkpoint()
        return {}

    return Outside(partial(_of_gauges, gauges), partial(_odd, load), reloaded)


def _of_health(health: Health) -> list[dict[str, Any]]:
    now = trio.current_time()
    pulse = {each.deployment: each._asdict() for each in health.pulse.snapshot(now)}
    return [
        {**pulse.get(each.deployment, {}), **each._asdict(), "breaker": each.state}
        for each in health.breaker.snapshot(now)
        if each.key_id is None
    ]


def _of_gauges(gauges: Callable[[str], Iterable[tuple[str, float]]]) -> list[dict[str, Any]]:
    openings = dict(gauges("headrace_breaker_openings"))
    found: dict[str, dict[str, Any]] = {
        name: {"deployment": name, "breaker": _STATES[int(state)], "openings": int(openings.get(name, 0))}
        for name, state in gauges("headrace_breaker_state")
    }
    for metric, figure in _FIGURES.items():
        for name, value in gauges(metric):
            if name in found:
                found[name][figure] = value
    return list(found.values())


def _odd(load: Load | None) -> list[str]:
    if load is None:
        return []
    read = load()
    return remarks(read, PriceBook.load(read.providers))
