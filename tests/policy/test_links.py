"""Addresses in requests, which only a provider would fetch (S22; F29)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.dialects.responses import ResponsesDialect
from proxy.edge.surfaces import AGGREGATOR, ANTHROPIC
from proxy.policy.links import check_links
from proxy.words.errors import GatewayError

INWARD = "https://169.254.169.254/latest/meta-data/"
PUBLIC = "http://images.example.com/cat.png"
DATA = "data:image/png;base64,aGk="


def said(dialect: Any, *content: Any, **more: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": list(content)}], **more}
    return dialect.parse(orjson.dumps(body), {})


def refused(call: Any) -> str | None:
    with pytest.raises(GatewayError) as caught:
        check_links(call)
    assert (caught.value.name, caught.value.face.status) == ("url_not_allowed", 403)
    assert "169.254" not in caught.value.message
    return caught.value.param


@pytest.mark.fault("F29")
@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": INWARD}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "not an address"}}, "image_url.url"),
        ({"type": "file", "file": {"file_data": INWARD}}, "file.file_data"),
        ({"type": "file", "file": {"file_url": "http://localhost/"}}, "file.file_url"),
        ({"type": "video_url", "video_url": {"url": "gopher://a"}}, "video_url.url"),
        ({"type": "x", "x": [{"deep": {"uri": INWARD}}]}, "x[0].deep.uri"),
        ({"type": "audio", "audio_url": "http://[::1]/"}, "audio_url"),
    ],
)
def test_s22_an_address_that_is_not_everybodys_is_refused_by_the_fields_name(
    part: dict[str, Any], param: str
) -> None:
    text = {"type": "text", "text": f"see {INWARD}"}
    assert refused(said(AGGREGATOR, text, part)) == f"messages[0].content[1].{param}"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": INWARD},
        {"type": "image_url", "image_url": {"url": PUBLIC}},
        {"type": "image_url", "image_url": {"url": DATA}},
        {"type": "file", "file": {"file_data": DATA, "filename": "a:b.pdf"}},
        {"type": "file", "file": {"file_data": "aGk=" * 40, "file_id": INWARD}},
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
    ],
)
def test_s22_what_is_public_data_or_no_address_is_left_alone(part: dict[str, Any]) -> None:
    check_links(said(AGGREGATOR, part))


@pytest.mark.fault("F29")
@pytest.mark.parametrize("kind", ["image", "document"])
def test_s22_anthropics_sources_are_addresses_too(kind: str) -> None:
    block = {"type": kind, "source": {"type": "url", "url": INWARD}}
    assert refused(said(ANTHROPIC, block, max_tokens=1))
    block["source"] = {"type": "url", "url": PUBLIC}
    check_links(said(ANTHROPIC, block, max_tokens=1))


@pytest.mark.fault("F29")
def test_s22_so_are_those_of_responses() -> None:
    part = {"type": "input_image", "image_url": INWARD}
    body = {"model": "m", "input": [{"role": "user", "content": [part]}]}
    assert (
        refused(ResponsesDialect("aggregator").parse(orjson.dumps(body), {}))
        == "messages[0].content[0].image_url.url"
    )


def test_a_part_without_a_bottom_is_refused() -> None:
    part: Any = {"type": "x"}
    for _ in range(12):
        part = {"type": "x", "x": part}
    with pytest.raises(GatewayError, match="nested too deeply"):
        check_links(said(AGGREGATOR, part))
