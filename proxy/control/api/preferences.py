"""What an account prefers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from proxy.policy.routes import DEFAULT
from proxy.words.principal import TIERS

from .house import Visit
from .route import Answer, Body, Route, Word

_TAG: Final = "Preferences"
_Sources = Annotated[int, Meta(ge=1, le=100)]
_Depth = Literal["quick", "standard", "deep"]


class ResearchTerms(Body, frozen=True, kw_only=True):
    """How research is done."""

    model: Word | UnsetType | None = UNSET
    depth: _Depth | UnsetType = UNSET
    max_sources: _Sources | UnsetType = UNSET
    language: Word | UnsetType | None = UNSET


class PreferenceTerms(Body, frozen=True, kw_only=True):
    """A model for each tier, null leaving it to the operator; and how research is done."""

    simple: Word | UnsetType | None = UNSET
    capable: Word | UnsetType | None = UNSET
    complex: Word | UnsetType | None = UNSET
    research: ResearchTerms | UnsetType = UNSET


class Research(Answer, frozen=True, kw_only=True):
    """How research is done."""

    model: str | None
    depth: _Depth
    max_sources: int
    language: str | None


class Preferences(Answer, frozen=True, kw_only=True):
    """A model for each tier, and how research is done. `auto_tiers` are those that `auto` chooses between."""

    simple: str | None
    capable: str | None
    complex: str | None
    research: Research
    auto_tiers: list[str]


async def show_preferences(visit: Visit) -> object:
    """Tell what the account prefers."""
    return _with_tiers(visit, await visit.mine("preferences.show"))


async def change_preferences(visit: Visit, body: PreferenceTerms) -> object:
    """Change what the account prefers; it counts from the next request on."""
    changes = body.given()
    if isinstance(body.research, ResearchTerms):
        changes["research"] = body.research.given()
    return _with_tiers(visit, await visit.mine("preferences.set", changes=changes))


def _with_tiers(visit: Visit, preferences: dict[str, Any]) -> dict[str, Any]:
    aliases = visit.house.settings.aliases
    return {
        **preferences,
        "auto_tiers": [] if DEFAULT in aliases else [tier for tier in TIERS if tier in aliases],
    }


ROUTES: Final = (
    Route("GET", "/api/user/preferences", show_preferences, Preferences, _TAG),
    Route("PUT", "/api/user/preferences", change_preferences, Preferences, _TAG, body=PreferenceTerms),
)
