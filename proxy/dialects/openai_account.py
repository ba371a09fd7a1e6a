"""`GET /key` and `GET /generation`, in OpenRouter's shapes, with what they have no fields for beside them.

The shapes are in openrouter.ai/docs/api-reference, "Get current API key" and "Get a generation". Amounts are
credits, as exact numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from proxy.words.account import Generation, Left, Share, Standing, Tried
from proxy.words.money import credits_json
from proxy.words.principal import ScopeKind


def write_standing(standing: Standing, per_usd: int) -> bytes:
    """Write where a key stands, as JSON."""
    limits, cost = standing.limits, standing.cost

    def amount(nano: int | None) -> Any:
        return None if nano is None else credits_json(nano, per_usd)

    data = {
        "label": standing.shown,
        "name": standing.name,
        "kind": standing.kind,
        "project": standing.project,
        "created_at": _moment(standing.created_at),
        "expires_at": None if standing.expires_at is None else _moment(standing.expires_at),
        "models": None if standing.models is None else list(standing.models),
        "usage": amount(standing.spent),
        "usage_daily": amount(standing.spent_today),
        "limit": None if cost is None else amount(cost.limit),
        "limit_remaining": None if cost is None else amount(cost.left),
        "limit_reset": None if cost is None else "daily",
        "limit_scope": _scope(cost),
        "credits": {
            "balance": amount(standing.available + standing.held),
            "held": amount(standing.held),
            "available": amount(standing.available),
        },
        "rate_limit": {
            "requests": None if standing.requests is None else standing.requests.limit,
            "interval": "60s",
            "remaining": None if standing.requests is None else standing.requests.left,
            "reset": standing.requests_reset,
            "scope": _scope(standing.requests),
        },
        "tokens_per_day": {**_left(standing.tokens), "reset": standing.tokens_reset},
        "concurrency": _left(standing.running),
        "max_request_credits": amount(limits.max_request),
        "max_output_tokens": limits.max_output,
        "max_input_tokens": limits.max_input,
        "scopes": [_share(share, amount) for share in standing.shares],
    }
    return orjson.dumps({"data": data})


def _share(share: Share, amount: Callable[[int | None], Any]) -> dict[str, Any]:
    limits = share.limits
    return {
        "scope": _whose(share.scope),
        "rate_limit": {"limit": limits.rpm, "remaining": share.requests},
        "tokens_per_day": {"limit": limits.tokens_per_day, "remaining": share.tokens},
        "credits_per_day": {"limit": amount(limits.cost_per_day), "remaining": amount(share.cost)},
        "concurrency": {"limit": limits.concurrency, "remaining": share.running},
        "max_request_credits": amount(limits.max_request),
        "max_output_tokens": limits.max_output,
        "max_input_tokens": limits.max_input,
    }


def write_generation(generation: Generation, per_usd: int) -> bytes:
    """Write what became of a request, as JSON."""
    usage = generation.usage
    cost = credits_json(generation.cost, per_usd)
    data = {
        "id": generation.id,
        "request_id": generation.request_id,
        "created_at": _moment(generation.started_at / 1000),
        "model": generation.model,
        "provider_name": generation.provider,
        "upstream_model": generation.upstream_model,
        "streamed": generation.stream,
        "cancelled": generation.outcome == "client_abort",
        "outcome": generation.outcome,
        "latency": generation.first_token_ms,
        "generation_time": generation.duration_ms,
        "tokens_prompt": usage.prompt_tokens,
        "tokens_completion": usage.completion_tokens,
        "native_tokens_cached": usage.cache_read,
        "native_tokens_reasoning": usage.reasoning,
        "tokens": {name: count for name, count in zip(usage._fields, usage, strict=True) if count},
        "estimated": generation.estimated,
        "usage": cost,
        "total_cost": cost,
        "attempts": [_tried(each) for each in generation.attempts],
    }
    return orjson.dumps({"data": data})


def _left(left: Left | None) -> dict[str, Any]:
    if left is None:
        return {"limit": None, "remaining": None, "scope": None}
    return {"limit": left.limit, "remaining": left.left, "scope": _scope(left)}


def _scope(left: Left | None) -> str | None:
    return None if left is None else _whose(left.scope)


def _whose(scope: ScopeKind) -> str:
    """Say whose limit it is; those of an account are its plan's."""
    return "plan" if scope == "account" else scope


def _tried(attempt: Tried) -> dict[str, Any]:
    return {
        "provider_name": attempt.provider,
        "model": attempt.model,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "started_after": attempt.started_ms,
        "latency": attempt.first_token_ms,
        "generation_time": attempt.duration_ms,
    }


def _moment(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
