"""Whose something is: what is another account's does not exist for who asks."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from proxy.words.ids import KeyKind

from .house import Visit
from .refusal import missing

_KEY: Final = "SELECT account, kind FROM api_key WHERE id = ? AND playground = 0"
_PROJECT: Final = "SELECT account FROM project WHERE id = ? AND deleted_at IS NULL"
_REQUEST: Final = "SELECT account FROM usage_record WHERE generation_id = ?"


async def check_key(visit: Visit, key: int, kinds: Collection[KeyKind]) -> None:
    """Raise ApiError unless the key is the caller's, and of one of these kinds."""
    rows = await visit.house.bank.store.read(_KEY, (key,))
    if not rows or rows[0][0] != visit.caller.account or rows[0][1] not in kinds:
        raise missing()


async def check_project(visit: Visit, project: int) -> None:
    """Raise ApiError unless the project is the caller's."""
    rows = await visit.house.bank.store.read(_PROJECT, (project,))
    if rows != [(visit.caller.account,)]:
        raise missing()


async def check_request(visit: Visit, generation: str) -> None:
    """Raise ApiError unless the request was the caller's."""
    rows = await visit.house.bank.store.read(_REQUEST, (generation,))
    if rows != [(visit.caller.account,)]:
        raise missing()
