"""API keys, MCP tokens, and the playground's."""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import UNSET, UnsetType

from proxy.words.ids import KeyKind
from proxy.words.wishes import RACES, Strategy

from .house import Visit
from .limits import Limited, Limits
from .own import check_key
from .refusal import ApiError, Code
from .route import Answer, Body, Credits, Done, Query, Route, Word

_TAG: Final = "API keys"
_MCP: Final = "MCP tokens"
_KINDS: Final[tuple[KeyKind, ...]] = ("account", "gateway")
_TOKEN_KINDS: Final[tuple[KeyKind, ...]] = ("mcp",)


class Terms(Limits, frozen=True, kw_only=True):
    """What may be set of a key; null clears it."""

    name: Word | UnsetType | None = UNSET
    strategy: Strategy | UnsetType | None = UNSET
    expires: Word | UnsetType | None = UNSET


class NewKey(Terms, frozen=True, kw_only=True):
    """A key to be made."""

    kind: Literal["account", "gateway"] = "account"


class NewToken(Body, frozen=True, kw_only=True):
    """An MCP token to be made."""

    name: Word = ""


class ApiKey(Limited, frozen=True, kw_only=True):
    """A key, by what may be shown of it. Times are Unix seconds."""

    id: int
    kind: str
    name: str
    shown: str
    created_at: int
    expires_at: int | None
    revoked: bool
    strategy: str | None
    capped_by_plan: list[str]


class ApiKeys(Answer, frozen=True, kw_only=True):
    """Keys of an account."""

    keys: list[ApiKey]


class MadeKey(Answer, frozen=True, kw_only=True):
    """A key that was made. It is never shown again."""

    id: int
    kind: str
    key: str


class PlaygroundKey(Answer, frozen=True, kw_only=True):
    """A key for a page of the dashboard, which ends by itself at a Unix time."""

    key: str
    expires_at: int


class Span(Query, frozen=True, kw_only=True):
    """Days, UTC; the second one is not included."""

    since: Word | None = None
    until: Word | None = None


class Sum(Answer, frozen=True, kw_only=True):
    """What a day or a model came to."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: Credits
    day: str | None = None
    model: str | None = None


class KeyUsage(Answer, frozen=True, kw_only=True):
    """What a key was used for."""

    by_day: list[Sum]
    by_model: list[Sum]


async def list_keys(visit: Visit) -> object:
    """List the account's API keys."""
    return {"keys": await _listed(visit, _KINDS)}


async def create_key(visit: Visit, body: NewKey) -> object:
    """Make an API key; it is shown this once."""
    await _check_strategy(visit, body.strategy)
    return await visit.mine("keys.create", most=visit.house.settings.dashboard.max_keys, **body.given())


async def show_key(visit: Visit, id: int) -> object:  # noqa: A002 - the parameter's name is the path's
    """Tell what is set of a key."""
    await check_key(visit, id, _KINDS)
    return await visit.do("keys.show", id=id)


async def change_key(visit: Visit, id: int, body: Terms) -> object:  # noqa: A002 - as above
    """Rename a key, and set its limits."""
    await check_key(visit, id, _KINDS)
    if body.strategy in RACES:
        before = await visit.do("keys.show", id=id)
        await _check_strategy(visit, body.strategy, before["strategy"])
    return await visit.do("keys.set", id=id, changes=body.given())


async def revoke_key(visit: Visit, id: int) -> object:  # noqa: A002 - as above
    """End a key, and what runs by it."""
    await check_key(visit, id, _KINDS)
    await visit.do("keys.revoke", id=id)
    return Done()


async def regenerate_key(visit: Visit, id: int) -> object:  # noqa: A002 - as above
    """End a key and make its successor with the same limits; what runs by it finishes."""
    await check_key(visit, id, _KINDS)
    return await visit.do("keys.rotate", id=id)


async def key_usage(visit: Visit, id: int, query: Span) -> object:  # noqa: A002 - as above
    """Sum what a key was used for, by day and by model."""
    await check_key(visit, id, _KINDS)
    return {
        f"by_{by}": (await visit.mine("usage.summary", by=by, key=id, **query.given()))["sums"]
        for by in ("day", "model")
    }


async def list_tokens(visit: Visit) -> object:
    """List the account's MCP tokens."""
    return {"keys": await _listed(visit, _TOKEN_KINDS)}


async def create_token(visit: Visit, body: NewToken) -> object:
    """Make an MCP token; it is shown this once."""
    most = visit.house.settings.dashboard.max_keys
    return await visit.mine("keys.create", kind="mcp", name=body.name, most=most)


async def revoke_token(visit: Visit, id: int) -> object:  # noqa: A002 - as above
    """End an MCP token."""
    await check_key(visit, id, _TOKEN_KINDS)
    await visit.do("keys.revoke", id=id)
    return Done()


async def playground_token(visit: Visit) -> object:
    """Make a key of ten minutes for the playground.

    It spends the account's credits, is in no list, and ends with the session.
    """
    return await visit.mine("keys.playground")


async def _check_strategy(visit: Visit, wanted: object, before: str | None = None) -> None:
    """Raise ApiError for a race that the account's plan does not allow, and that nobody allowed `before`."""
    if wanted not in RACES or wanted == before:
        return
    account = await visit.mine("accounts.show")
    if not visit.house.office.clerk.plan(account["plan_applied"]).allow_race:
        raise ApiError("permission_denied", "Your plan does not let keys race or hedge.")


async def _listed(visit: Visit, kinds: tuple[KeyKind, ...]) -> list[Any]:
    found = await visit.mine("keys.list")
    return [key for key in found["keys"] if key["kind"] in kinds]


_KEYS: Final = "/api/aggregator/keys"
_ONE: Final = f"{_KEYS}/<int:id>"
_FULL: Final[tuple[Code, ...]] = ("limit_reached",)
_DENIED: Final[tuple[Code, ...]] = ("permission_denied",)
_TOKENS: Final = "/api/user/mcp-tokens"
ROUTES: Final = (
    Route("GET", _KEYS, list_keys, ApiKeys, _TAG),
    Route(
        "POST",
        _KEYS,
        create_key,
        MadeKey,
        _TAG,
        body=NewKey,
        fresh=True,
        status=201,
        errors=(*_FULL, *_DENIED),
    ),
    Route("GET", _ONE, show_key, ApiKey, _TAG),
    Route("PUT", _ONE, change_key, ApiKey, _TAG, body=Terms, fresh=True, errors=_DENIED),
    Route("DELETE", _ONE, revoke_key, Done, _TAG),
    Route("GET", f"{_ONE}/usage", key_usage, KeyUsage, _TAG, query=Span),
    Route("POST", f"{_ONE}/regenerate", regenerate_key, MadeKey, _TAG, fresh=True, status=201),
    Route("GET", _TOKENS, list_tokens, ApiKeys, _MCP),
    Route("POST", _TOKENS, create_token, MadeKey, _MCP, body=NewToken, fresh=True, status=201, errors=_FULL),
    Route("DELETE", f"{_TOKENS}/<int:id>", revoke_token, Done, _MCP),
    Route(
        "POST",
        "/api/user/playground-token",
        playground_token,
        PlaygroundKey,
        "Playground",
        status=201,
        errors=_FULL,
    ),
)
