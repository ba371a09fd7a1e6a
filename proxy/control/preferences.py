"""What an account prefers: a model for each tier, and how its research is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from proxy.words.principal import TIERS

from .clerk import Clerk
from .socket import ControlError
from .terms import check_models

RESEARCH: Final[Mapping[str, Any]] = {"model": None, "depth": "standard", "max_sources": 10, "language": None}
"""How research is done where nobody said."""
_DEPTHS: Final = ("quick", "standard", "deep")
_MOST_SOURCES: Final = 100
_LANGUAGE: Final = 35
"""Characters of a language tag (RFC 5646 section 4.4.1)."""
_FIND: Final = "SELECT simple, capable, complex, research FROM preference WHERE account = ?"
_SET: Final = """
INSERT INTO preference (account, simple, capable, complex, research) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (account) DO UPDATE SET
    simple = excluded.simple, capable = excluded.capable, complex = excluded.complex,
    research = excluded.research
"""


class Preferences:
    """The counter for preferences."""

    def __init__(self, clerk: Clerk) -> None:
        self._clerk = clerk

    async def show(self, email: str) -> dict[str, Any]:
        """Tell what an account prefers; None leaves a tier to the operator."""
        return await self._of(await self._clerk.account(email))

    async def set(self, email: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change what is given: models of tiers, parts of `research`; it counts from the next request on."""
        account = await self._clerk.account(email)
        found = await self._of(account)
        research = {**found["research"], **(changes.get("research") or {})}
        tiers = {tier: changes.get(tier, found[tier]) for tier in TIERS}
        if named := sorted({changes[tier] for tier in TIERS if changes.get(tier) is not None}):
            check_models(self._clerk.settings, named)
        self._check_research(research)
        row = (account, *tiers.values(), orjson.dumps(research).decode())
        await self._clerk.write([(_SET, row)])
        self._clerk.watch.changed()
        return {**tiers, "research": research}

    async def _of(self, account: int) -> dict[str, Any]:
        rows = await self._clerk.store.read(_FIND, (account,))
        *tiers, research = rows[0] if rows else (None, None, None, "{}")
        return {**dict(zip(TIERS, tiers, strict=True)), "research": {**RESEARCH, **orjson.loads(research)}}

    def _check_research(self, research: Mapping[str, Any]) -> None:
        if research.keys() != RESEARCH.keys():
            raise ControlError(f"research: there is {', '.join(RESEARCH)}")
        if research["model"] is not None:
            check_models(self._clerk.settings, [research["model"]])
        if research["depth"] not in _DEPTHS:
            raise ControlError(f"research: the depth is one of {', '.join(_DEPTHS)}")
        if type(research["max_sources"]) is not int or not 1 <= research["max_sources"] <= _MOST_SOURCES:
            raise ControlError(f"research: 1 to {_MOST_SOURCES} sources")
        language = research["language"]
        if language is not None and not (isinstance(language, str) and 0 < len(language) <= _LANGUAGE):
            raise ControlError("research: a language is a tag, as in en or pt-BR")
