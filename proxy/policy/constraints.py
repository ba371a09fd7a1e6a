"""What a request demands of whoever answers it: abilities, a price, a speed. Pure; the speed is passed in."""

from __future__ import annotations

from fractions import Fraction

from proxy.words.call import Call
from proxy.words.money import NANO_PER_USD, cost
from proxy.words.wishes import Wishes

from .ordering import Outlook
from .plan import Candidate


def ceiling_of(wishes: Wishes, credits_per_usd: int) -> int | None:
    """Return the most a request may cost its client, in nano-USD."""
    most = wishes.max_credits
    return None if most is None else int(most * Fraction(NANO_PER_USD, credits_per_usd))


def fits(candidate: Candidate, call: Call, ceiling: int | None, outlook: Outlook) -> bool:
    """Tell whether a candidate can do what is required, cheaply and soon enough.

    Its cost is the one a hold is made for: the whole prompt, and the answer to its limit. Of a deployment
    that is not known yet its first word is not known to be late, so it may try.
    """
    wishes, terms = call.wishes, candidate.terms
    if not wishes.require <= terms.capabilities:
        return False
    if ceiling is not None:
        forecast = call.forecast(terms.ratio, terms.output_cap)
        if cost(forecast, terms.price, terms.markup) > ceiling:
            return False
    first = None if wishes.max_latency is None else outlook.first_token(candidate.id)
    return first is None or wishes.max_latency is None or first <= wishes.max_latency
