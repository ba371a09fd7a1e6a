"""What a mock provider has sent, a line of JSON for each request as it ends.

`{"id", "model", "status", "at", "end", "tokens": [[text, milliseconds since the first], …]}`. `id` is what
came as `X-Request-ID`, else the answer's. `end` is one of `whole`, `error`, `cut`, `refused`, and `gone`: the
client hung up; what had been sent by then is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import IO, Any

import orjson


@dataclass(slots=True)
class Entry:
    """One request. `at` is seconds since the epoch."""

    id: str
    model: str
    at: float
    status: int = 200
    end: str = "gone"
    tokens: list[tuple[str, float]] = field(default_factory=list)


@dataclass(slots=True)
class Journal:
    """Counts, and a file where one was asked for."""

    file: IO[bytes] | None = None
    requests: int = 0
    tokens: int = 0
    ends: dict[str, int] = field(default_factory=dict)

    def write(self, entry: Entry) -> None:
        """Write down a request that is over."""
        self.requests += 1
        self.tokens += len(entry.tokens)
        self.ends[entry.end] = self.ends.get(entry.end, 0) + 1
        if self.file is not None:
            self.file.write(orjson.dumps(entry) + b"\n")
            self.file.flush()

    def stats(self) -> dict[str, Any]:
        """Return the counts."""
        return {"posts": self.requests, "tokens": self.tokens, "ends": self.ends}
