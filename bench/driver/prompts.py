"""The bodies of requests, made before the clock starts, so that making them costs the measurement nothing.

Each begins with a number of its own, so that no provider's prompt cache answers for it. After the last one
they begin anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson

from bench.driver.load import Ask, Load

_BODIES: Final = 1000
_BYTES: Final = 64 * 2**20
"""Room for bodies, in each process."""
_TOKEN_BYTES: Final = 4
_WORDS: Final = (
    "the sun may set but you can not see how far one day has run and who was out for the big red sky "
)


@dataclass(frozen=True, slots=True)
class Body:
    """A request from the end of its number on, with which kind it is of, by its place in `Load.asks`."""

    kind: int
    tail: bytes
    stream: bool


def bodies(load: Load) -> tuple[Body, ...]:
    """Make them. Raises ValueError for a file that cannot be read as prompts, OSError."""
    chance = Random(load.seed)  # noqa: S311 - lengths
    spoken = tuple(_dataset(Path(load.dataset))) if load.dataset else ()
    made: list[Body] = []
    size = 0
    weights = [ask.weight for ask in load.asks]
    for number in range(_BODIES):
        kind = chance.choices(range(len(weights)), weights)[0] if len(weights) > 1 else 0
        ask = load.asks[kind]
        more = spoken[number % len(spoken)] if spoken else {}
        data = orjson.dumps({**_fields(ask, number, chance), **more, **ask.more})
        made.append(Body(kind, b"\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data), ask.stream))
        size += len(data)
        if size > _BYTES:
            break
    return tuple(made)


def _fields(ask: Ask, number: int, chance: Random) -> dict[str, Any]:
    size = ask.prompt.draw(chance) * _TOKEN_BYTES
    start = f"{number} "
    text = start + (_WORDS * (size // len(_WORDS) + 1))[: max(size - len(start), 0)]
    fields: dict[str, Any] = {
        "model": ask.model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max(ask.output.draw(chance), 1),
    }
    if ask.stream:
        # Asked for, so that tokens are counted by who made them.
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    return fields


def _dataset(path: Path) -> Iterator[dict[str, Any]]:
    """Read prompts in any of three forms, one a line.

    `{"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}]}` as ShareGPT has them,
    `{"messages": […]}` or `{"prompt": …}`; the latter two with `max_tokens` or `output_tokens`, if they like.
    """
    found = False
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            found = True
            try:
                yield _prompt(orjson.loads(line))
            except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}, line {number}: no prompt: {error!r}") from None
    if not found:
        raise ValueError(f"{path} has no prompts")


def _prompt(row: Mapping[str, Any]) -> dict[str, Any]:
    if "conversations" in row:
        turns = row["conversations"]
        asked = next(turn["value"] for turn in turns if turn["from"] in {"human", "user"})
        told = next((turn["value"] for turn in turns if turn["from"] in {"gpt", "assistant"}), "")
        length = max(len(told.encode()) // _TOKEN_BYTES, 1)
        return {"messages": [{"role": "user", "content": asked}], "max_tokens": length}
    length = row.get("max_tokens", row.get("output_tokens"))
    limit = {} if length is None else {"max_tokens": int(length)}
    if "messages" in row:
        return {"messages": row["messages"], **limit}
    return {"messages": [{"role": "user", "content": str(row["prompt"])}], **limit}
