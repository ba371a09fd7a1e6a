"""The OpenAPI 3.1 document: what is served, joined to what is told of it (spec.openapis.org/oas/v3.1.0)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Protocol

import orjson

from proxy import __version__
from proxy.words.errors import GatewayError

from . import catalogue, chat, common, completions, media, messages, products, responses
from .operation import Operation
from .samples import samples

FAMILIES: Final = (chat, responses, messages, completions, media, catalogue, products)
BASES: Final = ("/api/v1/", "/v1/")
"""The aggregator's, and the gateway's."""
OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    (each.method, each.path): each for family in FAMILIES for each in family.OPERATIONS
}
_EVENTS: Final = "text/event-stream"
_ABOUT: Final = (
    "One key for every model and every protocol: OpenAI's, Anthropic's, and the text endpoints of projects. The same"
    " endpoints are at two bases; on `/api/v1` an error's machine name is in `code`, on `/v1` in `type`. Amounts"
    " are credits. Nothing is charged for a request that fails before its first token."
)


class Speaker(Protocol):
    """As much of a dialect as is told of it: how it refuses."""

    def error(self, error: GatewayError, request_id: str) -> bytes:
        """Write the body of a failed request, as JSON."""
        ...

    def status(self, error: GatewayError) -> int:
        """Return the HTTP status of a failed request."""
        ...


class Served(Protocol):
    """One method of one path, and who speaks there."""

    @property
    def method(self) -> str:
        """In capitals."""
        ...

    @property
    def path(self) -> str:
        """As a template."""
        ...

    @property
    def dialect(self) -> Speaker:
        """Who refuses there."""
        ...


def describe(served: Iterable[Served]) -> dict[str, Any]:
    """Return the document of what is served.

    Raises:
        LookupError: nothing is told of one of its paths.
    """
    paths: dict[str, dict[str, Any]] = {}
    for each in served:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Headrace", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"apiKey": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in OPERATIONS.values())],
        "paths": paths,
        "components": {
            "schemas": {
                name: dict(schema)
                for family in (common, *FAMILIES)
                for name, schema in family.SCHEMAS.items()
            },
            "headers": {name: dict(field) for name, field in common.HEADERS.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key"},
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "The same key",
                },
            },
        },
    }


def find(method: str, path: str) -> Operation:
    """Return what is told of a path. Raises LookupError."""
    tail = next((path.removeprefix(base) for base in BASES if path.startswith(base)), path)
    try:
        return OPERATIONS[method, tail]
    except KeyError:
        raise LookupError(f"nothing is told of {method} {path}") from None


def _operation(served: Served) -> dict[str, Any]:
    operation = find(served.method, served.path)
    base = next(base for base in BASES if served.path.startswith(base))
    found: dict[str, Any] = {
        "operationId": operation.name + ("_v1" if base == "/v1/" else "_api"),
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.about,
        "responses": _responses(operation, served.dialect),
    }
    parameters = (*operation.parameters, common.IDEMPOTENCY) if operation.repeatable else operation.parameters
    if parameters:
        found["parameters"] = [dict(each) for each in parameters]
    if operation.request is not None:
        found["requestBody"] = _body(operation)
    found["x-codeSamples"] = [each._asdict() for each in samples(operation, served.path)]
    return found


def _body(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": operation.request}
    if operation.form:
        return {"required": True, "content": {"multipart/form-data": content}}
    return {
        "required": True,
        "content": {"application/json": {**content, "example": dict(operation.example)}},
    }


def _responses(operation: Operation, dialect: Speaker) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if operation.request is not None or operation.method == "GET":
        found["200"] = _answer(operation)
    for name in operation.errors:
        error = GatewayError(name, common.MESSAGES[name])
        status = str(dialect.status(error))
        refusal = found.setdefault(status, _refusal(operation, status))
        example = orjson.loads(dialect.error(error, "req_01JD0000000000000000000000"))
        refusal["content"]["application/json"]["examples"][name] = {"value": example}
        refusal["description"] += f" `{name}`"
    return dict(sorted(found.items()))


def _answer(operation: Operation) -> dict[str, Any]:
    schema: Any = operation.answer if operation.answer is not None else {"type": "string", "format": "binary"}
    content: dict[str, Any] = {operation.media_type: {"schema": schema}}
    content |= {each: {"schema": {"type": "string"}} for each in operation.also}
    if operation.events is not None:
        end = " and `[DONE]`" if operation.done else ""
        name, value = next(iter(operation.streamed.items()))
        about = f"With `{name}: {orjson.dumps(value).decode()}`: events whose data is this{end}."
        content[_EVENTS] = {"schema": {"type": "string", "description": about}, "x-event": operation.events}
    names = [*common.ALWAYS]
    if operation.metered:
        names += [*common.ADMITTED, *common.ANSWERED, *common.WHOLE]
    if operation.repeatable:
        names.append("Idempotency-Replayed")
    return {"description": operation.summary, "headers": _headers(names), "content": content}


def _refusal(operation: Operation, status: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{operation.refusal}"}
    return {
        "description": f"{HTTPStatus(int(status)).phrase}:",
        "headers": _headers(
            [*common.ALWAYS, "Retry-After"] if status in {"402", "409", "429", "503"} else common.ALWAYS
        ),
        "content": {"application/json": {"schema": schema, "examples": {}}},
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
