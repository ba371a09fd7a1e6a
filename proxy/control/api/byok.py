"""An account's own keys at providers of models and of audio: written, never read."""

from __future__ import annotations

from typing import Final, Literal

from proxy.control.vault import AUDIO

from .house import Visit
from .route import Answer, Body, Done, Route, Text, Word

_TAG: Final = "Own provider keys"


class OwnKey(Body, frozen=True, kw_only=True):
    """A key at a provider, which takes the place of the one before."""

    provider: Word
    key: Text
    base_url: Text | None = None
    name: Word = ""


class Fallback(Body, frozen=True, kw_only=True):
    """Whether what an own key cannot serve may be paid for with credits."""

    fallback: bool


class KeptKey(Answer, frozen=True, kw_only=True):
    """A key that is kept, by its last four characters."""

    provider: str
    purpose: Literal["llm", "audio"]
    name: str
    base_url: str | None
    shown: str
    version: int
    created_at: int


class KeptKeys(Answer, frozen=True, kw_only=True):
    """The keys that are kept, and the providers whose keys can be."""

    keys: list[KeptKey]
    fallback: bool
    llm_providers: list[str]
    audio_providers: list[str]


class Tested(Answer, frozen=True, kw_only=True):
    """What a provider said of a key, in our words."""

    provider: str
    ok: bool
    said: str


async def list_own_keys(visit: Visit) -> object:
    """List the account's keys at providers."""
    found = await visit.mine("byok.list")
    keys = [{**key, "purpose": "audio" if key["provider"] in AUDIO else "llm"} for key in found["keys"]]
    known = sorted(each.name for each in visit.house.settings.providers if each.wire != "sim")
    return {**found, "keys": keys, "llm_providers": known, "audio_providers": sorted(AUDIO)}


async def add_own_key(visit: Visit, body: OwnKey) -> object:
    """Keep a key at a provider; it is never shown."""
    await visit.mine("byok.add", **body.given())
    return Done()


async def test_own_key(visit: Visit, provider: str) -> object:
    """Try a key that is kept, by a request that costs nothing."""
    return await visit.mine("byok.test", provider=provider)


async def delete_own_key(visit: Visit, provider: str) -> object:
    """Forget a key."""
    await visit.mine("byok.delete", provider=provider)
    return Done()


async def set_fallback(visit: Visit, body: Fallback) -> object:
    """Say whether what an own key cannot serve may be paid for with credits."""
    await visit.mine("byok.fallback", on=body.fallback)
    return Done()


_ALL: Final = "/api/user/byok"
ROUTES: Final = (
    Route("GET", _ALL, list_own_keys, KeptKeys, _TAG),
    Route("POST", _ALL, add_own_key, Done, _TAG, body=OwnKey, fresh=True, status=201),
    Route("PUT", f"{_ALL}/fallback", set_fallback, Done, _TAG, body=Fallback, fresh=True),
    Route("POST", f"{_ALL}/<provider>/test", test_own_key, Tested, _TAG, fresh=True),
    Route("DELETE", f"{_ALL}/<provider>", delete_own_key, Done, _TAG, fresh=True),
)
