"""How a mock provider answers: `NAME:key=value,key=value`, as a model's name or as the provider's default.

The language is that of the gateway's simulated provider (`headrace sim`), so that one model name works with
both; what load tests need besides is marked *.

    tokens      N        length of an answer (`max_tokens` cuts it)      `max_tokens`, or 16
    ttft        seconds  time to the first token                         0
    tps         N        tokens a second; 0 is as fast as can be         0
    sigma     * N        `ttft` is the median of a lognormal spread, this the deviation of its logarithm
    slow      * percent  so many first tokens …                          0
    times     * N        … take so many times as long                    10
    jitter    * share    each pause between tokens is longer or shorter by up to this share
    usage       0 or 1   whether usage is reported                       1
    fail        status   answer with this HTTP status
    retry_after seconds  with `fail`: how long to wait
    error       N        send an error event after N tokens
    stall       N        say nothing more after N tokens
    cut         N        drop the connection after N tokens
    share     * percent  of requests that fail, err, stall or are cut    100
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from random import Random
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Script:
    """What a name asks for."""

    name: str = "lorem"
    tokens: int | None = None
    ttft: float = 0.0
    tps: float = 0.0
    sigma: float = 0.0
    slow: float = 0.0
    times: float = 10.0
    jitter: float = 0.0
    usage: int = 1
    fail: int | None = None
    retry_after: int | None = None
    error: int | None = None
    stall: int | None = None
    cut: int | None = None
    share: float = 100.0

    def with_options(self, text: str) -> Script:
        """Return it with `key=value,…` said anew. Raises ValueError."""
        values: dict[str, Any] = {}
        for option in text.split(",") if text else ():
            key, _, value = option.partition("=")
            if key not in _KINDS:
                raise ValueError(f"no such option: {key}")
            values[key] = _KINDS[key](value)
            if not 0 <= values[key] <= 1_000_000:
                raise ValueError(f"out of range: {option}")
        return replace(self, **values)

    def first(self, chance: Random) -> float:
        """Draw the seconds to one first token."""
        seconds = self.ttft * (chance.lognormvariate(0, self.sigma) if self.sigma else 1.0)
        return seconds * (self.times if self.slow and chance.random() * 100 < self.slow else 1.0)

    def pause(self, chance: Random) -> float:
        """Draw the seconds between two tokens."""
        if not self.tps:
            return 0.0
        return (1 + self.jitter * (2 * chance.random() - 1)) / self.tps

    def spared(self, chance: Random) -> Script:
        """Return it without its faults, for those requests that have none."""
        if self.share >= 100 or chance.random() * 100 < self.share:
            return self
        return replace(self, fail=None, error=None, stall=None, cut=None)


_WHOLE: Final = {"tokens", "usage", "fail", "retry_after", "error", "stall", "cut"}
_KINDS: Final = {field.name: int if field.name in _WHOLE else float for field in fields(Script)[1:]}


def read_script(text: str, default: Script) -> Script:
    """Read a model's name; a name without options is answered by the default. Raises ValueError."""
    name, colon, options = text.partition(":")
    return replace(default, name=name).with_options(options if colon else "")
