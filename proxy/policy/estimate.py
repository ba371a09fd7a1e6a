"""What to hold for a request before it starts, from its plan alone. Pure integers."""

from __future__ import annotations

from typing import NamedTuple

from proxy.words.call import Call
from proxy.words.money import cost, hold_for

from .plan import Plan, Terms


class Weight(NamedTuple):
    """A request before it starts: nano-USD expected and held, and tokens for the day's budget."""

    estimate: int
    hold: int
    tokens: int


def weigh(call: Call, plan: Plan) -> Weight:
    """Forecast a request and say all that a hold needs: it pays for any of the models that may answer."""
    weights = [
        _weigh(call, terms) for terms in {id(each.terms): each.terms for each in plan.candidates}.values()
    ]
    return Weight(*map(max, zip(*weights, strict=True)))


def _weigh(call: Call, terms: Terms) -> Weight:
    usage = call.forecast(terms.ratio, terms.output_cap)
    expected = cost(usage, terms.price, terms.markup)
    return Weight(expected, hold_for(expected), usage.total_tokens)
