"""What became of requests, in columns: cheap to gather, to send between processes, and to save.

Times are microseconds from the start of the window's schedule, so those of a warm-up are negative. A request
that was never sent has `sent` of its end; one without content has a `first` of -1.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from bench.driver.wire import Errand


def _times() -> array[int]:
    return array("q")


@dataclass(slots=True)
class Batch:
    """Requests, one a row; `gaps` has those of each in turn, one less than it has chunks."""

    due: array[int] = field(default_factory=_times)
    sent: array[int] = field(default_factory=_times)
    first: array[int] = field(default_factory=_times)
    end: array[int] = field(default_factory=_times)
    chunks: array[int] = field(default_factory=_times)
    prompt_tokens: array[int] = field(default_factory=_times)
    output_tokens: array[int] = field(default_factory=_times)
    kind: array[int] = field(default_factory=_times)
    outcome: list[str] = field(default_factory=list)
    gaps: array[int] = field(default_factory=_times)

    def __len__(self) -> int:
        return len(self.due)

    def add(self, errand: Errand, start: int) -> None:
        """Write one down that has ended; `start` is that of the schedule, by the clock."""
        self.due.append(errand.due - start)
        self.sent.append((errand.sent or errand.end) - start)
        self.end.append(errand.end - start)
        self.kind.append(errand.kind)
        self.outcome.append(errand.outcome)
        answer = errand.answer
        if answer is None:
            self._nothing()
            return
        self.first.append(answer.first - start if answer.first >= 0 else NEVER)
        self.chunks.append(answer.chunks)
        self.prompt_tokens.append(answer.prompt_tokens)
        self.output_tokens.append(answer.output_tokens or answer.chunks)
        self.gaps.extend(answer.gaps)

    def _nothing(self) -> None:
        self.first.append(NEVER)
        for column in (self.chunks, self.prompt_tokens, self.output_tokens):
            column.append(0)

    def extend(self, other: Batch) -> None:
        """Append another's rows."""
        for name in COLUMNS:
            getattr(self, name).extend(getattr(other, name))


NEVER = -(2**62)
"""The `first` of a request without content."""
COLUMNS = tuple(Batch.__dataclass_fields__)
