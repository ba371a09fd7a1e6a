"""Every route of the management API, and which of them there are."""

from __future__ import annotations

from typing import Final

from proxy.settings import Settings

from . import admin, auth, byok, keys, ledger, models, notices, payments, preferences, projects, usage
from .route import Route

ROUTES: Final[tuple[Route, ...]] = (
    *auth.ROUTES,
    *keys.ROUTES,
    *ledger.ROUTES,
    *usage.ROUTES,
    *projects.ROUTES,
    *byok.ROUTES,
    *preferences.ROUTES,
    *notices.ROUTES,
    *models.ROUTES,
    *admin.ROUTES,
)
PAYING: Final[tuple[Route, ...]] = payments.ROUTES
"""Those that are there where something can be sold."""


def routes_of(settings: Settings) -> tuple[Route, ...]:
    """Return the routes of a gateway with these settings."""
    return (*ROUTES, *PAYING) if settings.payments.possible else ROUTES
