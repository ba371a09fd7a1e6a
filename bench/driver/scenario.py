"""Scenarios: a load with a name, as a TOML file. `bench/scenarios` has those that come along.

title = "…"                       shown in the report
about = "…"                       what it is there to show
[load]                            rate, arrival, concurrency, seconds, warmup, rounds, seed, cancel,
                                  cancel_after, fresh, timeout, connections, reconnect
[[load.asks]]                     kinds of requests: name, weight, model, prompt, output, stream, more
[objective]                       bounds in milliseconds, for goodput
[stand]                           what `bench scenario` starts to ask; unused for a URL of yours
[[stand.providers]] script        a mock provider each, with the script of its answers
[[stand.targets]]                 a gateway each: name, strategy, rpm, concurrency, cold
[[stand.events]]                  at (seconds into a window), provider (from 0), set (options of a script)
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from bench.driver.lengths import Lengths
from bench.driver.load import Ask, Load, Phase

HOME: Final = Path(__file__).parents[1] / "scenarios"
_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Door:
    """A gateway to start, with its key's limits. `cold`: anew for each window, asked at once."""

    name: str
    strategy: str = "failover"
    rpm: int | None = None
    concurrency: int | None = None
    cold: bool = False


@dataclass(frozen=True, slots=True)
class Happening:
    """What a provider does from a moment on, in each window."""

    at: float
    provider: int
    set: str


@dataclass(frozen=True, slots=True)
class Stand:
    """What is started for a scenario."""

    providers: tuple[str, ...] = ("lorem",)
    targets: tuple[Door, ...] = (Door("headrace"),)
    events: tuple[Happening, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file's content."""

    title: str = ""
    about: str = ""
    load: Load = field(default_factory=Load)
    objective: dict[str, float] = field(default_factory=dict)
    stand: Stand = Stand()


def names() -> list[str]:
    """Return the scenarios that come along."""
    return sorted(path.stem for path in HOME.glob("*.toml"))


def find(name: str) -> Scenario:
    """Read one by its name or its file. Raises ValueError where it makes no sense, OSError."""
    path = Path(name) if "/" in name or name.endswith(".toml") else HOME / f"{name}.toml"
    if not path.exists():
        raise ValueError(f"no scenario {name!r}; there are {', '.join(names())}")
    try:
        words = tomllib.loads(path.read_text(encoding="utf-8"))
        return _scenario(words)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _scenario(words: dict[str, Any]) -> Scenario:
    load = read_load(words.pop("load", {}))
    stand = words.pop("stand", {})
    made = Stand(
        tuple(str(each["script"]) for each in stand.get("providers", ({"script": "lorem"},))),
        tuple(Door(**each) for each in stand.get("targets", ({"name": "headrace"},))),
        tuple(Happening(**each) for each in stand.get("events", ())),
    )
    return Scenario(**words, load=load, stand=made)


def read_load(words: Mapping[str, Any]) -> Load:
    """Read a load from plain words. Raises ValueError, TypeError."""
    given = dict(words)
    seconds = float(given.pop("seconds", _SECONDS))
    rate = str(given.pop("rate", 10))
    if "concurrency" in given:
        given.setdefault("arrival", "closed")
    if "cancel_after" in given:
        given["cancel_after"] = Lengths.read(given["cancel_after"])
    asks = tuple(_ask(each) for each in given.pop("asks", ({},)))
    if unknown := set(given) - {each.name for each in fields(Load)}:
        raise ValueError(f"no such setting of a load: {', '.join(sorted(unknown))}")
    return Load(**given, phases=Phase.read(rate, seconds), asks=asks)


def _ask(words: Mapping[str, Any]) -> Ask:
    lengths = {name: Lengths.read(words[name]) for name in ("prompt", "output") if name in words}
    return Ask(**{**words, **lengths})
