"""What a key stands for: whom it bills, what it may use, and all the limits that hold for it."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from proxy.words.principal import TIERS, Limits, OwnKey, Preferred, Principal, Scope, tightest

from .clerk import Clerk
from .projects import RPM, TOKENS
from .terms import LIMITS

_LIMITS: Final = ", ".join(f"{table}.{limit}" for table in ("api_key", "project") for limit in LIMITS)
_PRINCIPAL: Final = f"""
SELECT provider_key.provider, provider_key.id, base_url,
    api_key.digest, api_key.id, kind, api_key.account, project, expires_at, strategy, plan,
    text_days, byok_fallback, preference.simple, preference.capable, preference.complex,
    api_key.models, project.models, {_LIMITS}
FROM api_key
LEFT JOIN project ON project.id = api_key.project
LEFT JOIN profile ON profile.account = api_key.account
LEFT JOIN provider_key ON provider_key.account = api_key.account
LEFT JOIN preference ON preference.account = api_key.account
WHERE api_key.digest = ? AND revoked_at IS NULL ORDER BY provider_key.id
"""  # noqa: S608 - ours
_OWN: Final = 3
"""Columns of an own key; the key comes as often as there are such, once where there is none."""


async def principal_of(clerk: Clerk, digest: bytes) -> Principal | None:
    """Return whom a key's digest stands for; None for unknown and revoked ones. Raises StoreError."""
    rows = await clerk.store.read(_PRINCIPAL, (digest,))
    if not rows or not hmac.compare_digest(rows[0][_OWN], digest):
        return None
    _, key_id, kind, account, project, expires, strategy, plan, *rest = rows[0][_OWN:]
    texts, fallback, simple, capable, complex_, own_models, its_models, *limits = rest
    allowance = clerk.plan(plan)
    own, its = limits[: len(LIMITS)], limits[len(LIMITS) :]
    scopes = [Scope("key", key_id, _limits(own)), Scope("account", account, allowance.limits)]
    if project is not None:
        scopes.append(Scope("project", project, _of_project(_limits(its))))
    return Principal(
        account,
        key_id,
        kind,
        project,
        limits=tightest(scopes),
        models=_models(own_models, its_models),
        expires_at=expires,
        strategy=strategy or allowance.strategy,
        allow_race=allowance.allow_race,
        keep_texts=texts is not None,
        own_keys=tuple(OwnKey(*row[:_OWN]) for row in rows if row[1] is not None),
        own_fallback=bool(fallback),
        preferred=_preferred(simple, capable, complex_),
        scopes=tuple(scope for scope in scopes if scope.limits != Limits()),
    )


def _models(*lists: str | None) -> frozenset[str] | None:
    """Return the models that are on all the lists there are; None is all."""
    given = [frozenset[str](orjson.loads(text)) for text in lists if text is not None]
    return frozenset.intersection(*given) if given else None


def _preferred(*models: str | None) -> tuple[Preferred, ...]:
    """Return the tiers for which an account prefers a model, with the model."""
    return tuple(Preferred(tier, model) for tier, model in zip(TIERS, models, strict=True) if model)


def _limits(row: Sequence[Any]) -> Limits:
    return Limits(**dict(zip(LIMITS, row, strict=True)))


def _of_project(limits: Limits) -> Limits:
    """Give a project the limits that it has where nobody set others."""
    rpm = RPM if limits.rpm is None else limits.rpm
    tokens = TOKENS if limits.tokens_per_day is None else limits.tokens_per_day
    return replace(limits, rpm=rpm, tokens_per_day=tokens)
