"""The document: whole, valid, and true to the dialects."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from proxy.describe.common import MESSAGES
from proxy.describe.document import OPERATIONS, describe, find
from proxy.describe.operation import ASKING
from proxy.describe.page import page
from proxy.edge.surfaces import SURFACES, Surface
from proxy.words.errors import FACES

DOCUMENT = describe(SURFACES)
ROUTES = [pytest.param(each, id=f"{each.method} {each.path}") for each in SURFACES]


def schema_of(schema: Any) -> Draft202012Validator:
    """Return what holds a value to a schema of the document."""
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def told(surface: Surface) -> Any:
    return DOCUMENT["paths"][surface.path][surface.method.lower()]


def test_it_is_an_openapi_document() -> None:
    validate(json.loads(json.dumps(DOCUMENT)))
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_surface_is_told_of_and_nothing_else() -> None:
    served = {(each.method, each.path) for each in SURFACES}
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == served
    assert {find(*each).name for each in served} == {each.name for each in OPERATIONS.values()}
    names = [method["operationId"] for methods in DOCUMENT["paths"].values() for method in methods.values()]
    assert len(set(names)) == len(names)


def test_a_surface_that_nobody_told_of_is_an_error() -> None:
    with pytest.raises(LookupError, match="POST /v1/tea"):
        describe([*SURFACES, SURFACES[0]._replace(path="/v1/tea")])


def test_every_schema_is_used() -> None:
    text = json.dumps(DOCUMENT)
    used = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert used == set(DOCUMENT["components"]["schemas"])


@pytest.mark.parametrize("surface", ROUTES)
def test_failures_have_the_status_and_the_shape_their_dialect_gives_them(surface: Surface) -> None:
    operation = find(surface.method, surface.path)
    seen = set()
    for status, answer in told(surface)["responses"].items():
        content = answer["content"].get("application/json", {})
        for name, example in content.get("examples", {}).items():
            schema_of(content["schema"]).validate(example["value"])
            assert f"`{name}`" in answer["description"]
            assert 400 <= int(status) < 600
            seen.add(name)
    assert seen == set(operation.errors)


@pytest.mark.parametrize("surface", ROUTES)
def test_examples_of_requests_are_what_their_schemas_say(surface: Surface) -> None:
    for content in told(surface).get("requestBody", {}).get("content", {}).values():
        if "example" in content:
            schema_of(content["schema"]).validate(content["example"])
            streamed = {**content["example"], **find(surface.method, surface.path).streamed}
            schema_of(content["schema"]).validate(streamed)


def test_the_sentences_of_failures_are_of_failures_there_are() -> None:
    assert MESSAGES.keys() <= FACES.keys()
    assert set(ASKING) <= MESSAGES.keys()


class Outline(HTMLParser):
    """What a page refers to, and whether its elements end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            elif name == "href" and (value or "").startswith("#"):
                self.links.add((value or "")[1:])
            elif name in {"src", "href", "srcset", "action"} or name.startswith("on"):
                self.foreign.append(f"{tag} {name}={value}")
        if tag in {"script", "link", "img", "iframe", "object"}:
            self.foreign.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_from_anywhere_and_tells_of_every_path() -> None:
    text = page(json.loads(json.dumps(DOCUMENT)))
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.foreign == ["a href=/"]  # the way back to the dashboard
    assert outline.links == outline.ids
    assert "@import" not in text
    assert "url(" not in text
    for path in DOCUMENT["paths"]:
        assert f" {path}</div>" in text
