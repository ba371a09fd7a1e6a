"""Checked reading of request fields: each reader returns the value or says which field is wrong, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from proxy.words.errors import GatewayError

Body = Mapping[str, Any]


def invalid(param: str, message: str) -> GatewayError:
    """Return the refusal of a wrong field, 400 `invalid_request`."""
    return GatewayError("invalid_request", f"'{param}' {message}.", param=param)


def unsupported(param: str, why: str = "is not supported here") -> GatewayError:
    """Return the refusal of a field that asks for what is not done, 400 `unsupported_parameter`."""
    return GatewayError("unsupported_parameter", f"'{param}' {why}.", param=param)


def refuse(param: str, message: str) -> NoReturn:
    """Refuse a field with 400 `invalid_request`."""
    raise invalid(param, message)


def model_name(body: Body) -> str:
    """Read `model`; empty where it is left to us."""
    model = string(body, "model", 256)
    if model is not None and not model.isprintable():
        refuse("model", "must hold printable characters only")
    return model or ""


def text(holder: Body, name: str, where: str) -> str:
    """Read a string that must be there, of a member at `where`."""
    value = holder.get(name)
    if not isinstance(value, str):
        refuse(f"{where}.{name}", "must be a string")
    return value


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
