"""Reading the `strategy` of an auto-route request: how to choose, among whom, and within which limits.

    mode            auto (default) | cheapest | fastest | quality | race | hedge
    models          the only models it may be; without it `auto` chooses, and the orders (cheapest, fastest,
                    quality) and the limits below choose among all of the operator's models
    providers       the only providers it may be
    max_cost        the most the answer may cost, in credits
    max_latency_ms  the longest the first token may usually take
    require         capabilities the model must have

To ask for `race` or `hedge` the key's plan must allow it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from proxy.words.errors import GatewayError
from proxy.words.wishes import NO_WISHES, Strategy, Wishes

from .fields import Body, mapping, number, refuse, string
from .wishes import names

_MODES: Final[dict[str, Strategy | None]] = {
    "auto": None,
    "cheapest": "cheapest",
    "fastest": "fastest",
    "quality": "quality",
    "race": "race",
    "hedge": "hedge",
}
_ORDERS: Final = frozenset({"cheapest", "fastest", "quality"})
_MEMBERS: Final = frozenset({"mode", "models", "providers", "max_cost", "max_latency_ms", "require"})
_AUTO: Final = (None, "", "auto")
_MOST_CREDITS: Final = 10**15
_HOUR_MS: Final = 3_600_000


def read_wishes(body: Body) -> Wishes:
    """Read `strategy`, beside the `model` it may narrow. Raises GatewayError naming the member at fault."""
    strategy = mapping(body, "strategy")
    if not strategy:
        return NO_WISHES
    for name in sorted(strategy.keys() - _MEMBERS):
        if strategy[name] is not None:
            param = f"strategy.{name}"
            raise GatewayError("unsupported_parameter", f"'{param}' is not supported here.", param=param)
    mode = _mode(strategy)
    among = names(strategy, "models", "strategy.models")
    only = names(strategy, "providers", "strategy.providers")
    require = frozenset(names(strategy, "require", "strategy.require"))
    max_credits, max_latency = _max_cost(strategy), _max_latency(strategy)
    limited = bool(only or require) or max_credits is not None or max_latency is not None
    return Wishes(
        strategy=_MODES[mode],
        only=only,
        among=among,
        anything=not among and body.get("model") in _AUTO and (mode in _ORDERS or limited),
        require=require,
        max_credits=max_credits,
        max_latency=max_latency,
    )


def _mode(strategy: Body) -> str:
    try:
        mode = string(strategy, "mode", 32)
    except GatewayError:
        refuse("strategy.mode", "must be a string")
    if mode is not None and mode not in _MODES:
        refuse("strategy.mode", f"must be one of {', '.join(_MODES)}")
    return mode or "auto"


def _max_cost(strategy: Body) -> Fraction | None:
    value = strategy.get("max_cost")
    if value is None:
        return None
    if type(value) is not int and type(value) is not float:
        refuse("strategy.max_cost", "must be a number of credits")
    if not 0 <= value <= _MOST_CREDITS:
        refuse("strategy.max_cost", f"must be between 0 and {_MOST_CREDITS}")
    # A float's shortest text is what the client wrote; the number itself is never counted with.
    return Fraction(str(value))


def _max_latency(strategy: Body) -> float | None:
    try:
        value = number(strategy, "max_latency_ms", 1, _HOUR_MS)
    except GatewayError:
        refuse("strategy.max_latency_ms", f"must be a number of milliseconds, 1 to {_HOUR_MS}")
    return None if value is None else value / 1000
