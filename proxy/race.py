"""From several candidates to one open stream.

Knows no HTTP, no money and no clock. `open` is an async callable that returns a stream with its first
event in hand, or raises UpstreamError having left nothing open. Candidates are tried in order; one that
fails starts the next, one that fails for the request's own sake ends the search. No nursery is needed
for that, so cancelling the caller cancels the one attempt under way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from proxy.words.errors import UpstreamError

CandidateT = TypeVar("CandidateT")
StreamT = TypeVar("StreamT")


class AllFailedError(Exception):
    """No candidate gave a stream.

    Attributes:
        errors: what each attempt met, in order; never empty.
    """

    def __init__(self, errors: Sequence[UpstreamError]) -> None:
        super().__init__(f"{len(errors)} attempts failed")
        self.errors = tuple(errors)


async def race(
    candidates: Sequence[CandidateT], open_: Callable[[CandidateT], Awaitable[StreamT]]
) -> tuple[CandidateT, StreamT]:
    """Return the first candidate whose stream opens, and the stream.

    Raises:
        AllFailedError: with every attempt's error.
    """
    errors: list[UpstreamError] = []
    for candidate in candidates:
        try:
            return candidate, await open_(candidate)
        except UpstreamError as error:
            errors.append(error)
            if not error.fails_over:
                break
    raise AllFailedError(errors)
