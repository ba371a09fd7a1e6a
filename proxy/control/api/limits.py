"""What bounds a key or a project, as it is set and as it is told."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from .route import Answer, Body, Word

Dollars = Annotated[str, Meta(max_length=40, description="US dollars as a decimal number")]
_Models = Annotated[list[Word], Meta(max_length=200, description="Ids or aliases; null is all")]


class Limits(Body, frozen=True, kw_only=True):
    """What may be set; null clears it."""

    rpm: int | UnsetType | None = UNSET
    tokens_per_day: int | UnsetType | None = UNSET
    concurrency: int | UnsetType | None = UNSET
    max_output: int | UnsetType | None = UNSET
    max_request: Dollars | UnsetType | None = UNSET
    cost_per_day: Dollars | UnsetType | None = UNSET
    models: _Models | UnsetType | None = UNSET


class Limited(Answer, frozen=True, kw_only=True):
    """What is set; null is no limit of its own."""

    rpm: int | None
    tokens_per_day: int | None
    concurrency: int | None
    max_output: int | None
    max_request: str | None
    cost_per_day: str | None
    models: list[str] | None
