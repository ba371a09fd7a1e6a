"""What may be set for a key or a project: read from a command's parameters, told in its answers.

Money is US dollars in decimal text, as in the settings; an end is a date, a time, or a number of days from
now. What is None is not set, and clears what was.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

import orjson

from proxy.settings import Settings
from proxy.words.errors import GatewayError
from proxy.words.money import parse_usd, usd_text
from proxy.words.wishes import Strategy

from .clerk import NAME, Clerk
from .socket import ControlError

COUNTS: Final = ("rpm", "tokens_per_day", "concurrency", "max_output")
AMOUNTS: Final = ("max_request", "cost_per_day")
LIMITS: Final = (*COUNTS, *AMOUNTS)
_MOST: Final = 2**31
_DAYS: Final = re.compile(r"([1-9]\d{0,3})d")
_MOST_MODELS: Final = 200


def columns(clerk: Clerk, given: Mapping[str, Any], allowed: Collection[str]) -> dict[str, Any]:
    """Return the columns and values that parameters mean.

    Raises:
        ControlError: one of them is not `allowed`, or its value is none it may have; names it.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in allowed:
            raise ControlError(
                f"no such setting: {str(name)[:NAME]!r}; there is {', '.join(sorted(allowed))}"
            )
        column = "expires_at" if name == "expires" else name
        found[column] = None if value is None else _column(clerk, name, value)
    return found


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's columns as they are told: money in US dollars, models as a list."""
    return {name: _shown(name, value) for name, value in row.items()}


def _column(clerk: Clerk, name: str, value: Any) -> Any:
    if name in COUNTS:
        return _count(name, value)
    if name in AMOUNTS:
        return _amount(name, value)
    if name == "models":
        return _models(clerk.settings, value)
    if name == "expires":
        return _end(str(value), clerk.now())
    if name == "strategy" and value not in get_args(Strategy):
        raise ControlError(f"a strategy is one of {', '.join(get_args(Strategy))}")
    if name == "name" and (not isinstance(value, str) or len(value) > NAME or not value.isprintable()):
        raise ControlError(f"a name has at most {NAME} characters, all of them printable")
    return value


def _count(name: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= _MOST:
        raise ControlError(f"{name}: a limit is from 1 to {_MOST}")
    return value


def _amount(name: str, value: Any) -> int:
    try:
        nano = parse_usd(str(value))
    except ValueError as error:
        raise ControlError(f"{name}: {error}") from None
    if nano <= 0:
        raise ControlError(f"{name}: an amount above zero, in US dollars")
    return nano


def _models(settings: Settings, value: Any) -> str:
    """Return a list of models as it is kept."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not 1 <= len(value) <= _MOST_MODELS:
        raise ControlError(f"models: a list of 1 to {_MOST_MODELS} ids or aliases")
    check_models(settings, value)
    return orjson.dumps(sorted(set(value))).decode()


def check_models(settings: Settings, names: Sequence[Any]) -> None:
    """Raise ControlError where one of the names is no id or alias that can be asked for."""
    # Prices and routes, a tenth of a second, are needed here alone.
    from proxy.policy.prices import PriceBook  # noqa: PLC0415
    from proxy.policy.routes import Routes  # noqa: PLC0415

    routes = Routes(settings, PriceBook.load(settings.providers))
    for name in names:
        try:
            routes.find(str(name))
        except GatewayError as error:
            raise ControlError(f"models: {str(name)[:NAME]!r} cannot be asked for: {error.message}") from None


def _end(text: str, now: int) -> int:
    """Read a number of days (`30d`), a date (its first second, UTC) or a time (UTC where it has no zone)."""
    days = _DAYS.fullmatch(text)
    try:
        if days is not None:
            moment = datetime.fromtimestamp(now, UTC) + timedelta(days=int(days[1]))
        else:
            moment = datetime.fromisoformat(text)
    except ValueError:
        raise ControlError(
            f"expires: {text[:NAME]!r} is no date, no time and no number of days, as 30d"
        ) from None
    end = int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())
    if end <= now:
        raise ControlError(f"expires: {text!r} has passed")
    return end


def _shown(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in AMOUNTS:
        return usd_text(value)
    if name == "models":
        return orjson.loads(value)
    return value
