"""A measurement as it is saved: what was asked of whom, and every request, from which all reports are made.

One JSON file. `windows[].requests` are columns, in microseconds from the start of a window's schedule; those
due before it (negative) are warm-up. `summary` is there for other tools, in the names of vLLM's benchmark.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from bench.driver.batch import NEVER, Batch
from bench.driver.crew import Found
from bench.driver.lengths import Lengths
from bench.driver.load import Ask, Load, Phase
from bench.machine import this_machine

FORMAT: Final = "headrace-bench/1"
_WORDS: Final = ("target", "turn", "at", "driver", "due", "late", "cpu_seconds", "rss_mb")


@dataclass(slots=True)
class Run:
    """One measurement of one or several targets.

    Attributes:
        targets: names and addresses; the first is what the others are compared with.
        objective: upper bounds in milliseconds of `ttft`, `tpot`, `itl`, `e2el`, for goodput.
        more: tables that a bench of our own adds to the report: a title and rows, headings first.
        cut_short: it was interrupted.
        ceiling: what one driving process can do in a second of CPU: `requests`, and `chunks`.
    """

    name: str
    load: Load
    targets: dict[str, str]
    title: str = ""
    about: str = ""
    objective: dict[str, float] = field(default_factory=dict)
    processes: int = 1
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    machine: dict[str, Any] = field(default_factory=this_machine)
    windows: list[Found] = field(default_factory=list)
    more: list[tuple[str, list[list[str]]]] = field(default_factory=list)
    cut_short: bool = False
    ceiling: dict[str, float] = field(default_factory=dict)

    def save(self, path: Path, summary: Mapping[str, Any]) -> None:
        """Write everything; `summary` is made of it and not read again."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "format": FORMAT,
            **{name: getattr(self, name) for name in _PLAIN},
            "load": _load_words(self.load),
            "summary": summary,
            "windows": [_window_words(found) for found in self.windows],
        }
        path.write_bytes(orjson.dumps(content) + b"\n")

    @classmethod
    def load_file(cls, path: Path) -> Run:
        """Read what `save` wrote. Raises ValueError where it is something else, OSError."""
        try:
            content = orjson.loads(path.read_bytes())
            if content["format"] != FORMAT:
                raise ValueError(f"{path}: not of the format {FORMAT}")
            run = cls(
                load=_load_of(content["load"]), **{name: content[name] for name in _PLAIN if name in content}
            )
            run.windows = [_window_of(words) for words in content["windows"]]
        except (KeyError, TypeError, orjson.JSONDecodeError) as error:
            raise ValueError(f"{path} is no saved measurement: {error!r}") from None
        run.more = [(title, rows) for title, rows in run.more]
        return run


_PLAIN: Final = (
    "name", "targets", "title", "about", "objective", "processes", "began", "machine", "more", "cut_short",
    "ceiling",
)  # fmt: skip


def _load_words(load: Load) -> dict[str, Any]:
    words = asdict(load)
    words["cancel_after"] = str(load.cancel_after)
    for ask, kept in zip(load.asks, words["asks"], strict=True):
        kept |= {"prompt": str(ask.prompt), "output": str(ask.output)}
    return words


def _load_of(words: dict[str, Any]) -> Load:
    asks = tuple(
        Ask(**{**ask, "prompt": Lengths.read(ask["prompt"]), "output": Lengths.read(ask["output"])})
        for ask in words["asks"]
    )
    phases = tuple(Phase(**phase) for phase in words["phases"])
    return Load(
        **{**words, "asks": asks, "phases": phases, "cancel_after": Lengths.read(words["cancel_after"])}
    )


def _window_words(found: Found) -> dict[str, Any]:
    batch = found.batch
    outcomes = list(dict.fromkeys(batch.outcome))
    requests: dict[str, Any] = {
        name: getattr(batch, name).tolist()
        for name in ("due", "sent", "end", "chunks", "prompt_tokens", "output_tokens", "kind", "gaps")
    }
    places = {outcome: place for place, outcome in enumerate(outcomes)}
    requests["first"] = [None if value == NEVER else value for value in batch.first]
    requests["outcome"] = [places[outcome] for outcome in batch.outcome]
    return {**{name: getattr(found, name) for name in _WORDS}, "outcomes": outcomes, "requests": requests}


def _window_of(words: dict[str, Any]) -> Found:
    requests = words["requests"]
    columns = {
        name: array("q", values) for name, values in requests.items() if name not in {"first", "outcome"}
    }
    first = array("q", [NEVER if value is None else value for value in requests["first"]])
    outcome = [words["outcomes"][place] for place in requests["outcome"]]
    known = {name: words[name] for name in _WORDS}
    known["driver"] = [tuple(pair) for pair in words["driver"]]
    known["rss_mb"] = [tuple(pair) for pair in words["rss_mb"]]
    return Found(**known, batch=Batch(**columns, first=first, outcome=outcome))
