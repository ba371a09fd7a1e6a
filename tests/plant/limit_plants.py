"""Bugs in limits and idempotency keys: what is counted, for whom, and what a refused request leaves."""

from __future__ import annotations

from typing import Final

from .bank_plants import RULES
from .planting import Plant

CLAIMS: Final = "tests/bank/test_claims.py"
OWNERS: Final = "tests/bank/test_owners.py"


_RULES: Final = "proxy/bank/rules.py"

PLANTS: Final = (
    Plant(
        "one-request-too-many",
        _RULES,
        "if window is not None and not window.left:",
        "if window is not None and window.left < 0:",
        "requests a minute are no limit",
        (RULES,),
    ),
    Plant(
        "window-of-the-key-alone",
        _RULES,
        "key: Window = kind, number, op.at // MINUTE_MS",
        'key: Window = "key", op.key_id, op.at // MINUTE_MS',
        "a second key has the plan's requests once more",
        (OWNERS,),
    ),
    Plant(
        "only-the-first-scope-counts",
        _RULES,
        "    for scope in op.scopes:\n        if refused := _over_budget",
        "    for scope in op.scopes[:1]:\n        if refused := _over_budget",
        "a key's limits stand for its project's and its plan's",
        (OWNERS,),
    ),
    Plant(
        "widest-window-decides",
        _RULES,
        "if tightest is None or left < tightest.left:",
        "if tightest is None or left > tightest.left:",
        "the most generous of three limits is the one that holds",
        (OWNERS,),
    ),
    Plant(
        "refused-requests-use-the-limit",
        _RULES,
        "    window = _window(batch, op)\n    refused",
        "    window = _window(batch, op)\n"
        "    for kind, number, _ in op.scopes:\n"
        "        place: Window = kind, number, op.at // MINUTE_MS\n"
        "        batch.changes.windows[place] = batch.window(place) + 1\n"
        "    refused",
        "whoever is refused stays refused",
        (RULES,),
    ),
    Plant(
        "reserved-tokens-not-counted",
        _RULES,
        "budget.used + budget.reserved + op.tokens > most",
        "budget.used + op.tokens > most",
        "requests that run together use a day's tokens many times over",
        (RULES,),
    ),
    Plant(
        "void-keeps-tokens-reserved",
        _RULES,
        "Budget(tokens, -hold.tokens, charge, -hold.amount)",
        "Budget(tokens, -tokens, charge, -hold.amount)",
        "requests that failed eat the day's budget",
        (RULES,),
    ),
    Plant(
        "held-not-in-the-days-cost",
        _RULES,
        "left = most - budget.spent - budget.held",
        "left = most - budget.spent",
        "requests that run together spend a day's limit many times over",
        (OWNERS,),
    ),
    Plant(
        "days-cost-never-freed",
        _RULES,
        "Budget(tokens, -hold.tokens, charge, -hold.amount)",
        "Budget(tokens, -hold.tokens, charge, -charge)",
        "what a hold did not need counts against the day all the same",
        (OWNERS,),
    ),
    Plant(
        "extension-not-in-the-days-cost",
        _RULES,
        "refused = _too_dear_for(batch, hold, op) or _too_poor(account, op.amount)",
        "refused = _too_poor(account, op.amount)",
        "streams that grow spend beyond the day's limit",
        (OWNERS,),
    ),
    Plant(
        "extension-on-credit",
        _RULES,
        "refused = _too_dear_for(batch, hold, op) or _too_poor(account, op.amount)",
        "refused = _too_dear_for(batch, hold, op)",
        "a stream grows its hold beyond what there is",
        (RULES,),
    ),
    Plant(
        "grown-hold-not-in-the-day",
        _RULES,
        "budget._replace(held=budget.held + op.amount)",
        "budget._replace(held=budget.held)",
        "what a stream grew by is missing in the day, and taken from it at its end",
        (OWNERS,),
    ),
    Plant(
        "running-never-ends",
        _RULES,
        "batch.count(hold, hold.day, -1,",
        "batch.count(hold, hold.day, 0,",
        "a key that may run two at once may run two in all",
        (RULES,),
    ),
    Plant(
        "limits-of-the-key-alone-are-sent",
        "proxy/admission.py",
        "scopes=principal.scopes",
        'scopes=tuple(each for each in principal.scopes if each.kind == "key")',
        "two of three limits never reach the bank",
        ("tests/e2e/test_shared_limits.py",),
    ),
    Plant(
        "idempotency-key-charged-twice",
        _RULES,
        'if claim is None or (claim.state != "running" and claim.until <= op.at):',
        "if claim is None or claim.until <= op.at or not claim.cost:",
        "a repeat that comes while the first runs is charged too",
        (CLAIMS,),
    ),
    Plant(
        "idempotency-key-for-any-body",
        _RULES,
        "if claim.body_hash != op.body_hash:",
        "if len(claim.body_hash) != len(op.body_hash or b''):",
        "another question is given the first one's answer",
        (CLAIMS,),
    ),
    Plant(
        "voided-claim-kept",
        _RULES,
        "        changes.claims[key] = None\n",
        '        changes.claims[key] = claim._replace(state="partial")\n',
        "a request that failed and cost nothing can never be tried again",
        (CLAIMS,),
    ),
    Plant(
        "partial-answer-passes-for-whole",
        _RULES,
        'state="whole" if op.whole else "partial"',
        'state="whole"',
        "a repeat is told that an answer was given of which the client had a part",
        (CLAIMS,),
    ),
)
