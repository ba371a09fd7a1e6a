"""What is asked of every target, byte for byte the same.

The model's name sets up the mock upstream (`bench/native/upstream.c`): `mock-n100-g10000-s200` streams 100
chunks of 200 bytes, 10 ms apart. The name passes through any gateway unchanged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

_PROMPT = (
    "You are a careful assistant. Read the following paragraph and answer in one sentence: a headrace is the "
    "channel that carries water to a mill wheel or a turbine, and what leaves it is the tailrace."
)


@dataclass(frozen=True, slots=True)
class Workload:
    """A closed loop: so many connections, each asking again as soon as it was answered.

    With a `rate`, an open one: so many requests a second, on no more than so many connections.
    """

    name: str
    title: str
    model: str
    connections: int
    stream: bool
    warmup: float = 0.5
    rate: float = 0.0
    ramp_ms: int = 0  # first requests are spread over this, so that gapped streams are out of step

    def body(self) -> str:
        """The request."""
        request: dict[str, object] = {
            "model": self.model,
            "messages": [{"role": "user", "content": _PROMPT}],
            # More than the longest answer has: a provider keeps to it, and a hold is made for it.
            "max_tokens": 8192,
            "temperature": 0.2,
        }
        if self.stream:
            # Asked for by all, so that the upstream sends all targets the same.
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps(request)


def comparison(
    streams: int = 32, gapped: int = 50, gap_ms: int = 10, crowd: int = 500
) -> tuple[Workload, ...]:
    """The four of the comparison run."""
    return (
        # 369-byte chunk: 200 characters of content, as many as the upstream's non-streaming reply has.
        Workload("whole", "not streaming, 64 connections", "mock-n1-s369", 64, stream=False),
        Workload(
            "stream",
            f"{streams} streams of 100 chunks, 200 B each, no gap",
            "mock-n100-s200",
            streams,
            stream=True,
        ),
        Workload(
            "gapped",
            f"{gapped} streams of 100 chunks, 200 B each, {gap_ms} ms apart",
            f"mock-n100-g{gap_ms * 1000}-s200",
            gapped,
            stream=True,
            warmup=1.0,
            ramp_ms=800,
        ),
        Workload(
            "crowd",
            f"{crowd} streams of 100 chunks, 200 B each, {gap_ms} ms apart",
            f"mock-n100-g{gap_ms * 1000}-s200",
            crowd,
            stream=True,
            warmup=2.0,
            ramp_ms=1000,
        ),
    )
