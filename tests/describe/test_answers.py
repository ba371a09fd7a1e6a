"""What is described is what is served: answers, streams, refusals and header fields, at both doors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from proxy.describe.document import find
from proxy.describe.operation import Operation
from proxy.edge.surfaces import SURFACES, Surface
from tests.e2e.harness import Door
from tests.fakes.client import Answer, Client
from tests.fakes.recordings import FORM, form, wav

from .stand import Stand, stand
from .test_document import DOCUMENT, schema_of

both = pytest.mark.parametrize("door", ["http1", "asgi"])
RPM = 1000
LIMIT = {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}
WHOLE = {"x-gateway-provider", "x-gateway-model", "x-gateway-attempts"}


async def ask(
    place: Stand, surface: Surface, key: str | None = None, *, stream: bool = False, spoil: bool = False
) -> Answer:
    """Ask as the example does; `spoil` puts something else in the place of the body."""
    operation = find(surface.method, surface.path)
    path = surface.path.replace("{id}", quote(operation.known.get("id", "")))
    if path.endswith("generation"):
        path += f"?id={place.gateway.receipts[-1].generation_id if place.gateway.receipts else 'gen_none'}"
    body: Any = None
    headers = {"X-Request-ID": f"{surface.method}:{surface.path}"}
    if surface.method == "POST":
        body = {**operation.example, **(operation.streamed if stream else {})}
        if operation.form:
            body = form(list(body.items()), wav(1.0))
            headers["Content-Type"] = FORM["content-type"]
        if spoil:
            body = b"{"
    async with Client(place.url, place.key if key is None else key) as client:
        await client.request(path, body, method=surface.method, headers=headers)
        return await client.whole()


def content_of(surface: Surface, answer: Answer) -> Any:
    """Return what is told of such an answer."""
    responses = DOCUMENT["paths"][surface.path][surface.method.lower()]["responses"]
    content = responses[str(answer.status)]["content"]
    media_type = answer.headers["content-type"].partition(";")[0]
    return content.get(media_type) or content[media_type.partition("/")[0] + "/*"]


def of(surface: Surface) -> Operation:
    return find(surface.method, surface.path)


async def first_generation(place: Stand) -> None:
    """Have something to be told of."""
    await ask(place, next(each for each in SURFACES if each.path == "/v1/chat/completions"))
    await place.gateway.finished()


@both
async def test_whole_answers_are_what_is_described_and_carry_their_header_fields(
    tmp_path: Path, door: Door
) -> None:
    async with stand(tmp_path, door, RPM) as place:
        await first_generation(place)
        for surface in SURFACES:
            operation, answer = of(surface), await ask(place, surface)
            headers = answer.headers
            assert headers["x-request-id"] == f"{surface.method}:{surface.path}"
            if operation.answer is None and not operation.example:
                assert answer.status == 501
                continue
            assert answer.status == 200, (surface.path, answer.body)
            content = content_of(surface, answer)
            if operation.answer is not None:
                schema_of(content["schema"]).validate(answer.json)
            told = {name for name in headers if name.startswith(("x-generation", "x-ratelimit", "x-gateway"))}
            if not operation.metered:
                assert told == set()
                continue
            assert {"x-generation-id"} | LIMIT <= told, surface.path
            assert headers["x-ratelimit-limit"] == str(RPM)
            assert 0 < int(headers["x-ratelimit-reset"]) <= 60
            if surface.path.endswith("count_tokens"):  # no model is asked
                assert told == {"x-generation-id"} | LIMIT
                continue
            assert told >= WHOLE, surface.path
            assert ("x-gateway-cost" in told) == (not surface.path.endswith("audio/speech"))
            assert (headers["x-gateway-provider"], headers["x-gateway-attempts"]) == ("sim", "1")


@both
async def test_streams_are_what_is_described_and_carry_their_header_fields(
    tmp_path: Path, door: Door
) -> None:
    async with stand(tmp_path, door, RPM) as place:
        for surface in SURFACES:
            operation = of(surface)
            if operation.events is None:
                continue
            answer = await ask(place, surface, stream=True)
            assert answer.status == 200
            events = answer.payloads
            assert (events[-1] == b"[DONE]") == operation.done, surface.path
            schema = schema_of(content_of(surface, answer)["x-event"])
            for event in events[:-1] if operation.done else events:
                schema.validate(json.loads(event))
            assert answer.headers["x-request-id"] == f"{surface.method}:{surface.path}"
            assert {"x-generation-id"} | LIMIT | WHOLE <= answer.headers.keys()


@both
async def test_refusals_are_what_is_described_and_carry_their_header_fields(
    tmp_path: Path, door: Door
) -> None:
    async with stand(tmp_path, door, RPM) as place:
        for surface in SURFACES:
            stranger = await ask(place, surface, "fd_agg_nobody")
            assert stranger.status == 401
            refusals = [stranger]
            if surface.method == "POST" and of(surface).request is not None:
                refusals.append(await ask(place, surface, spoil=True))
                assert refusals[-1].status in {400, 415}
            for answer in refusals:
                schema_of(content_of(surface, answer)["schema"]).validate(answer.json)
                assert answer.headers["x-request-id"] == f"{surface.method}:{surface.path}"
                assert answer.headers["content-type"] == "application/json"


@both
async def test_a_used_up_minute_is_told_on_every_surface(tmp_path: Path, door: Door) -> None:
    async with stand(tmp_path, door, 1) as place:
        for surface in SURFACES:
            operation = of(surface)
            if not operation.metered:
                continue
            answers = [await ask(place, surface) for _ in range(3)]  # two of them are in one minute
            refused = next(answer for answer in answers if answer.status != 200)
            assert refused.status == 429, (surface.path, refused.body)
            assert LIMIT | {"x-request-id", "retry-after"} <= refused.headers.keys()
            assert refused.headers["x-ratelimit-remaining"] == "0"
            schema_of(content_of(surface, refused)["schema"]).validate(refused.json)


@both
async def test_what_is_nowhere_and_what_is_cold_has_a_request_id_too(tmp_path: Path, door: Door) -> None:
    async with stand(tmp_path, door) as place:
        for path in ("/v1/nowhere", "/api/v1/ai/nowhere", "/nowhere", "/healthz", "/docs", "/openapi.json"):
            async with Client(place.url, place.key) as client:
                await client.request(path, headers={"X-Request-ID": "mine"})
                assert (await client.whole()).headers["x-request-id"] == "mine"
        async with Client(place.url, place.key) as client:
            await client.request("/v1/models", b"", method="DELETE")
            answer = await client.whole()
            assert (answer.status, answer.headers["allow"]) == (405, "GET")
            assert answer.headers["x-request-id"].startswith("req_")


@both
async def test_the_document_and_the_page_are_served_without_a_key(tmp_path: Path, door: Door) -> None:
    async with stand(tmp_path, door) as place:
        served = []
        for path in ("/openapi.json", "/api/learn-center/openapi.json", "/docs"):
            async with Client(place.url) as client:
                await client.request(path)
                served.append(await client.whole())
        assert [answer.status for answer in served] == [200, 200, 200]
        document = served[0].json
        assert served[1].json == document
        # Management is in it as well, and held to what it is in `tests/control/api`.
        models = {path: told for path, told in document["paths"].items() if path in DOCUMENT["paths"]}
        assert models == json.loads(json.dumps(DOCUMENT["paths"]))
        assert DOCUMENT["components"]["schemas"].keys() < document["components"]["schemas"].keys()
        assert served[2].headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in served[2].headers["content-security-policy"]
