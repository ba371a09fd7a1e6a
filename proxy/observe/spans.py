"""Each request a span, each attempt at a provider another below it, by OTLP over HTTP.

Names and attributes follow OpenTelemetry's conventions for HTTP servers and for GenAI clients
(github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/client-inference.md); what they have no
word for is `headrace.*`. No span holds a word of a prompt or an answer, nor a key.

The spans are made of the receipt when a request has ended, with the ids its providers were told, and exported
in batches by a thread of the SDK's; where nobody takes them they are dropped.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from typing import Final

import httpx
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from proxy import __version__
from proxy.receipt import Attempt, Receipt
from proxy.settings import Provider, Settings
from proxy.words.money import usd_text
from proxy.words.trace import Trace, new_span_id, new_trace_id, read_parent
from proxy.words.usage import Usage

from .scrub import Scrubber, secrets_of

LAST_SPANS: Final = 2.0
"""Seconds that what was not exported has at the end."""
PROVIDERS: Final[Mapping[str, str]] = {
    "azure": "azure.ai.openai",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "xai": "x_ai",
}
"""Providers that the conventions know by another name than we; the others go by their own."""
_OUTPUT: Final[Mapping[str, str]] = {"speech": "speech", "images": "image", "transcription": "text"}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_NAME: Final = 200
_IDS: Final = 2**64
Values = dict[str, str | int | float | bool]


class _GivenIds(IdGenerator):
    """Gives out the ids it was given, those of the span that is made `next`."""

    next: tuple[str, str]

    def generate_trace_id(self) -> int:
        return int(self.next[0], 16)

    def generate_span_id(self) -> int:
        return int(self.next[1], 16)


class Spans:
    """See `trace.Traces`."""

    def __init__(self, settings: Settings, endpoint: str, worker: str | None) -> None:
        """Begin to export: starts a thread."""
        self._sample = settings.traces.sample * _IDS
        self._scrubber = Scrubber(secrets_of(settings))
        self._places = {provider.name: _place(provider) for provider in settings.providers}
        self._ids = _GivenIds()
        where = f"{socket.gethostname()}:{os.getpid()}"
        named = {
            "service.name": "headrace",
            "service.version": __version__,
            "service.instance.id": where if worker is None else f"{where}:{worker}",
        }
        self._processor = BatchSpanProcessor(OTLPSpanExporter(endpoint))
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create(named),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("headrace", __version__)

    def begin(self, method: str, path: str, headers: Mapping[str, str]) -> Trace:
        """See `trace.Traces`."""
        parent = read_parent(headers.get("traceparent"), headers.get("tracestate"))
        if parent is not None:
            return Trace(
                parent.trace_id, new_span_id(), parent.span_id, parent.sampled, parent.state, method, path
            )
        trace_id = new_trace_id()
        return Trace(trace_id, new_span_id(), None, int(trace_id[16:], 16) < self._sample, "", method, path)

    def observe(self, receipt: Receipt) -> None:
        """See `trace.Traces`."""
        trace = receipt.trace
        if trace is None or not trace.sampled:
            return
        over = Context() if trace.parent is None else _below(trace, trace.parent, remote=True)
        name = f"{trace.method} {trace.path}"
        ended_at = receipt.ended_at
        values = self._of_request(receipt, trace)
        times = receipt.started_at, ended_at
        self._add(name, SpanKind.SERVER, over, trace.span_id, receipt, times, values, _failure(receipt))
        under = _below(trace, trace.span_id, remote=False)
        for attempt in receipt.attempts:
            if attempt.hop is None:
                continue
            times = attempt.started_at, ended_at if attempt.ended_at is None else attempt.ended_at
            name, values = f"{receipt.kind} {attempt.model}", self._of_attempt(attempt, receipt)
            span_id, trouble = attempt.hop.span_id, attempt.trouble
            self._add(name, SpanKind.CLIENT, under, span_id, receipt, times, values, trouble)

    def close(self) -> None:
        """Export what there is, but do not wait long for whoever takes it."""
        last = threading.Thread(target=self._processor.shutdown, name="headrace traces", daemon=True)
        last.start()
        last.join(LAST_SPANS)

    def _add(  # noqa: PLR0913, PLR0917 - what a span is made of
        self,
        name: str,
        kind: SpanKind,
        context: Context,
        span_id: str,
        receipt: Receipt,
        times: tuple[float, float],
        values: Values,
        failed: str | None,
    ) -> None:
        assert receipt.trace is not None  # noqa: S101 - it has spans
        offset = receipt.started_unix - receipt.started_at
        began, ended = (round((each + offset) * 1e9) for each in times)
        self._ids.next = receipt.trace.trace_id, span_id
        if failed is not None:
            values["error.type"] = failed
        span = self._tracer.start_span(name, context, kind, values, start_time=began)
        if failed is not None:
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)

    def _of_request(self, receipt: Receipt, trace: Trace) -> Values:
        values: Values = {
            "http.request.method": trace.method,
            "http.route": trace.path,
            "url.path": trace.path,
            "gen_ai.operation.name": receipt.kind,
            "gen_ai.request.model": self._scrubber.text(receipt.model_asked[:_NAME]),
            "gen_ai.request.stream": receipt.stream,
            "headrace.request_id": receipt.request_id,
            "headrace.generation_id": receipt.generation_id,
            "headrace.account": receipt.account,
            "headrace.key_id": receipt.key_id,
            "headrace.outcome": receipt.outcome,
            "headrace.attempts": len(receipt.attempts),
            "headrace.cost_usd": usd_text(receipt.cost),
            "headrace.funding": receipt.funding,
        }
        if receipt.status is not None:
            values["http.response.status_code"] = receipt.status
        if receipt.model:
            values["headrace.model"] = receipt.model
        if receipt.first_relayed_at is not None:
            values["headrace.time_to_first_token"] = receipt.first_relayed_at - receipt.started_at
        return values

    def _of_attempt(self, attempt: Attempt, receipt: Receipt) -> Values:
        won = attempt is receipt.winner
        values: Values = {
            "gen_ai.operation.name": receipt.kind,
            "gen_ai.provider.name": PROVIDERS.get(attempt.provider, attempt.provider),
            "gen_ai.request.model": attempt.model,
            "gen_ai.request.stream": receipt.stream,
            "headrace.attempt.outcome": attempt.trouble or ("ok" if won else "cancelled"),
            "headrace.attempt.why": attempt.why,
            "headrace.attempt.cost_usd": usd_text(attempt.cost),
        }
        if receipt.kind in _OUTPUT:
            values["gen_ai.output.type"] = _OUTPUT[receipt.kind]
        if attempt.status is not None:
            values["http.response.status_code"] = attempt.status
        place = self._places.get(attempt.provider)
        # An account's own key may be for an address of its own.
        if place is not None and receipt.funding == "credits":
            values["server.address"], values["server.port"] = place
        if attempt.first_event_at is not None and receipt.stream:
            values["gen_ai.response.time_to_first_chunk"] = attempt.first_event_at - attempt.started_at
        return values | _of_usage(receipt.usage) if won else values


def _below(trace: Trace, span_id: str, *, remote: bool) -> Context:
    """Return where the spans below one are made."""
    state = TraceState.from_header([trace.state]) if trace.state else None
    above = SpanContext(int(trace.trace_id, 16), int(span_id, 16), remote, _SAMPLED, state)
    return set_span_in_context(NonRecordingSpan(above), Context())


def _failure(receipt: Receipt) -> str | None:
    """Return what makes a request's span a failed one: our own failure or a provider's, not a client's."""
    if receipt.outcome in {"upstream_error", "internal_error"} or (receipt.status or 0) >= 500:
        return receipt.error or receipt.outcome
    return None


def _of_usage(usage: Usage) -> Values:
    rare = {
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write + usage.cache_write_1h,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
    }
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        **{name: amount for name, amount in rare.items() if amount},
    }


def _place(provider: Provider) -> tuple[str, int] | None:
    if not provider.base_url:
        return None
    url = httpx.URL(provider.base_url)
    return url.host, url.port or (443 if url.scheme == "https" else 80)
