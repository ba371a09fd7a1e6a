"""Who pays for an answer: an account's own key, or its credits. Pure.

An own key is used wherever it can serve, so a plan is of one of two kinds: where the model that comes first
can be had by an own key, the plan holds such deployments alone, and the operator's keys and the account's
credits stay out of it, whatever fails; where it cannot, the account's keys stay out. Only an account that
switched falling back on gets a plan of both, its own keys first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .plan import Candidate

BYOK: Final = "byok"
"""The version of the price of what an own key pays for."""


def funded(arranged: Iterable[Candidate], *, fallback: bool) -> list[Candidate]:
    """Return the candidates that may answer together, in their order."""
    candidates = list(arranged)
    own = [each for each in candidates if each.own is not None]
    others = [each for each in candidates if each.own is None]
    if not own or not others:
        return candidates
    first = candidates[0].terms.model
    preferred = any(each.terms.model == first for each in own)
    if fallback:
        return [*own, *others] if preferred else candidates
    return own if preferred else others
