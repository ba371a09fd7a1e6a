"""Checked reading of request fields: each reader returns the value or says which field is wrong, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from proxy.words.errors import GatewayError

Body = Mapping[str, Any]


def refuse(param: str, message: str) -> NoReturn:
    """Refuse a field with 400 `invalid_request`."""
    raise GatewayError("invalid_request", f"'{param}' {message}.", param=param)


def integer(body: Body, name: str, low: int, high: int) -> int | None:
    """Read an optional integer; neither booleans, fractions nor numeric strings are integers."""
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int:
        refuse(name, "must be an integer")
    if not low <= value <= high:
        refuse(name, f"must be between {low} and {high}")
    return value


def number(body: Body, name: str, low: float, high: float) -> float | None:
    """Read an optional number."""
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int and type(value) is not float:
        refuse(name, "must be a number")
    if not low <= value <= high:
        refuse(name, f"must be between {low:g} and {high:g}")
    return value


def boolean(body: Body, name: str) -> bool | None:
    """Read an optional boolean."""
    value = body.get(name)
    if value is not None and type(value) is not bool:
        refuse(name, "must be true or false")
    return value


def string(body: Body, name: str, longest: int) -> str | None:
    """Read an optional string."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        refuse(name, "must be a string")
    if len(value) > longest:
        refuse(name, f"must have at most {longest} characters")
    return value


def mapping(body: Body, name: str, most: int = 1000) -> dict[str, Any] | None:
    """Read an optional object."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        refuse(name, "must be an object")
    if len(value) > most:
        refuse(name, f"must have at most {most} members")
    return value


def array(body: Body, name: str, most: int) -> list[Any] | None:
    """Read an optional array."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list):
        refuse(name, "must be an array")
    if len(value) > most:
        refuse(name, f"must have at most {most} items")
    return value
