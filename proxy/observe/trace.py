"""Traces, where they are wanted: nothing of OpenTelemetry is imported unless spans have somewhere to go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Protocol

from proxy.receipt import Receipt
from proxy.settings import Settings
from proxy.words.trace import Trace

_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


class TracesUnavailableError(Exception):
    """What traces need is not installed."""


class Traces(Protocol):
    """Where requests' places in traces come from, and where their spans go."""

    def begin(self, method: str, path: str, headers: Mapping[str, str]) -> Trace:
        """Return a request's place in a trace: its client's, if it names one, else one of its own."""
        ...

    def observe(self, receipt: Receipt) -> None:
        """Hand in the spans of a finished request. Never waits."""
        ...


def check_traces(settings: Settings) -> None:
    """Raise TracesUnavailableError where traces are wanted and cannot be had."""
    if settings.traces.endpoint is not None and not all(map(_is_there, _NEEDED)):
        raise TracesUnavailableError("traces.endpoint needs the extra `otel`: pip install 'headrace[otel]'")


@contextmanager
def tracing(settings: Settings, worker: str | None = None) -> Iterator[Traces | None]:
    """Export spans for the length of the block, where that is wanted, and a moment longer."""
    if settings.traces.endpoint is None:
        yield None
        return
    from .spans import Spans  # noqa: PLC0415 - half a second and 20 MB that most do not need

    spans = Spans(settings, settings.traces.endpoint, worker)
    try:
        yield spans
    finally:
        spans.close()


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
