"""How many tokens a prompt has, by our own count: no model is asked, and nothing is charged.

The figure is what a hold would be made for: bytes over the ratio of the model's terms, and flat figures for
messages and images. A key's limits hold as for any request, so it is admitted like one, with a hold of
nothing that ends at once.
"""

from __future__ import annotations

from datetime import UTC, datetime

import trio

from proxy.admission import admission, admitted, may_be_open, window_of
from proxy.bank.ops import Admitted, Void
from proxy.dialects.base import window_headers
from proxy.exchange import Core
from proxy.words.call import Call
from proxy.words.ids import new_generation_id
from proxy.words.principal import Principal


async def count_tokens(
    core: Core, principal: Principal, call: Call, label: str
) -> tuple[int, dict[str, str]]:
    """Return the tokens, and the header fields that tell where the key stands.

    Raises:
        GatewayError: there is no such model for this key, or its requests are used up.
    Cancelling leaves nothing open.
    """
    unix = core.unix_time()
    outlook = core.health.outlook(trio.current_time())
    plan = core.router.plan(call, principal, datetime.fromtimestamp(unix, UTC), outlook)
    hold = new_generation_id()
    admitted = await _admitted(core, principal, hold, label, int(unix * 1000))
    headers = {"x-generation-id": hold, **window_headers(window_of(admitted))}
    return call.prompt_tokens(plan.first.ratio), headers


async def _admitted(core: Core, principal: Principal, hold: str, label: str, now: int) -> Admitted:
    ticket = core.desk.submit(admission(hold, principal, label, now, amount=0, tokens=0, price_version=""))
    try:
        return await admitted(ticket, core.settings.money.credits_per_usd)
    finally:
        if may_be_open(ticket):
            core.desk.submit(Void(f"{hold}:end", hold, now, "unsent"))
