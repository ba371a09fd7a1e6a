"""Spans, as a collector gets them: OTLP over HTTP to a real socket, decoded by the protocol's own classes."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from proxy.observe import spans, trace
from proxy.observe.trace import TracesUnavailableError, check_traces, tracing
from proxy.receipt import Attempt, Receipt
from proxy.settings import Provider, Settings, Traces
from proxy.words.trace import Hop, Trace, read_parent
from proxy.words.usage import Usage
from tests.fakes.client import chat, post
from tests.fakes.script import Script, error
from tests.fakes.upstream import FaultyUpstream
from tests.process.place import Place, wait_until

from .harness import UPSTREAM_KEY, provider, running, settings_for

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CLIENTS = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "congo=t61rcWkgMzE"}
PATH = "/chat/completions"


class Collector(http.server.ThreadingHTTPServer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                assert self.path == "/v1/traces"
                collector.bodies.append(self.rfile.read(length))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    @property
    def spans(self) -> list[Span]:
        found = [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: span.start_time_unix_nano)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setattr(spans, "LAST_SPANS", 60.0)
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def values_of(span: Span) -> dict[str, Any]:
    """A span's attributes."""
    found = {}
    for each in span.attributes:
        kind = each.value.WhichOneof("value")
        assert kind is not None
        found[each.key] = getattr(each.value, kind)
    return found


def traced(tmp_path: Path, collector: Collector, *upstreams: FaultyUpstream, sample: str = "1") -> Settings:
    providers = [provider(f"up{place}", each.base_url) for place, each in enumerate(upstreams)]
    traces = Traces(collector.endpoint, Fraction(sample))
    return settings_for(tmp_path, providers, traces=traces)


async def test_a_request_and_each_of_its_attempts_are_spans_of_the_clients_trace(
    tmp_path: Path, upstream: FaultyUpstream, spare: FaultyUpstream, collector: Collector
) -> None:
    upstream.script(error(503))
    spare.default = Script(tokens=3, word="SECRET-ANSWER ")
    settings = traced(tmp_path, collector, upstream, spare)
    with tracing(settings) as traces:
        async with running(settings, traces=traces) as gateway:
            key = await gateway.key()
            body = chat("m", user="SECRET-PROMPT", max_tokens=8)
            headers = {**CLIENTS, "X-Request-ID": "label"}
            before = time.time_ns()
            assert (await post(gateway.url, PATH, body, key=key, headers=headers)).status == 200
            receipt = await gateway.finished()
    served, failed, answered = collector.spans
    # Who belongs to whom
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert {span.trace_state for span in collector.spans} == {CLIENTS["tracestate"]}
    assert served.parent_span_id.hex() == SPAN
    assert {failed.parent_span_id, answered.parent_span_id} == {served.span_id}
    for span, asked in ((failed, upstream), (answered, spare)):
        (seen,) = asked.requests
        told = read_parent(seen.headers["traceparent"], seen.headers["tracestate"])
        assert told == (TRACE, span.span_id.hex(), True, CLIENTS["tracestate"])
    # What they say
    assert (served.name, served.kind) == ("POST /v1/chat/completions", Span.SPAN_KIND_SERVER)
    first_token = values_of(served).pop("headrace.time_to_first_token")
    assert 0 < first_token < 60
    assert values_of(served) == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "url.path": "/v1/chat/completions",
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "headrace.request_id": "label",
        "headrace.generation_id": receipt.generation_id,
        "headrace.account": receipt.account,
        "headrace.key_id": receipt.key_id,
        "headrace.model": "m",
        "headrace.outcome": "ok",
        "headrace.attempts": 2,
        "headrace.cost_usd": f"0.{receipt.cost:09d}".rstrip("0"),
        "headrace.funding": "credits",
        "headrace.time_to_first_token": first_token,
    }
    assert (failed.name, failed.kind) == ("chat m", Span.SPAN_KIND_CLIENT)
    port = int(upstream.base_url.rpartition(":")[2].partition("/")[0])
    assert values_of(failed) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "up0",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "headrace.attempt.outcome": "failed",
        "headrace.attempt.why": "first",
        "headrace.attempt.cost_usd": "0",
        "http.response.status_code": 503,
        "server.address": "127.0.0.1",
        "server.port": port,
        "error.type": "failed",
    }
    assert failed.status.code == Status.STATUS_CODE_ERROR
    found = values_of(answered)
    assert found["headrace.attempt.outcome"] == "ok"
    assert found["headrace.attempt.why"] == "failover"
    assert found["gen_ai.usage.input_tokens"] == receipt.usage.prompt_tokens
    assert found["gen_ai.usage.output_tokens"] == receipt.usage.completion_tokens
    assert 0 < found["gen_ai.response.time_to_first_chunk"] < 60
    assert answered.status.code == served.status.code == Status.STATUS_CODE_UNSET
    # When
    for span in (failed, answered):
        assert before < served.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= served.end_time_unix_nano
    # And nothing else
    for secret in (b"SECRET", key.encode(), UPSTREAM_KEY.encode()):
        assert not any(secret in sent for sent in collector.bodies)
    (resource, *_) = [each.resource for request in collector.requests for each in request.resource_spans]
    names = {each.key: each.value.string_value for each in resource.attributes}
    assert names["service.name"] == "headrace"
    assert names["service.instance.id"].endswith(f":{os.getpid()}")


