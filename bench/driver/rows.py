"""Requests that ended, one by one, with their latencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.driver.batch import NEVER, Batch


@dataclass(frozen=True, slots=True)
class Row:
    """One request; times in microseconds from the start of its window, latencies in milliseconds."""

    due: int
    sent: int
    first: int | None
    end: int
    kind: int
    outcome: str
    chunks: int
    prompt_tokens: int
    output_tokens: int
    gaps: Sequence[int]

    @property
    def ttft(self) -> float | None:
        """To the first content."""
        return None if self.first is None else (self.first - self.due) / 1000

    @property
    def e2el(self) -> float:
        """To the end."""
        return (self.end - self.due) / 1000

    @property
    def tpot(self) -> float | None:
        """For each token after the first."""
        if self.first is None or self.output_tokens < 2:
            return None
        return (self.end - self.first) / 1000 / (self.output_tokens - 1)

    def keeps(self, objective: Mapping[str, float]) -> bool:
        """Tell whether it kept to the bounds; what it does not have keeps to any."""
        longest = max(self.gaps, default=0) / 1000
        had = {"ttft": self.ttft, "tpot": self.tpot, "itl": longest, "e2el": self.e2el}
        return all((had[name] or 0.0) <= bound for name, bound in objective.items())


def rows_of(batch: Batch) -> Iterator[Row]:
    """Give the requests without those of the warm-up."""
    place = 0
    for number, due in enumerate(batch.due):
        chunks = batch.chunks[number]
        gaps = max(chunks - 1, 0)
        if due >= 0:
            first = batch.first[number]
            yield Row(
                due,
                batch.sent[number],
                None if first == NEVER else first,
                batch.end[number],
                batch.kind[number],
                batch.outcome[number],
                chunks,
                batch.prompt_tokens[number],
                batch.output_tokens[number],
                batch.gaps[place : place + gaps],
            )
        place += gaps
