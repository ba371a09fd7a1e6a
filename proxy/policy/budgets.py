"""How much may be tried beyond one attempt for each call. Pure integers; time and chance are passed in.

*Hedges* are a luxury: no more than 5 % of calls, no more than 2 % of what clients are charged. Two token
buckets; what a fresh process has to begin with is small, and so is what quiet times can save up.

*Retries* are Finagle's budget (finagle.github.io, Retry Budgets): 20 % of calls and ten a second, saved up
for ten seconds at most. But a call's first fail-over to another deployment is never refused, only counted:
it is what the gateway is for, and five hundred requests at once to a provider that dies need five hundred
of them. It cannot become a storm. One call makes one, the breaker takes the dead one out within five
failures, and every further try of the same call, or at the same deployment, needs a token.

*The throttle* is gRPC's (proposal A6): ten tokens for a model, one less with each failed attempt, a tenth
more with each good one. At half or below something is wrong with the model everywhere: nothing is hedged,
and nothing is retried but that first fail-over.

Calls are counted in thousandths, money in thousandths of a nano-USD, so that shares per mille are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

_ONE: Final = 1000
_STEEPEST: Final = 64
"""Doublings after which any back-off is at its cap; more would overflow."""

Refusal = Literal["throttle", "calls", "spend"]


@dataclass(frozen=True, slots=True)
class Shares:
    """What is allowed: shares per mille, money in nano-USD.

    `start` is what a fresh process may do at once, `most` what it can save up. An overall share is kept to
    within `start`; `most` bounds what comes in one burst.
    """

    hedge_calls: int = 50
    hedge_start: int = 2
    hedge_most: int = 20
    hedge_spend: int = 20
    hedge_spend_start: int = 10_000_000
    hedge_spend_most: int = 1_000_000_000
    retry_calls: int = 200
    retry_floor: int = 10
    """A second."""
    retry_most: int = 100
    throttle_tokens: int = 10
    throttle_ratio: int = 100


class Bucket:
    """Tokens in thousandths: put in as a share of something, taken whole."""

    __slots__ = ("_most", "tokens")

    def __init__(self, start: int, most: int) -> None:
        self.tokens = start * _ONE
        self._most = most * _ONE

    def put(self, thousandths: int) -> None:
        """Put in, up to the brim; a negative number takes out, below nothing if need be."""
        self.tokens = min(self.tokens + thousandths, self._most)

    def holds(self, whole: int) -> bool:
        """Tell whether that many can be taken."""
        return self.tokens >= whole * _ONE


class Throttle:
    """The tokens of each model that lacks some; at most `most` models are remembered."""

    def __init__(self, tokens: int, ratio: int, *, most: int = 4096) -> None:
        self._full = tokens * _ONE
        self._ratio = ratio
        self._most = most
        self._tokens: dict[str, int] = {}

    def open(self, model: str) -> bool:
        """Tell whether more than half of the tokens are there."""
        tokens = self._tokens.get(model)
        return tokens is None or 2 * tokens > self._full

    def succeeded(self, model: str) -> None:
        """Put a part of a token back."""
        tokens = self._tokens.get(model)
        if tokens is None:
            return
        if tokens + self._ratio < self._full:
            self._tokens[model] = tokens + self._ratio
        else:
            del self._tokens[model]

    def failed(self, model: str) -> None:
        """Take a token. For want of room, the model that failed the longest ago is forgotten."""
        tokens = self._tokens.pop(model, self._full)
        if len(self._tokens) >= self._most:
            del self._tokens[next(iter(self._tokens))]
        self._tokens[model] = max(tokens - _ONE, 0)

    def shut(self) -> list[str]:
        """Return the models at half or below."""
        return [model for model in self._tokens if not self.open(model)]


class BudgetReading(NamedTuple):
    """The budgets, for metrics: tokens left (thousandths; spend in nano-USD), what was done and refused."""

    hedge_tokens: int
    hedge_spend: int
    retry_tokens: int
    hedges: int
    retries: int
    failovers: int
    """First fail-overs, which are not among the retries."""
    hedges_refused: dict[Refusal, int]
    retries_refused: dict[Refusal, int]
    throttled: list[str]


class Budgets:
    """All budgets of one process."""

    def __init__(self, shares: Shares = Shares()) -> None:
        self._shares = shares
        self._hedges = Bucket(shares.hedge_start, shares.hedge_most)
        self._spend = Bucket(shares.hedge_spend_start, shares.hedge_spend_most)
        self._retries = Bucket(shares.retry_floor, shares.retry_most)
        self._filled_at: float | None = None
        self._throttle = Throttle(shares.throttle_tokens, shares.throttle_ratio)
        self._done = {"hedges": 0, "retries": 0, "failovers": 0}
        self._hedges_refused: dict[Refusal, int] = {"throttle": 0, "calls": 0, "spend": 0}
        self._retries_refused: dict[Refusal, int] = {"throttle": 0, "calls": 0}

    def __repr__(self) -> str:
        hedges, retries = self._hedges.tokens / _ONE, self._retries.tokens / _ONE
        return f"<Budgets for {hedges:.2f} hedges, {retries:.2f} retries>"

    def called(self) -> None:
        """Take note of a client's call: one, however many attempts it needs."""
        self._hedges.put(self._shares.hedge_calls)
        self._retries.put(self._shares.retry_calls)

    def settled(self, nano: int) -> None:
        """Take note of what a client was charged, in nano-USD."""
        self._spend.put(nano * self._shares.hedge_spend)

    def succeeded(self, model: str) -> None:
        """Take note of an attempt's first content event."""
        self._throttle.succeeded(model)

    def failed(self, model: str) -> None:
        """Take note of an attempt that failed, unless it was rejected."""
        self._throttle.failed(model)

    def hedge(self, model: str, cost: int) -> bool:
        """Take a hedge whose loser should cost us `cost` nano-USD; False where it may not be."""
        refusal: Refusal | None = None
        if not self._throttle.open(model):
            refusal = "throttle"
        elif not self._hedges.holds(1):
            refusal = "calls"
        elif not self._spend.holds(cost):
            refusal = "spend"
        if refusal is not None:
            self._hedges_refused[refusal] += 1
            return False
        self._hedges.put(-_ONE)
        self._spend.put(-cost * _ONE)
        self._done["hedges"] += 1
        return True

    def hedged(self, expected: int, cost: int) -> None:
        """Correct a hedge once it is known what its loser cost: nano-USD, taken and true.

        What it cost too much is owed: no hedge until 2 % of new charges have paid for it.
        """
        self._spend.put((expected - cost) * _ONE)

    def retry(self, model: str, now: float, *, failover: bool = False) -> bool:
        """Take another attempt of a call; False where it may not be.

        `failover`: the call's first other attempt, at another deployment. It is never refused.
        """
        self._refill(now)
        if failover:
            self._retries.put(-min(_ONE, self._retries.tokens))
            self._done["failovers"] += 1
            return True
        refusal: Refusal | None = None
        if not self._throttle.open(model):
            refusal = "throttle"
        elif not self._retries.holds(1):
            refusal = "calls"
        if refusal is not None:
            self._retries_refused[refusal] += 1
            return False
        self._retries.put(-_ONE)
        self._done["retries"] += 1
        return True

    def snapshot(self) -> BudgetReading:
        """Return what is left and what was done."""
        return BudgetReading(
            hedge_tokens=self._hedges.tokens,
            hedge_spend=self._spend.tokens // _ONE,
            retry_tokens=self._retries.tokens,
            **self._done,
            hedges_refused=dict(self._hedges_refused),
            retries_refused=dict(self._retries_refused),
            throttled=self._throttle.shut(),
        )

    def _refill(self, now: float) -> None:
        rate = self._shares.retry_floor * _ONE
        if self._filled_at is None:
            self._filled_at = now
        whole = int((now - self._filled_at) * rate)
        if whole:
            self._retries.put(whole)
            self._filled_at += whole / rate


def backoff(
    attempt: int,
    random: Callable[[], float],
    *,
    initial: float = 0.1,
    multiplier: float = 2.0,
    longest: float = 2.0,
) -> float:
    """Return the seconds to wait before retry `attempt`, from 1, at the same deployment: full jitter.

    Anything from nothing to a ceiling that grows to `longest` (gRPC proposal A6; Brooker, Exponential
    Backoff And Jitter, AWS 2015). `random` gives [0, 1). Another deployment needs no wait.
    """
    return random() * min(longest, initial * multiplier ** min(attempt - 1, _STEEPEST))
