"""Words to write JSON schemas with (2020-12, as OpenAPI 3.1 uses them)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def obj(required: str = "", about: str = "", /, **properties: Schema) -> Schema:
    """An object; `required` names members, parted by spaces. Others than those described are allowed."""
    found: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        found["required"] = required.split()
    return _about(found, about)


def string(about: str = "", **more: Any) -> Schema:
    """A text."""
    return _about({"type": "string", **more}, about)


def integer(about: str = "", **more: Any) -> Schema:
    """A whole number."""
    return _about({"type": "integer", **more}, about)


def number(about: str = "", **more: Any) -> Schema:
    """A number."""
    return _about({"type": "number", **more}, about)


def boolean(about: str = "") -> Schema:
    """True or false."""
    return _about({"type": "boolean"}, about)


def array(items: Schema, about: str = "") -> Schema:
    """A list."""
    return _about({"type": "array", "items": items}, about)


def one_of(*values: str, about: str = "") -> Schema:
    """One of these texts."""
    return _about({"type": "string", "enum": list(values)}, about)


def const(value: Any) -> Schema:
    """This value alone."""
    return {"const": value}


def either(*schemas: Schema, about: str = "") -> Schema:
    """Any of these."""
    return _about({"anyOf": list(schemas)}, about)


def nullable(schema: Schema) -> Schema:
    """That, or null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Schema:
    """A schema of the document, by name."""
    return {"$ref": f"#/components/schemas/{name}"}


def anything(about: str = "") -> Schema:
    """Any value."""
    return _about({}, about)


def _about(schema: dict[str, Any], about: str) -> Schema:
    return {**schema, "description": about} if about else schema
