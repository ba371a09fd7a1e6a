"""How the bank's things become rows of a database's tables: names of columns, and what stands in them.

Shared by the databases; it knows none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from .ops import Adjust, Fence, Grant, Redeem
from .record import Record, RecordedAttempt
from .results import encode
from .rows import Decided, Reply

Sealer = Callable[[Reply], bytes | None]
"""Makes of an answer what may be written; None leaves it out. It must not raise."""
WINDOWS_KEPT: Final = 120
"""Minutes that a request window is kept, so that a clock which is set back an hour finds its windows."""
OP: Final = ("op_id", "hold_id", "outcome", "detail", "at")
RECORD: Final = (
    *("generation_id", "request_id", "account", "key_id", "project", "model", "provider", "upstream_model"),
    *("attempts", "input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "input_image"),
    *("output", "reasoning", "output_audio", "output_image", "characters", "seconds", "images"),
    *("estimated", "cost", "price_version"),
    *("started_at", "first_token_ms", "duration_ms", "outcome", "stream", "model_asked", "funding"),
)
ATTEMPT: Final = (
    *("generation_id", "n", "provider", "model", "outcome", "status", "cost"),
    *("started_ms", "first_token_ms", "duration_ms"),
)
_OF_NO_HOLD: Final = (Grant, Adjust, Redeem, Fence)


def in_no_way(_: Reply) -> None:
    """Keep no answer: nothing is here to seal it with."""


def op_row(decided: Decided) -> tuple[str, str | None, str, str, int]:
    """Return the row of `op` for what was decided."""
    op, result = decided
    hold_id = None if isinstance(op, _OF_NO_HOLD) else op.hold_id
    return op.op_id, hold_id, *encode(result), op.at


def record_row(record: Record) -> tuple[Any, ...]:
    """Return the row of `usage_record`."""
    return (
        record.generation_id,
        record.request_id,
        record.account,
        record.key_id,
        record.project,
        record.model,
        record.provider,
        record.upstream_model,
        len(record.attempts),
        *record.usage,
        int(record.estimated),
        record.cost,
        record.price_version,
        record.started_at,
        record.first_token_ms,
        record.duration_ms,
        record.outcome,
        int(record.stream),
        record.model_asked,
        record.funding,
    )


def attempt_rows(record: Record) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of `attempt`."""
    for n, attempt in enumerate(record.attempts):
        yield record.generation_id, n, *_attempt(attempt)


def _attempt(attempt: RecordedAttempt) -> tuple[Any, ...]:
    return (
        attempt.provider,
        attempt.model,
        attempt.outcome,
        attempt.status,
        attempt.cost,
        attempt.started_ms,
        attempt.first_token_ms,
        attempt.duration_ms,
    )
