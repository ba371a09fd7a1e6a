"""What a Claude model can be asked for, by its name: thinking, sampling, length.

Anthropic changes its request with the generations, so a name is read as a family and a version, and a
model that comes later is taken to be like the newest. Sources, all below platform.claude.com/docs/en:
build-with-claude/thinking-troubleshooting ("Thinking support, defaults, and rejected configurations by
model"), build-with-claude/effort, about-claude/models/overview (output limits) and the models' migration
guides (sampling: none from 4.7 on).
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple


class Traits(NamedTuple):
    """One model.

    Attributes:
        thinking: `adaptive` is steered by an effort, `budget` by a number of tokens.
        off: the type of `thinking` that switches it off; None where it cannot be, or is off anyway.
        always: it cannot be switched off.
        sampling: it takes `temperature`, `top_p` and `top_k`.
        xhigh: it knows this effort, between `high` and `max`.
        max_output: the most tokens one answer may have.
    """

    thinking: Literal["none", "budget", "adaptive"]
    sampling: bool
    max_output: int
    off: Literal["disabled", "between_tools"] | None = None
    always: bool = False
    xhigh: bool = False


_NEWEST: Final = Traits("adaptive", sampling=False, max_output=128_000, off="disabled", xhigh=True)
_GENERATIONS: Final[tuple[tuple[tuple[int, int], Traits], ...]] = (
    ((4, 7), _NEWEST),
    ((4, 6), Traits("adaptive", sampling=True, max_output=128_000, off="disabled")),
    ((4, 2), Traits("budget", sampling=True, max_output=64_000)),
    ((4, 0), Traits("budget", sampling=True, max_output=32_000)),
    ((3, 7), Traits("budget", sampling=True, max_output=64_000)),
    ((3, 5), Traits("none", sampling=True, max_output=8_192)),
    ((0, 0), Traits("none", sampling=True, max_output=4_096)),
)
"""Each from a version on, newest first."""
_OTHERS: Final = Traits("budget", sampling=True, max_output=8_192)
"""Models of other makers whose servers speak this protocol, which copy its older form."""
_NAME: Final = re.compile(
    # claude-opus-4-1-20250805 and claude-3-5-haiku-20241022: a date is no minor version.
    r"claude-(?:(?P<family>[a-z]+)-)?(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d)"
)


def traits(model: str) -> Traits:
    """Return what a model can be asked for; prefixes and suffixes of resellers do not matter."""
    name = model.lower()
    if "claude" not in name:
        return _OTHERS
    found = _NAME.search(name)
    if found is None:
        return _NEWEST
    version = int(found["major"]), int(found["minor"] or 0)
    known = next(traits for start, traits in _GENERATIONS if version >= start)
    return _peculiar(found["family"] or "", version, known)


def _peculiar(family: str, version: tuple[int, int], known: Traits) -> Traits:
    """Apply what holds for one family alone."""
    if family == "sonnet" and (4, 0) <= version < (4, 2):
        return known._replace(max_output=64_000)
    if family in {"fable", "mythos"} or (family == "opus" and version >= (5, 5)):
        return known._replace(off=None, always=True)
    if family == "sonnet" and version >= (5, 5):
        return known._replace(off="between_tools")
    return known
