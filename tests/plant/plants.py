"""All the plants there are."""

from __future__ import annotations

from typing import Final

from . import bank_plants, desk_plants, limit_plants, request_plants
from .planting import Plant

PLANTS: Final[tuple[Plant, ...]] = (
    *bank_plants.PLANTS,
    *limit_plants.PLANTS,
    *desk_plants.PLANTS,
    *request_plants.PLANTS,
)
