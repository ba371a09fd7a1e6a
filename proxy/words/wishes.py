"""How a request wants to be routed: what a client may ask for beyond a model.

The shape is OpenRouter's `provider` object (openrouter.ai/docs, "Provider Routing") and its `models` list;
`strategy` is our own, by header or from whoever configured model, alias or key. The rest is the auto
route's (`dialects/auto`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

Strategy = Literal["single", "failover", "hedge", "race", "cheapest", "fastest", "quality", "balanced"]
"""`single` tries one deployment; the others go on to the next when one fails. `hedge` starts a second when
the first is late, `race` starts all at once. The rest are orders: by price, by speed, by the operator's
rank, and by chance, the cheaper the likelier."""
RACES: Final[frozenset[Strategy]] = frozenset({"race", "hedge"})
"""Those whose losers cost the operator something: a plan says whether its accounts may choose them."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one request asks of its routing.

    `only`, `ignore` and `order` name providers; `models` are further models, in order, where the first
    cannot be had. The price ceilings are nano-USD per million tokens. `session` is what sticky routing
    goes by: requests with the same one prefer the same deployment.

    `among` are the only models it may be, in order, whatever the request names; `anything` adds the
    operator's own to the one it names. Whoever answers has the capabilities that `require` lists, is not
    expected to cost more than `max_credits`, nor known to take more than `max_latency` seconds to its
    first token.
    """

    strategy: Strategy | None = None
    models: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    max_prompt_price: int | None = None
    max_completion_price: int | None = None
    allow_fallbacks: bool = True
    require_parameters: bool = False
    session: str | None = None
    among: tuple[str, ...] = ()
    anything: bool = False
    require: frozenset[str] = frozenset()
    max_credits: Fraction | None = None
    max_latency: float | None = None


NO_WISHES: Final = Wishes()