async def test_one_without_a_trace_begins_one(
    tmp_path: Path, upstream: FaultyUpstream, collector: Collector
) -> None:
    settings = traced(tmp_path, collector, upstream)
    with tracing(settings) as traces:
        async with running(settings, traces=traces) as gateway:
            key = await gateway.key()
            for headers in ({}, {"traceparent": "nonsense", "tracestate": "a=1"}):
                await post(gateway.url, PATH, chat("m", stream=False), key=key, headers=headers)
            await gateway.finished(2)
    assert len({span.trace_id for span in collector.spans}) == 2
    assert [span.parent_span_id == b"" for span in collector.spans] == [True, False] * 2
    assert all("tracestate" not in seen.headers for seen in upstream.requests)


@pytest.mark.parametrize(
    ("headers", "sample", "sent", "flags"),
    [
        ({"traceparent": f"00-{TRACE}-{SPAN}-00"}, "1", 0, "00"),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, "0", 2, "01"),
        ({}, "0", 0, "00"),
    ],
)
async def test_what_is_not_sampled_is_passed_on_and_not_exported(
    tmp_path: Path, upstream: FaultyUpstream, collector: Collector,
    headers: dict[str, str], sample: str, sent: int, flags: str,
) -> None:  # fmt: skip
    settings = traced(tmp_path, collector, upstream, sample=sample)
    with tracing(settings) as traces:
        async with running(settings, traces=traces) as gateway:
            key = await gateway.key()
            await post(gateway.url, PATH, chat("m", stream=False), key=key, headers=headers)
            await gateway.finished()
    assert len(collector.spans) == sent
    assert upstream.requests[0].headers["traceparent"].endswith(f"-{flags}")


async def test_where_it_is_off_nobody_is_told_of_a_trace(tmp_path: Path, upstream: FaultyUpstream) -> None:
    settings = settings_for(tmp_path, [provider("up", upstream.base_url)])
    with tracing(settings) as traces:
        assert traces is None
        async with running(settings, traces=traces) as gateway:
            key = await gateway.key()
            await post(gateway.url, PATH, chat("m"), key=key, headers=CLIENTS)
            assert (await gateway.finished()).trace is None
    assert not upstream.requests[0].headers.keys() & CLIENTS.keys()


def test_where_it_cannot_be_had_the_start_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Settings(traces=Traces("http://127.0.0.1:4318/v1/traces"))
    check_traces(wanted)
    for missing in (lambda _: None, _raise):
        monkeypatch.setattr(trace, "find_spec", missing)
        with pytest.raises(TracesUnavailableError, match=r"pip install 'headrace\[otel\]'"):
            check_traces(wanted)
        check_traces(Settings())


def _raise(name: str) -> None:
    raise ModuleNotFoundError(name)


