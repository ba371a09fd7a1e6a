"""The race of one request: who may start and when, and what each attempt tells of its deployment.

`race` is the mechanism, `policy` the rules; here they meet the fleet and the receipt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import random
from typing import Final

import trio

from proxy.policy.budgets import backoff
from proxy.policy.health import Health
from proxy.policy.plan import Candidate, Plan, Terms
from proxy.race import AllFailedError, Rules, Why, race
from proxy.receipt import Attempt, Receipt
from proxy.settings import Race
from proxy.upstream.fleet import Fleet, Needs, UpstreamStream
from proxy.words.call import Call
from proxy.words.errors import GatewayError, UpstreamError, outward
from proxy.words.money import cost
from proxy.words.principal import OpenedKey
from proxy.words.usage import Usage

ALL_OPEN_SECONDS: Final = 60
"""What a client is told to wait where every breaker is open (contract 3.3)."""
_PERHAPS_TAKEN: Final = frozenset({None, "first_byte", "truncated", "reset"})
"""Ends of attempts whose request the upstream may have read, so that we count it as charged."""


class Contest:
    """From a plan to one open stream.

    Attributes:
        plan: where it may go; a narrower one may take its place before `run`.
        keys: the account's own keys, by id, opened for this request alone.
    """

    def __init__(
        self, fleet: Fleet, health: Health, settings: Race, plan: Plan, call: Call, receipt: Receipt
    ) -> None:
        self._fleet = fleet
        self._health = health
        self._settings = settings
        self.plan = plan
        self._call = call
        self._receipt = receipt
        self._opened: dict[UpstreamStream, Attempt] = {}
        self._tried: list[tuple[Attempt, Candidate]] = []
        self.keys: Mapping[int, OpenedKey] = {}
        self._whys: dict[int, Why] = {}
        """Why each candidate that may start does, by identity, until it has."""
        self._charged: set[int] = set()
        """Attempts whose cost is known already."""
        self._starts = 0
        self._failovers = 0
        self._risked = 0
        """Nano-USD taken from the budget of hedges."""

    def check(self) -> None:
        """Raise GatewayError `service_unavailable` where every breaker is open: before a hold is taken."""
        now = trio.current_time()
        if all(self._health.wait(candidate, now) for candidate in self.plan.candidates):
            raise _nobody()

    async def run(self) -> tuple[Candidate, UpstreamStream]:
        """Return the winner and its stream, with its first event in hand.

        Raises:
            GatewayError: `service_unavailable` where every breaker is open, else what the attempts met.
        Cancelling closes every attempt under way.
        """
        self._health.budgets.called()
        return await self._race(self.plan.candidates)

    def others(self) -> list[Candidate]:
        """Return the candidates that have not been tried."""
        tried = [each for _, each in self._tried]
        return [each for each in self.plan.candidates if each not in tried]

    async def again(
        self, error: UpstreamError, usage: Usage, *, anew: bool
    ) -> tuple[Candidate, UpstreamStream]:
        """Replace the winner, whose stream `error` has ended after `usage`.

        `anew`: by one that was not tried yet. Else by one of the same model, itself at last. It is a retry,
        so a budget may refuse it. Raises and is cancelled as `run`.
        """
        attempt, broken = next(each for each in self._tried if each[0] is self._receipt.winner)
        attempt.trouble, attempt.ended_at = error.trouble, trio.current_time()
        attempt.cost = cost(usage, broken.cost or broken.terms.price)
        self._charged.add(id(attempt))
        self._health.failed(broken, error.trouble, attempt.started_at, attempt.ended_at, opened=True)
        affordable = self._may_fail_over(broken, attempt.ended_at, elsewhere=anew)
        if self._starts >= self._settings.attempts or not affordable:
            raise _nobody()
        if anew:
            return await self._race(self.others())
        same = [each for each in self.plan.candidates if each.terms.model == broken.terms.model]
        return await self._race([*(each for each in same if each is not broken), broken])

    async def _race(self, candidates: Sequence[Candidate]) -> tuple[Candidate, UpstreamStream]:
        self._starts += 1
        # Not kept: it would hold on to us as we to it.
        rules = Rules(
            stagger=self._stagger,
            may_start=self._may_start,
            pause=self._pause,
            limit=self._settings.at_once,
        )
        try:
            winner, stream = await race(self._startable(candidates), self._open, rules=rules)
        except AllFailedError as failed:
            raise self._all_failed(failed.errors) from failed
        self._receipt.winner = self._opened[stream]
        for attempt in self._receipt.attempts:
            if attempt is not self._receipt.winner and attempt.ended_at is None:
                attempt.ended_at = trio.current_time()
        return winner, stream

    def accepted(self) -> Terms | None:
        """Return the terms of an attempt that an upstream has taken on, and that has not failed."""
        taken = (each.terms for attempt, each in self._tried if attempt.accepted and not attempt.trouble)
        return next(taken, None)

    def close(self, told: GatewayError | None, made: Usage | None = None) -> None:
        """Write down what each attempt costs us, and what the winner's stream says of its deployment.

        To be called once, when the receipt has its figures; `told` is the client's error, `made` what the
        winner made of an answer that nobody pays for.
        """
        receipt, health = self._receipt, self._health
        for attempt, candidate in self._tried:
            if id(attempt) in self._charged:
                continue
            price = candidate.cost or candidate.terms.price
            if attempt is receipt.winner:
                attempt.cost = cost(made or receipt.usage, price)
                if (
                    receipt.outcome == "client_abort"
                    and not candidate.deployment.provider.cancel_stops_billing
                ):
                    attempt.cost = max(attempt.cost, loss(candidate, self._call))
                self._judge(attempt, candidate, told)
            elif attempt.accepted or attempt.trouble in _PERHAPS_TAKEN:
                attempt.cost = loss(candidate, self._call)
        if self._risked:
            lost = (each for each in receipt.attempts if each is not receipt.winner and not each.trouble)
            health.budgets.hedged(self._risked, sum(each.cost for each in lost))
        health.budgets.settled(receipt.cost)
        self.keys = {}

    def _judge(self, attempt: Attempt, candidate: Candidate, told: GatewayError | None) -> None:
        receipt = self._receipt
        if told is None and receipt.outcome == "ok" and attempt.first_event_at is not None:
            took = receipt.ended_at - attempt.first_event_at
            self._health.finished(candidate, receipt.usage.completion_tokens, took, receipt.ended_at)
        elif told is not None and told.trouble is not None:
            attempt.trouble = told.trouble
            self._health.failed(candidate, told.trouble, attempt.started_at, receipt.ended_at, opened=True)

    def _startable(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates from the first that may start now, and all again as often as is set."""
        now = trio.current_time()
        for place, candidate in enumerate(candidates):
            if self._health.allows(candidate, now):
                again = list(candidates) * self._settings.again
                return [*candidates[place:], *candidates[:place], *again]
        raise _nobody()

    def _stagger(self, candidate: Candidate) -> float:
        """Return the seconds after which another attempt may start beside this one."""
        mode = self.plan.mode
        if mode == "failover" or not self._stoppable(candidate):
            return math.inf
        if mode == "race":
            return 0.0
        return self._health.pulse.hedge_delay(candidate.id, trio.current_time())

    def _stoppable(self, candidate: Candidate) -> bool:
        """Tell whether it may lose: what it charges ends with a cancel, or is little anyway."""
        if candidate.deployment.provider.cancel_stops_billing:
            return True
        most = self._call.max_tokens
        return most is not None and most * self._call.choices <= self._settings.hedge_unstoppable

    def _may_start(self, candidate: Candidate, why: Why) -> bool:
        now = trio.current_time()
        # Counted here, as those that start together have not begun when the next one asks.
        if self._starts >= self._settings.attempts or self._health.wait(candidate, now):
            return False
        if why == "failover":
            affordable = self._may_fail_over(candidate, now, elsewhere=candidate in self.others())
        else:
            affordable = self._may_hedge(candidate)
        if not affordable or not self._health.allows(candidate, now):
            return False
        self._starts += 1
        self._whys[id(candidate)] = why
        return True

    def _may_fail_over(self, candidate: Candidate, now: float, *, elsewhere: bool) -> bool:
        first = self._failovers == 0 and elsewhere
        self._failovers += 1
        return self._health.budgets.retry(candidate.terms.model, now, failover=first)

    def _may_hedge(self, candidate: Candidate) -> bool:
        if not self._stoppable(candidate):
            return False
        if self.plan.exempt:
            return True
        expected = loss(candidate, self._call)
        granted = self._health.budgets.hedge(candidate.terms.model, expected)
        self._risked += expected if granted else 0
        return granted

    def _pause(self, failures: int) -> float:
        """Another deployment needs no wait; the second round is of deployments that just failed."""
        rounds = failures // len(self.plan.candidates)
        return backoff(rounds, random) if rounds else 0.0

    async def _open(self, candidate: Candidate) -> UpstreamStream:
        started = trio.current_time()
        deployment, terms = candidate.deployment, candidate.terms
        attempt = Attempt(deployment.provider.name, deployment.model, started)
        if self._receipt.trace is not None:
            attempt.hop = self._receipt.trace.hop()
        attempt.why = self._whys.pop(id(candidate), "first")
        self._receipt.attempts.append(attempt)
        self._tried.append((attempt, candidate))
        needs = Needs(terms.reasoning, terms.max_output, terms.think)
        own = None if candidate.own is None else self.keys[candidate.own.id]
        try:
            stream = await self._fleet.open(
                deployment, self._call, attempt, first_byte=candidate.first_byte, needs=needs, own=own
            )
        except UpstreamError as error:
            self._health.failed(
                candidate, error.trouble, started, trio.current_time(), retry_after=error.retry_after
            )
            raise
        except trio.Cancelled:
            attempt.ended_at = trio.current_time()
            hedged = self.plan.mode == "hedge"
            self._health.cancelled(candidate, started, attempt.ended_at, hedged=hedged)
            raise
        self._health.opened(candidate, started, trio.current_time())
        self._opened[stream] = attempt
        return stream

    def _all_failed(self, errors: Sequence[UpstreamError]) -> GatewayError:
        error = outward(errors)
        attempts = self._receipt.attempts
        if len(attempts) > 1:
            error.detail["attempts"] = [
                {"provider": each.provider, "trouble": each.trouble, "status": each.status}
                for each in attempts
            ]
        return error


def _nobody() -> GatewayError:
    return GatewayError(
        "service_unavailable",
        "No provider of this model is available.",
        retry_after=ALL_OPEN_SECONDS,
        detail={"reason": "breakers_open"},
    )


def loss(candidate: Candidate, call: Call) -> int:
    """Return what a provider charges us for an attempt whose answer nobody takes, in nano-USD.

    It has read the prompt; where a cancel does not stop it, it also writes the whole answer.
    """
    terms = candidate.terms
    forecast = call.forecast(terms.ratio, terms.output_cap)
    charged = forecast.asked if candidate.deployment.provider.cancel_stops_billing else forecast
    return cost(charged, candidate.cost or terms.price)
