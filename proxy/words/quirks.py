"""How a provider deviates from the protocol it speaks, as far as a request must be fitted to it: data.

Deviations of answers are not here: a wire's decoder reads those seen in the field from anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Quirks:
    """What is different about the requests of one provider. Fields are named as in the protocol's body."""

    key_header: str | None = None
    """The header field its key goes into, in lower case, where it is not the protocol's own."""
    query: tuple[tuple[str, str], ...] = ()
    """What is added to the query of every address."""
    renames: tuple[tuple[str, str], ...] = ()
    """Fields it knows under another name: ours, its own."""
    omits: frozenset[str] = frozenset()
    """Hints and bookkeeping it does not take: left out, for they change no answer."""
    refuses: frozenset[str] = frozenset()
    """Fields it does not take that would change an answer; `messages[].x` is a member of a message."""


PLAIN: Final = Quirks()