async def test_a_collector_that_takes_nothing_holds_up_neither_requests_nor_the_end(
    tmp_path: Path, upstream: FaultyUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "LAST_SPANS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        settings = settings_for(tmp_path, [provider("up", upstream.base_url)], traces=Traces(endpoint))
        with tracing(settings) as traces:
            async with running(settings, traces=traces) as gateway:
                key = await gateway.key()
                for _ in range(3):
                    assert (await post(gateway.url, PATH, chat("m"), key=key)).status == 200
            began = time.monotonic()
        assert time.monotonic() - began < 30, "the exporter alone would wait for as long as it likes"


@contextmanager
def handed_in(collector: Collector, **more: Any) -> Iterator[None]:
    """Hand in one receipt."""
    place = Trace(TRACE, SPAN, None, sampled=True, state="", method="POST", path="/v1/x")
    fields: dict[str, Any] = {
        "generation_id": "gen_1", "request_id": "req_1", "account": 1, "key_id": 1, "project": None,
        "stream": False, "started_at": 1.0, "started_unix": 1e9, "model_asked": "m", "ended_at": 2.0,
        "trace": place,
    }  # fmt: skip
    providers = (Provider("google", "gemini", "https://g.example/v1"), Provider("sim", "sim"))
    settings = Settings(traces=Traces(collector.endpoint), providers=providers)
    with tracing(settings, "edge 0") as traces:
        assert traces is not None
        traces.observe(Receipt(**{**fields, **more}))
    yield


@pytest.mark.parametrize(
    ("outcome", "status", "name", "failed"),
    [
        ("ok", 200, None, None),
        ("refused", 404, "model_not_found", None),
        ("client_abort", None, None, None),
        ("upstream_error", 200, "upstream_error", "upstream_error"),
        ("upstream_error", 502, "upstream_error", "upstream_error"),
        ("refused", 503, "service_unavailable", "service_unavailable"),
        ("internal_error", 500, "internal_error", "internal_error"),
    ],
)
def test_a_span_failed_where_we_or_a_provider_did(
    collector: Collector, outcome: Any, status: int | None, name: str | None, failed: str | None
) -> None:
    with handed_in(collector, outcome=outcome, status=status, error=name):
        (span,) = collector.spans
    assert values_of(span).get("error.type") == failed
    assert span.status.code == (Status.STATUS_CODE_UNSET if failed is None else Status.STATUS_CODE_ERROR)
    assert values_of(span).get("http.response.status_code") == status


def test_what_an_attempt_says_of_itself(collector: Collector) -> None:
    won = Attempt("google", "g-1", 1.0, first_event_at=1.5, hop=Hop("a" * 16, ()))
    lost = Attempt("sim", "echo", 1.0, ended_at=1.2, why="hedge", hop=Hop("b" * 16, ()))
    untraced = Attempt("sim", "echo", 1.0)
    usage = Usage(input=1, cache_read=2, cache_write=3, cache_write_1h=4, output=5, reasoning=6)
    more: dict[str, Any] = {"attempts": [won, lost, untraced], "winner": won, "usage": usage}
    with handed_in(collector, **more, kind="speech", model_asked="sk-0123456789abc"):
        served, *attempts = collector.spans
    one, other = (values_of(span) for span in attempts)
    assert values_of(served)["gen_ai.request.model"] == "[redacted]"
    assert one["gen_ai.provider.name"] == "gcp.gemini"
    assert (one["server.address"], one["server.port"]) == ("g.example", 443)
    assert one["gen_ai.output.type"] == "speech"
    assert "gen_ai.response.time_to_first_chunk" not in one, "nobody waits for a first chunk"
    assert {name: value for name, value in one.items() if ".usage." in name} == {
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 11,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.cache_write.input_tokens": 7,
        "gen_ai.usage.reasoning.output_tokens": 6,
    }
    assert (other["headrace.attempt.outcome"], other["headrace.attempt.why"]) == ("cancelled", "hedge")
    assert "server.address" not in other
    assert "error.type" not in other


def test_an_accounts_own_key_may_be_for_an_address_that_is_nobodys_affair(collector: Collector) -> None:
    won = Attempt("google", "g-1", 1.0, hop=Hop("a" * 16, ()))
    with handed_in(collector, attempts=[won], winner=won, funding="byok"):
        _, attempt = collector.spans
    assert "server.address" not in values_of(attempt)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_gateway_of_any_number_of_processes_exports(
    tmp_path: Path, collector: Collector, workers: int
) -> None:
    place = Place(tmp_path)
    place.environ = {"HEADRACE_TRACES__ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    async with place.serving("--workers", str(workers)) as gateway:
        key = gateway.starter_key
        for _ in range(4):
            answer = await post(
                gateway.url, "/v1/chat/completions", chat("sim/echo"), key=key, headers=CLIENTS
            )
            assert answer.status == 200
        await wait_until(lambda: len(collector.spans) == 8, 60)
        await gateway.stop(60)
        lines = [json.loads(line) for line in gateway.out.splitlines() if line.startswith("{")]
    assert {line["trace_id"] for line in lines if line["event"] == "request"} == {TRACE}
    names = {
        each.value.string_value
        for request in collector.requests
        for spans_of in request.resource_spans
        for each in spans_of.resource.attributes
        if each.key == "service.instance.id"
    }
    if workers == 2:
        assert {name.rpartition(":")[2] for name in names} <= {"edge 0", "edge 1"}
    else:
        assert len(names) == 1
