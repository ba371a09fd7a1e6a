"""The management API in the OpenAPI document, beside the models' routes: made of the table of routes.

The schemas are msgspec's own of the very types that bodies are checked against and answers are written by.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from proxy.describe.document import Served, describe
from proxy.settings import Settings

from .guard import CSRF_HEADER
from .house import SECURE_COOKIE
from .refusal import STATUS, Code
from .route import Route
from .table import routes_of

_REF: Final = "#/components/schemas/{name}"
_PLACE: Final = re.compile(r"<(?:(int):)?(\w+)>")
_RETRY: Final = frozenset({"429", "503"})
_ERROR: Final = "ManagementError"
_MEANS: Final[Mapping[Code, str]] = {
    "invalid_request": "'rpm': a limit is from 1 to 2147483648",
    "unknown_host": "This gateway is not 'evil.example'.",
    "unauthorized": "Nobody is signed in, or the session is over.",
    "invalid_credentials": "The address or the password is wrong.",
    "permission_denied": "Only an administrator may do this.",
    "foreign_origin": "This request does not say that it comes from https://gateway.example.",
    "csrf_token_invalid": "The token of the page is missing or of another session.",
    "confirmation_required": "This needs your password again (POST /api/auth/confirm).",
    "password_change_required": "This password was made for one use: set your own first.",
    "not_found": "There is no such thing, or it is not yours.",
    "conflict": "there is an account a@example.com already",
    "holds_open": "2 of its requests are running",
    "limit_reached": "there are 100 keys already: revoke one that is not needed",
    "request_timeout": "The request's body came too slowly.",
    "body_too_large": "The body is larger than 1048576 bytes.",
    "unsupported_media_type": "The request's content type must be application/json.",
    "too_many_attempts": "There were too many attempts.",
    "rate_limit_exceeded": "Your account has changed things 300 times within an hour.",
    "internal_error": "The gateway failed.",
    "upstream_error": "The payment service cannot be reached now.",
    "service_unavailable": "The store is not available.",
}


def described(served: Iterable[Served], settings: Settings) -> dict[str, Any]:
    """Return the document of a gateway with these settings: models' routes and management.

    Raises:
        LookupError: nothing is told of one of the paths that are `served`.
    """
    return with_management(describe(served), routes_of(settings))


def with_management(document: Mapping[str, Any], routes: Iterable[Route]) -> dict[str, Any]:
    """Return a document with the management API's paths, schemas and tags added to its own."""
    listed = list(routes)
    paths: dict[str, dict[str, Any]] = {path: dict(told) for path, told in document["paths"].items()}
    schemas = dict(document["components"]["schemas"]) | _schemas(listed)
    for route in listed:
        paths.setdefault(_PLACE.sub(r"{\2}", route.path), {})[route.method.lower()] = _operation(route)
    schemes = dict(document["components"]["securitySchemes"]) | {
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": SECURE_COOKIE,
            "description": "The cookie of who is signed in; without TLS it is called `headrace`",
        },
        "page": {
            "type": "apiKey",
            "in": "header",
            "name": CSRF_HEADER,
            "description": "`csrf` of the sign-in's answer, with whatever changes something",
        },
    }
    tags = [each["name"] for each in document["tags"]] + [each.tag for each in listed]
    components = {**document["components"], "schemas": schemas, "securitySchemes": schemes}
    return {
        **document,
        "paths": paths,
        "tags": [{"name": tag} for tag in dict.fromkeys(tags)],
        "components": components,
    }


def _schemas(routes: list[Route]) -> dict[str, Any]:
    types = [route.answer for route in routes] + [route.body for route in routes if route.body is not None]
    _, found = msgspec.json.schema_components(types, ref_template=_REF)
    text = {"type": "string"}
    found = {name: _as_written(schema) for name, schema in found.items()}
    found[_ERROR] = {
        "type": "object",
        "description": "A failure of the management API",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "request_id"],
                "properties": {
                    "code": {"type": "string", "enum": [*STATUS]},
                    "message": text,
                    "request_id": text,
                    "field": {"type": "string", "description": "What there is too much of"},
                },
            }
        },
    }
    return found


