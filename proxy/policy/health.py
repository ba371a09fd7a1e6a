"""How the deployments are doing, and what that allows: pulse, breaker and budgets as one.

Every attempt is told of once, when it has its first content event, failed or was given up, and once more
when its stream ends or breaks. Pure: times are passed in, as seconds of one clock.

What happens with an account's own key says nothing to others: it may be a wrong key, or a server of the
account's. It has circuits of its own, and neither pulse nor budgets hear of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.words.errors import Trouble

from .breaker import Breaker, Fuse, Key
from .budgets import Budgets, Shares
from .ordering import Outlook
from .plan import Candidate
from .pulse import Pulse, Tempo

_UNSTABLE: Final = 0.1
"""The share of failures beyond which a deployment is a last resort for strategies that balance."""
_JUDGED: Final[frozenset[Trouble]] = frozenset({"rejected", "unsupported"})
"""Troubles of the request, which say nothing bad of whoever found them."""


class Health:
    """What is known of all deployments. Its parts are there for metrics."""

    def __init__(
        self,
        tempo: Tempo = Tempo(),
        fuse: Fuse = Fuse(),
        shares: Shares = Shares(),
        told: Callable[[Key, Trouble | None], None] = lambda _key, _trouble: None,
    ) -> None:
        """`told` is `Breaker`'s."""
        self.pulse = Pulse(tempo)
        self.breaker = Breaker(fuse, told=told)
        self.budgets = Budgets(shares)

    def outlook(self, now: float) -> Outlook:
        """Return what orders go by."""
        pulse, breaker = self.pulse, self.breaker

        def expected(deployment: str, tokens: int) -> float:
            return pulse.expected(deployment, tokens, now)

        def stable(deployment: str) -> bool:
            failing = pulse.error_rate(deployment, now) or 0.0
            return failing <= _UNSTABLE and not breaker.until((deployment, None), now)

        def first_token(deployment: str) -> float | None:
            return pulse.first_token(deployment, now)

        return Outlook(expected, stable, first_token)

    def wait(self, candidate: Candidate, now: float) -> float:
        """Return the seconds until a candidate may be tried, 0.0 where it may now."""
        return self.breaker.until(candidate.circuit, now)

    def allows(self, candidate: Candidate, now: float) -> bool:
        """Tell whether an attempt may begin; to be asked only where it then does."""
        return self.breaker.allows(candidate.circuit, now)

    def opened(self, candidate: Candidate, started: float, now: float) -> None:
        """Take note of an attempt's first content event."""
        self.breaker.succeeded(candidate.circuit, now, started=started)
        if candidate.own is None:
            self.pulse.opened(candidate.id, now - started, now)
            self.budgets.succeeded(candidate.terms.model)

    def failed(
        self,
        candidate: Candidate,
        trouble: Trouble,
        started: float,
        now: float,
        *,
        retry_after: float | None = None,
        opened: bool = False,
    ) -> None:
        """Take note of an attempt that failed; `opened` where its answer had begun."""
        self.breaker.failed(candidate.circuit, trouble, now, started=started, retry_after=retry_after)
        if candidate.own is not None:
            return
        self.pulse.failed(candidate.id, trouble, now, opened=opened)
        if trouble not in _JUDGED:
            self.budgets.failed(candidate.terms.model)

    def cancelled(self, candidate: Candidate, started: float, now: float, *, hedged: bool = False) -> None:
        """Take note of an attempt given up before its first content event; `hedged` as for `Pulse`."""
        self.breaker.cancelled(candidate.circuit, now, started=started)
        if candidate.own is None:
            self.pulse.cancelled(candidate.id, now - started, now, hedged=hedged)

    def finished(self, candidate: Candidate, tokens: int, seconds: float, now: float) -> None:
        """Take note of an answer that came whole: so many tokens in the seconds after its first one."""
        if candidate.own is None:
            self.pulse.finished(candidate.id, tokens, seconds, now)
