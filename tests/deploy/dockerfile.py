"""As much of a Dockerfile's language as ours uses: stages of instructions, in the order they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

WORDS = frozenset({
    "ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "VOLUME", "EXPOSE", "USER", "STOPSIGNAL", "HEALTHCHECK",
    "ENTRYPOINT", "CMD",
})  # fmt: skip


class Step(NamedTuple):
    """An instruction, its lines joined. `flags` are those before its argument."""

    word: str
    flags: Mapping[str, str]
    text: str

    @property
    def items(self) -> Any:
        """The argument, where it is in the form of a JSON list."""
        return json.loads(self.text)


@dataclass
class Stage:
    """What one FROM begins."""

    base: str
    name: str | None
    steps: list[Step] = field(default_factory=list)

    def all(self, word: str) -> list[Step]:
        """Return the steps of a kind."""
        return [step for step in self.steps if step.word == word]

    def last(self, word: str) -> Step:
        """Return the step of a kind that counts where it may stand once."""
        return self.all(word)[-1]


def read(text: str) -> list[Stage]:
    """Read a Dockerfile. What is not understood is a ValueError."""
    stages: list[Stage] = []
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word not in WORDS:
            raise ValueError(line)
        flags = {}
        while found := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[found[1]] = found[2]
            rest = rest[found.end() :]
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name or None))
        elif stages:
            stages[-1].steps.append(Step(word, flags, rest))
    return stages


def command_of(check: Step) -> list[str]:
    """Return what a HEALTHCHECK runs."""
    found: list[str] = json.loads(check.text.removeprefix("CMD").strip())
    return found


def variables(stage: Stage) -> dict[str, str]:
    """Return what ENV sets, as it is written."""
    pairs = [pair for step in stage.all("ENV") for pair in step.text.split()]
    return dict(pair.split("=", 1) for pair in pairs)
