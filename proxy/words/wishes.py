"""How a request wants to be routed: what a client may ask for beyond a model.

The shape is OpenRouter's `provider` object (openrouter.ai/docs, "Provider Routing") and its `models` list;
`strategy` is our own, by header or from whoever configured model, alias or key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Strategy = Literal["single", "failover", "hedge", "race", "cheapest", "fastest", "quality", "balanced"]
"""`single` tries one deployment; the others go on to the next when one fails. `hedge` starts a second when
the first is late, `race` starts all at once. The rest are orders: by price, by speed, by the operator's
rank, and by chance, the cheaper the likelier."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one request asks of its routing.

    `only`, `ignore` and `order` name providers; `models` are further models, in order, where the first
    cannot be had. The price ceilings are nano-USD per million tokens. `session` is what sticky routing
    goes by: requests with the same one prefer the same deployment.
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


NO_WISHES: Final = Wishes()
