"""Reading how a request wants to be routed: OpenRouter's `provider` object, `models` and `session_id`.

Source: openrouter.ai/docs, "Provider Routing" and "Model Fallbacks". These fields are for the gateway: they
are taken out of the body, so that no upstream sees them. A member that would promise what is not kept
(data policies, quantizations) is refused, never ignored.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn, get_args

from proxy.words.errors import GatewayError
from proxy.words.money import MAX_NANO, parse_usd
from proxy.words.wishes import NO_WISHES, Strategy, Wishes

from .fields import Body, boolean, mapping, refuse, string

MOST_NAMES: Final = 32
_FIELDS: Final = ("provider", "models", "route", "session_id")
_SORTS: Final[dict[str, Strategy]] = {"price": "cheapest", "throughput": "fastest", "latency": "fastest"}
_MEMBERS: Final = frozenset(
    {"order", "only", "ignore", "sort", "max_price", "allow_fallbacks", "require_parameters"}
)
_CEILINGS: Final = frozenset({"prompt", "completion"})


def take_wishes(body: dict[str, Any]) -> Wishes:
    """Take the routing fields out of a body. Raises GatewayError naming the field at fault."""
    given = [name for name in _FIELDS if name in body]
    user = body.get("user")
    session = user if isinstance(user, str) and user else None
    if not given:
        return NO_WISHES if session is None else Wishes(session=session)
    routing: dict[str, Any] = {name: body.pop(name) for name in given}
    provider = mapping(routing, "provider") or {}
    for name in sorted(provider.keys() - _MEMBERS):
        if provider[name] is not None:
            _unsupported(f"provider.{name}")
    # OpenRouter's only other value, "fallback", is what a list of models means by itself.
    if routing.get("route") not in {None, "fallback"}:
        refuse("route", "must be 'fallback'")
    prompt, completion = _ceilings(provider)
    return Wishes(
        strategy=_sort(provider),
        models=names(routing, "models", "models"),
        order=names(provider, "order", "provider.order"),
        only=names(provider, "only", "provider.only"),
        ignore=names(provider, "ignore", "provider.ignore"),
        max_prompt_price=prompt,
        max_completion_price=completion,
        allow_fallbacks=_flag(provider, "allow_fallbacks", default=True),
        require_parameters=_flag(provider, "require_parameters", default=False),
        session=string(routing, "session_id", 256) or session,
    )


def read_strategy(text: str) -> Strategy:
    """Read the header `X-Headrace-Strategy`. Raises GatewayError where it is none."""
    wanted = text.strip().lower()
    if wanted not in get_args(Strategy):
        refuse("X-Headrace-Strategy", f"must be one of {', '.join(get_args(Strategy))}")
    return wanted  # type: ignore[return-value]


def _sort(provider: Body) -> Strategy | None:
    sort = string(provider, "sort", 32)
    if sort is None:
        return None
    if sort not in _SORTS:
        refuse("provider.sort", f"must be one of {', '.join(_SORTS)}")
    return _SORTS[sort]


def names(holder: Body, name: str, where: str) -> tuple[str, ...]:
    """Read an optional array of names."""
    given = holder.get(name)
    if given is None:
        return ()
    named = isinstance(given, list) and all(isinstance(item, str) and 0 < len(item) <= 256 for item in given)
    if not named or len(given) > MOST_NAMES:
        refuse(where, f"must be an array of at most {MOST_NAMES} names")
    return tuple(given)


def _flag(provider: Body, name: str, *, default: bool) -> bool:
    value = boolean(provider, name)
    return default if value is None else value


def _ceilings(provider: Body) -> tuple[int | None, int | None]:
    limits = mapping(provider, "max_price") or {}
    for name in sorted(limits.keys() - _CEILINGS):
        _unsupported(f"provider.max_price.{name}")
    return _ceiling(limits, "prompt"), _ceiling(limits, "completion")


def _ceiling(limits: Body, name: str) -> int | None:
    """Read US dollars per million tokens, as a number or as decimal text."""
    value = limits.get(name)
    if value is None:
        return None
    try:
        # A float's shortest text is what the client wrote; the number itself is never counted with.
        nano = parse_usd("" if isinstance(value, bool) else str(value))
    except ValueError:
        refuse(f"provider.max_price.{name}", "must be US dollars per million tokens")
    if not 0 <= nano <= MAX_NANO:
        refuse(f"provider.max_price.{name}", "is out of range")
    return nano


def _unsupported(param: str) -> NoReturn:
    raise GatewayError("unsupported_parameter", f"'{param}' is not supported here.", param=param)
