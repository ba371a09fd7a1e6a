"""Which deployments may serve a request, and in what order: pure, chance and speed passed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from random import Random
from typing import Final, NamedTuple

from proxy.words.call import Call
from proxy.words.money import cost
from proxy.words.wishes import Strategy, Wishes

from .plan import Candidate

_STANDS_STILL: Final[frozenset[Strategy]] = frozenset({"cheapest", "fastest", "quality"})
"""Orders that a session does not change."""


class Outlook(NamedTuple):
    """What is known of the deployments now.

    Attributes:
        expected: seconds to a whole answer of so many tokens, by deployment id.
        stable: whether a deployment has answered lately without trouble.
        first_token: seconds to its first token, where that is known.
    """

    expected: Callable[[str, int], float]
    stable: Callable[[str], bool]
    first_token: Callable[[str], float | None] = lambda _id: None


def arrange(
    candidates: Sequence[Candidate],
    strategy: Strategy,
    call: Call,
    wishes: Wishes,
    outlook: Outlook,
    chance: Random,
) -> list[Candidate]:
    """Return the candidates a request may go to, best first; none where its wishes leave none."""
    wanted = [candidate for candidate in candidates if _within(candidate, wishes)]
    match strategy:
        case "cheapest":
            wanted.sort(key=lambda candidate: _costs(candidate, call))
        case "fastest":
            wanted.sort(key=lambda candidate: outlook.expected(candidate.id, _output(candidate, call)))
        case "quality":
            wanted.sort(key=lambda candidate: -candidate.terms.quality)
        case "balanced":
            wanted = _balanced(wanted, outlook, chance)
        case _:
            pass
    if wishes.session is not None and strategy not in _STANDS_STILL:
        wanted = _stuck(wanted, wishes.session)
    if wishes.order:
        wanted = _preferred(wanted, wishes)
    elif not wishes.allow_fallbacks:
        wanted = wanted[:1]
    return wanted[:1] if strategy == "single" else wanted


def _within(candidate: Candidate, wishes: Wishes) -> bool:
    name = candidate.deployment.provider.name
    if (wishes.only and name not in wishes.only) or name in wishes.ignore:
        return False
    rates, markup = candidate.terms.price.rates, candidate.terms.markup
    ceilings = ((wishes.max_prompt_price, rates.input), (wishes.max_completion_price, rates.output))
    return all(most is None or rate * markup <= most for most, rate in ceilings)


def _costs(candidate: Candidate, call: Call) -> tuple[int, int]:
    """Return what the client pays for this request, then what we do."""
    terms = candidate.terms
    usage = call.forecast(terms.ratio, terms.output_cap)
    ours = terms.price if candidate.cost is None else candidate.cost
    return cost(usage, terms.price, terms.markup), cost(usage, ours)


def _output(candidate: Candidate, call: Call) -> int:
    return call.forecast(candidate.terms.ratio, candidate.terms.output_cap).completion_tokens


def _balanced(candidates: Sequence[Candidate], outlook: Outlook, chance: Random) -> list[Candidate]:
    """Draw the stable ones by the inverse square of their price; the others are the last resort.

    (openrouter.ai/docs, "Provider Routing": "Price-Based Load Balancing".)
    """
    left = [candidate for candidate in candidates if outlook.stable(candidate.id)]
    others = [candidate for candidate in candidates if not outlook.stable(candidate.id)]
    drawn: list[Candidate] = []
    while left:
        (picked,) = chance.choices(range(len(left)), [_attraction(candidate) for candidate in left])
        drawn.append(left.pop(picked))
    return drawn + others


def _attraction(candidate: Candidate) -> float:
    rates = (candidate.cost or candidate.terms.price).rates
    # What costs nothing attracts a lot, but is still drawn against its like.
    return 1 / max(rates.input + rates.output, 1) ** 2


def _stuck(candidates: list[Candidate], session: str) -> list[Candidate]:
    """Move one deployment of the first model to the front, the same for a session while it is there.

    By highest random weight, so that a deployment that comes or goes moves no session of the others.
    """
    if not candidates or not candidates[0].terms.sticky:
        return candidates
    model = candidates[0].terms.model
    own = [candidate for candidate in candidates if candidate.terms.model == model]
    best = max(own, key=lambda candidate: blake2b(f"{session}\0{candidate.id}".encode()).digest())
    return [best, *(candidate for candidate in candidates if candidate is not best)]


def _preferred(candidates: Sequence[Candidate], wishes: Wishes) -> list[Candidate]:
    def rank(candidate: Candidate) -> int:
        name = candidate.deployment.provider.name
        return wishes.order.index(name) if name in wishes.order else len(wishes.order)

    ranked = sorted(candidates, key=rank)
    if wishes.allow_fallbacks:
        return ranked
    return [candidate for candidate in ranked if rank(candidate) < len(wishes.order)]
