"""What a client read, what the ledger took and what the provider sent of one request: they have to agree.

Every token of these is one delta, and a request's name is its `X-Request-ID` and its `user`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class Read:
    """What a client has of its answer."""

    tokens: int = 0
    whole: bool = False
    """It came to its proper end."""
    left: bool = False
    """The client did not stay for that."""
    status: int | None = None
    error: str | None = None
    """Said in band."""


class Booked(NamedTuple):
    """An end of a hold: a row of `hold_end`."""

    hold: str
    how: str
    cost: int
    recorded: int | None
    """What its usage record says it cost, where it has one."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a request costs: `whole` as its provider counted it, `part` by our count of so many tokens."""

    whole: int
    part: Callable[[int], int]

    def tokens(self, cost: int, most: int) -> int | None:
        """Return how many tokens of a part a cost stands for, up to `most`; None where it is no such cost."""
        return next((number for number in range(most + 1) if self.part(number) == cost), None)


def disagreements(
    read: Read, booked: Sequence[Booked], sent: Sequence[int], tariff: Tariff, *, slack: int = 1
) -> Iterator[str]:
    """Yield what does not agree of one request.

    `sent` are the tokens of each attempt at it. Of a request whose process was killed, and whose hold others
    have ended (`recovered`), the bill may be for up to `slack` tokens more than came to its client: what was
    about to be sent. Any other is exact.
    """
    most = max(sent, default=0)
    if len(booked) > 1:
        yield f"{len(booked)} holds were opened for it"
    if read.tokens > most:
        yield f"its client read {read.tokens} tokens, of {most} that were sent"
    cost = sum(end.cost for end in booked)
    for end in booked:
        if end.recorded not in {None, end.cost}:
            yield f"it cost {end.cost}, and its record says {end.recorded}"
    if read.whole:
        if cost != tariff.whole:
            yield f"it was answered whole and cost {cost}, not {tariff.whole}"
        return
    yield from _part(read, cost, most, tariff, slack if any(end.how == "recovered" for end in booked) else 0)


def _part(read: Read, cost: int, most: int, tariff: Tariff, slack: int) -> Iterator[str]:
    """An answer that broke off, or never began."""
    tokens = most if cost == tariff.whole else tariff.tokens(cost, most)
    if cost == 0:
        if read.tokens:
            yield f"its client read {read.tokens} tokens for nothing"
    elif tokens is None:
        yield f"it cost {cost}, which is the price of no part of it"
    elif not read.tokens <= tokens <= read.tokens + slack and not read.left:
        yield f"it cost {tokens} tokens, and its client read {read.tokens}"
    elif read.left and tokens < read.tokens:
        yield f"it cost {tokens} tokens, and its client read {read.tokens} before it left"


def all_disagreements(
    read: Mapping[str, Read],
    booked: Mapping[str, Sequence[Booked]],
    sent: Mapping[str, Sequence[int]],
    tariff: Tariff,
    *,
    slack: int = 1,
) -> list[str]:
    """Return what does not agree, of every request that anybody knows of."""
    found = [f"{name} is in the ledger, and nobody asked it" for name in booked.keys() - read.keys()]
    for name, one in read.items():
        said = disagreements(one, booked.get(name, ()), sent.get(name, ()), tariff, slack=slack)
        found += [f"{name}: {text} ({one}, {booked.get(name)}, sent {sent.get(name)})" for text in said]
    return found
