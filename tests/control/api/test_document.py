"""The management API in the document: whole, valid, and true to what is answered."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from proxy.control.api.document import with_management
from proxy.control.api.route import Route
from proxy.describe.document import describe
from proxy.describe.page import page
from proxy.edge.surfaces import SURFACES
from tests.describe.test_document import Outline

from .examples import ROUTES, example_of, furnished, path_of, ready
from .kit import ADMIN, A, B, Stand

DOCUMENT = json.loads(json.dumps(with_management(describe(SURFACES), ROUTES)))


def told_of(route: Route) -> Any:
    path = re.sub(r"<(?:int:)?(\w+)>", r"{\1}", route.path)
    return DOCUMENT["paths"][path][route.method.lower()]


def schema_of(schema: Any) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def test_it_is_one_openapi_document_of_all_that_is_served() -> None:
    validate(DOCUMENT)
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    served: set[tuple[str, str]] = {
        (each.method, re.sub(r"<(?:int:)?(\w+)>", r"{\1}", each.path)) for each in ROUTES
    }
    served |= {(each.method, each.path) for each in SURFACES}
    assert served == {
        (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    names = [method["operationId"] for methods in DOCUMENT["paths"].values() for method in methods.values()]
    assert len(set(names)) == len(names)


def test_every_schema_is_used_and_none_took_anothers_place() -> None:
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(DOCUMENT)))
    assert used == set(DOCUMENT["components"]["schemas"])
    own = json.loads(json.dumps(describe(SURFACES)))["components"]["schemas"]
    assert own == {name: DOCUMENT["components"]["schemas"][name] for name in own}


@pytest.mark.fault("S45")
def test_the_page_tells_of_it_and_holds_no_key() -> None:
    text = page(DOCUMENT)
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.foreign == ["a href=/"]  # the way back to the dashboard
    assert outline.links == outline.ids
    for path in DOCUMENT["paths"]:
        assert f" {path}</div>" in text
    assert not re.search(r"(fd_agg_|fk-|flp_sk_|fd_mcp_)[0-9A-Za-z]{8}", text)


@pytest.mark.parametrize("route", [pytest.param(each, id=f"{each.method} {each.path}") for each in ROUTES])
def test_examples_are_what_is_described(route: Route) -> None:
    told = told_of(route)
    if route.body is not None:
        schema_of(told["requestBody"]["content"]["application/json"]["schema"]).validate(
            example_of(route).body
        )
    for status, answer in told["responses"].items():
        for example in answer["content"]["application/json"].get("examples", {}).values():
            assert int(status) >= 400
            schema_of(answer["content"]["application/json"]["schema"]).validate(example["value"])


async def test_answers_and_refusals_are_what_is_described(api: Stand) -> None:
    """Each route is asked by who may and by nobody; those that end something come last."""
    things = {"user": await furnished(api, A, 1), "admin": await furnished(api, B, 2)}
    ending = ("DELETE", "logout", "password", "confirm", "set_status", "role", "register", "login")
    for route in sorted(
        ROUTES, key=lambda each: any(word in f"{each.method} {each.handler.__name__}" for word in ending)
    ):
        places = things["admin" if route.role == "admin" else "user"]
        browser = await api.signed_in(ADMIN if route.role == "admin" else A)
        for who in (api.browser(), browser):
            answer = await who.send(route.method, path_of(route, places), await ready(api, route))
            described = told_of(route)["responses"]
            assert str(answer.status) in described, (route.path, answer.status, answer.body)
            content = described[str(answer.status)]["content"]
            media_type = answer.headers["content-type"].partition(";")[0]
            assert media_type in content
            if media_type == "application/json":
                schema_of(content[media_type]["schema"]).validate(answer.json)
            if answer.status >= 400:
                assert answer.code in content[media_type]["examples"], (route.path, answer.code)
