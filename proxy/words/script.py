"""The name of a simulated model, which is its script: `NAME` or `NAME:key=value,key=value`.

    echo     says the last user message back
    lorem    says three-letter words; one chunk, one token
    tool     calls the first tool offered, then answers with the tool's result

    key         value    meaning                                                  default
    tokens      N        length of lorem's answer (`max_tokens` cuts it)          16
    ttft        seconds  time to the first token                                  0
    tps         N        tokens per second; 0 is as fast as can be                0
    reasoning   N        reasoning tokens before the answer                       0
    usage       0 or 1   whether usage is reported                                1
    cached      N        of the prompt's tokens, so many come from the cache      0
    written     N        of the others, so many are written to it                 0
    fail        status   answer with this HTTP status
    retry_after seconds  with `fail`: how long to wait, said as the protocol does
    error       N        send an error event after N chunks; a whole answer is a 500
    stall       N        say nothing more after N chunks
    cut         N        drop the connection after N chunks

For example `sim/lorem:tokens=200,ttft=0.3,tps=50` or `sim/echo:fail=503`. It stands among the words because
routing has to know which names exist, and the provider what they mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Final

MODELS: Final = ("echo", "lorem", "tool")


@dataclass(frozen=True, slots=True)
class Script:
    """What a model's name asks for."""

    name: str
    tokens: int = 16
    ttft: float = 0.0
    tps: float = 0.0
    reasoning: int = 0
    usage: int = 1
    cached: int = 0
    written: int = 0
    fail: int | None = None
    retry_after: int | None = None
    error: int | None = None
    stall: int | None = None
    cut: int | None = None


_KEYS: Final = {field.name: float if field.name in {"ttft", "tps"} else int for field in fields(Script)[1:]}
_STATUSES: Final = range(400, 600)


def is_script(model: str) -> bool:
    """Tell whether a name can be read."""
    try:
        read_script(model)
    except ValueError:
        return False
    return True


def read_script(model: str) -> Script:
    """Read a model's name. Raises ValueError where it is no script."""
    name, _, options = model.partition(":")
    if name not in MODELS:
        raise ValueError(f"no such model: {name}")
    values: dict[str, Any] = {}
    for option in options.split(",") if options else ():
        key, _, text = option.partition("=")
        if key not in _KEYS:
            raise ValueError(f"no such option: {key}")
        value = _KEYS[key](text)
        if not 0 <= value <= 1_000_000 or not math.isfinite(value):
            raise ValueError(f"out of range: {option}")
        values[key] = value
    if values.get("fail", _STATUSES[0]) not in _STATUSES:
        raise ValueError("fail is a status from 400 to 599")
    return Script(name, **values)