def _as_written(schema: Any) -> Any:
    """Return a schema in which amounts are numbers: `mount` writes them so, msgspec takes them for texts."""
    if isinstance(schema, list):
        return [_as_written(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    written = {name: _as_written(value) for name, value in schema.items()}
    if written.get("format") == "decimal":
        del written["format"]
        written["type"] = "number"
    return written


def _operation(route: Route) -> dict[str, Any]:
    summary, _, rest = (inspect.getdoc(route.handler) or "").partition("\n")
    needs: dict[str, list[str]] = {"session": []} if route.safe else {"session": [], "page": []}
    fresh = " It needs a password that was given in the last ten minutes." if route.fresh else ""
    found: dict[str, Any] = {
        "operationId": f"{route.handler.__name__}_dashboard",
        "tags": [route.tag],
        "summary": summary.rstrip("."),
        "description": (" ".join(rest.split()) or summary) + fresh,
        "security": [] if route.role in {"open", "signed"} else [needs],
        "responses": _responses(route),
        "x-codeSamples": [],
    }
    if parameters := [*_places(route), *_questions(route)]:
        found["parameters"] = parameters
    if route.body is not None:
        schema = {"$ref": _REF.format(name=route.body.__name__)}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _places(route: Route) -> Iterable[dict[str, Any]]:
    for kind, name in _PLACE.findall(route.path):
        schema = {"type": "integer" if kind else "string"}
        yield {"name": name, "in": "path", "required": True, "description": "Whose", "schema": schema}


def _questions(route: Route) -> Iterable[dict[str, Any]]:
    if route.query is None:
        return
    schema = msgspec.json.schema(route.query)
    members = next(iter(schema["$defs"].values()))["properties"]
    about = inspect.getdoc(route.query) or ""
    for name, member in members.items():
        yield {"name": name, "in": "query", "required": False, "description": about, "schema": member}


def _responses(route: Route) -> dict[str, Any]:
    answer = {"schema": {"$ref": _REF.format(name=route.answer.__name__)}}
    also = {each: {"schema": {"type": "string"}} for each in route.also}
    found: dict[str, Any] = {
        str(route.status): {
            "description": inspect.getdoc(route.answer) or "",
            "headers": _headers("200"),
            "content": {"application/json": answer, **also},
        }
    }
    for code in _errors(route):
        status = str(STATUS[code])
        refusal = found.setdefault(status, _refusal(status))
        error = {"code": code, "message": _MEANS[code], "request_id": "req_01JD0000000000000000000000"}
        refusal["content"]["application/json"]["examples"][code] = {"value": {"error": error}}
        refusal["description"] += f" `{code}`"
    return dict(sorted(found.items()))


def _refusal(status: str) -> dict[str, Any]:
    content = {"schema": {"$ref": _REF.format(name=_ERROR)}, "examples": {}}
    return {
        "description": f"{HTTPStatus(int(status)).phrase}:",
        "headers": _headers(status),
        "content": {"application/json": content},
    }


def _headers(status: str) -> dict[str, Any]:
    names = ("X-Request-ID", "Retry-After") if status in _RETRY else ("X-Request-ID",)
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _errors(route: Route) -> list[Code]:
    """Return what may come of a route, by what it is."""
    found: list[Code] = ["unknown_host", "unsupported_media_type", "internal_error", "service_unavailable"]
    found += route.errors
    if route.body is not None or route.query is not None or not route.safe:
        found.append("invalid_request")
    if not route.safe:
        found += ["body_too_large", "request_timeout"]
    if not route.safe and route.role != "signed":
        found.append("foreign_origin")
    if route.role in {"user", "admin"}:
        found += ["unauthorized"] if route.always else ["unauthorized", "password_change_required"]
        found += [] if route.safe else ["csrf_token_invalid"]
    if route.paced:
        found.append("rate_limit_exceeded")
    if route.role == "admin":
        found.append("permission_denied")
    if route.fresh:
        found.append("confirmation_required")
    if "<" in route.path:
        found.append("not_found")
    return sorted(set(found), key=lambda code: (STATUS[code], code))
