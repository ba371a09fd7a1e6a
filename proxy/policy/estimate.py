"""What to hold for a request before it starts, from its plan alone. Pure integers."""

from __future__ import annotations

from typing import NamedTuple

from proxy.words.call import Call
from proxy.words.money import cost, hold_for

from .plan import Plan


class Weight(NamedTuple):
    """A request before it starts: nano-USD expected and held, and tokens for the day's budget."""

    estimate: int
    hold: int
    tokens: int


def weigh(call: Call, plan: Plan) -> Weight:
    """Forecast a request once and say all that a hold needs."""
    usage = call.forecast(plan.ratio, plan.output_cap)
    expected = cost(usage, plan.price, plan.markup)
    return Weight(expected, hold_for(expected), usage.total_tokens)


def estimate(call: Call, plan: Plan) -> int:
    """Return the cost of the whole prompt and of every choice to its limit, in nano-USD."""
    return weigh(call, plan).estimate


def hold(call: Call, plan: Plan) -> int:
    """Return what to hold: the estimate and 20 %."""
    return weigh(call, plan).hold
