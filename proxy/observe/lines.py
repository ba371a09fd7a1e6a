"""What a line of the log may say: the fields there are, each of its type, and how they become bytes.

Nothing else gets into a line. Keys, prompts and answers are in none of the fields; what others wrote passes
the scrubber. No text may end a line early, or say anything to a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import compress
from typing import Any, Final, Literal, NotRequired, TypedDict

import orjson
from structlog.dev import ConsoleRenderer
from structlog.processors import JSONRenderer

from proxy.receipt import Attempt, Outcome, Receipt
from proxy.words.money import usd_text
from proxy.words.usage import Funding, Usage

from .scrub import Scrubber
from .sink import PIECE

Level = Literal["debug", "info", "warning", "error", "critical"]
_NAME: Final = 200
"""Characters of a model's name as a client wrote it."""


class Try(TypedDict):
    """One attempt at a provider. `outcome` is `ok`, `cancelled` or its trouble."""

    provider: str
    model: str
    outcome: str
    status: int | None
    ms: int


class Said(TypedDict):
    """A line. Only what applies is there; of a request nothing is left out but what has no value.

    `cost_usd` is an exact decimal number of US dollars, `tokens` has the classes of `Usage` that are not
    zero, `status` is absent where the client left before it was told one.
    """

    timestamp: str
    level: str
    logger: str
    event: str
    worker: NotRequired[str]
    exception: NotRequired[list[str]]
    dropped: NotRequired[int]
    request_id: NotRequired[str]
    generation_id: NotRequired[str]
    account: NotRequired[int]
    key_id: NotRequired[int]
    project: NotRequired[int]
    outcome: NotRequired[str]
    status: NotRequired[int]
    error: NotRequired[str]
    model_asked: NotRequired[str]
    model: NotRequired[str]
    provider: NotRequired[str]
    upstream_model: NotRequired[str]
    attempts: NotRequired[list[Try]]
    stream: NotRequired[bool]
    tokens: NotRequired[dict[str, int]]
    estimated: NotRequired[bool]
    cost_usd: NotRequired[str]
    funding: NotRequired[str]
    latency_ms: NotRequired[int]
    first_token_ms: NotRequired[int]
    trace_id: NotRequired[str]


Finished = tuple[
    str, str, int, int, int | None, Outcome, int | None, str | None, str, str, Attempt | None,
    Sequence[Attempt], bool, Usage, bool, int, Funding, float, float, float, float | None, str | None,
]  # fmt: skip
"""What a line needs of a receipt, in the order of `finished`."""


def finished(receipt: Receipt) -> Finished:
    """Take what a line needs of a request that has ended; the line itself is made elsewhere."""
    return (
        receipt.request_id,
        receipt.generation_id,
        receipt.account,
        receipt.key_id,
        receipt.project,
        receipt.outcome,
        receipt.status,
        receipt.error,
        receipt.model_asked,
        receipt.model,
        receipt.winner,
        tuple(receipt.attempts),
        receipt.stream,
        receipt.usage,
        receipt.estimated,
        receipt.cost,
        receipt.funding,
        receipt.started_unix,
        receipt.started_at,
        receipt.ended_at,
        receipt.first_relayed_at,
        None if receipt.trace is None else receipt.trace.trace_id,
    )


def stamp(unix_time: float) -> str:
    """Write a time as RFC 3339 has it, to the millisecond, in UTC."""
    seconds, milliseconds = divmod(int(unix_time * 1000), 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    """Write a time but for its fraction: of many lines in a second it is the same."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]


class Form:
    """How a process writes its lines.

    Args:
        console: for people, with colours if `colours`; else one JSON object each.
        worker: which of several processes this is.
    """

    def __init__(
        self, scrubber: Scrubber, *, console: bool, colours: bool = False, worker: str | None = None
    ) -> None:
        self._name = lru_cache(maxsize=256)(lambda asked: _printable(scrubber.text(asked[:_NAME])))
        self._worker = worker
        self._console = console
        self._render: Callable[[Any, str, Any], str | bytes] = (
            ConsoleRenderer(colors=colours, sort_keys=False)
            if console
            else JSONRenderer(serializer=orjson.dumps)
        )

    def plain(self, said: Said) -> bytes:
        """Write a line that is complete but for who says it."""
        if self._worker is not None:
            said["worker"] = self._worker
        said["event"] = _printable(said["event"])
        if "exception" in said:
            said["exception"] = [_printable(each) for each in said["exception"]]
        line = self._rendered(said)
        while len(line) > PIECE and len(said["event"]) > 1:
            said.pop("exception", None)
            said["event"] = said["event"][: len(said["event"]) // 2]
            line = self._rendered(said)
        return line

    def request(self, what: Finished) -> bytes:
        """Write the line of a request."""
        (
            request_id, generation_id, account, key_id, project, outcome, status, error, asked, model,
            winner, attempts, stream, usage, estimated, cost, funding, started_unix, started_at, ended_at,
            first, trace_id,
        ) = what  # fmt: skip
        took = ended_at - started_at
        said: Said = {
            "timestamp": stamp(started_unix + took),
            "level": "info",
            "logger": "headrace.request",
            "event": "request",
            "request_id": request_id,
            "generation_id": generation_id,
            "account": account,
            "key_id": key_id,
            "outcome": outcome,
            "model_asked": self._name(asked),
            "attempts": [_tried(each, each is winner, ended_at) for each in attempts],
            "stream": stream,
            "tokens": dict(zip(compress(Usage._fields, usage), compress(usage, usage), strict=True)),
            "estimated": estimated,
            "cost_usd": usd_text(cost),
            "funding": funding,
            "latency_ms": round(took * 1000),
        }
        if status is not None:
            said["status"] = status
        if error is not None:
            said["error"] = error
        if project is not None:
            said["project"] = project
        if model:
            said["model"] = model
        if winner is not None:
            said["provider"], said["upstream_model"] = winner.provider, winner.model
        if first is not None:
            said["first_token_ms"] = round((first - started_at) * 1000)
        if trace_id is not None:
            said["trace_id"] = trace_id
        return self.plain(said)

    def _rendered(self, said: Said) -> bytes:
        fields: dict[str, Any] = dict(said)
        if self._console:
            for name in ("exception", "attempts", "tokens"):
                if name in fields:
                    fields[name] = _for_people[name](fields[name])
        text = self._render(None, said["level"], fields)
        return (text if isinstance(text, bytes) else text.encode("utf-8", "replace")) + b"\n"


_for_people: Final[dict[str, Callable[[Any], str]]] = {
    "exception": "\n".join,
    "attempts": lambda tries: " ".join(
        f"{each['provider']}/{each['model']}:{each['outcome']}" for each in tries
    ),
    "tokens": lambda tokens: " ".join(f"{name}:{amount}" for name, amount in tokens.items()),
}


def _tried(attempt: Attempt, won: bool, ended_at: float) -> Try:  # noqa: FBT001 - of a row
    ended = ended_at if attempt.ended_at is None else attempt.ended_at
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "outcome": attempt.trouble or ("ok" if won else "cancelled"),
        "status": attempt.status,
        "ms": round((ended - attempt.started_at) * 1000),
    }


def _printable(text: str) -> str:
    """Write what would end a line, or steer a terminal, as Python does."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def is_terminal() -> bool:
    """Tell whether somebody watches what we say."""
    return sys.stdout is not None and sys.stdout.isatty()
