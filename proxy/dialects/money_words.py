"""The amounts that a refusal for want of credits tells, in every dialect (contract 3.3)."""

from __future__ import annotations

from typing import Any, Final

from proxy.words.errors import GatewayError

_AMOUNTS: Final = ("required", "available", "held")


def amounts(error: GatewayError) -> dict[str, Any]:
    """Return what was needed, what there is and what is held, in credits, where the error has them."""
    return {name: error.detail[name] for name in _AMOUNTS if name in error.detail}
