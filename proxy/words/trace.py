"""Trace contexts as W3C has them: read from a request's head, written for what it causes.

https://www.w3.org/TR/trace-context/ (Level 1, and the layout of later versions' first four fields).
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

_PARENT: Final = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE: Final = re.compile(r"[\x20-\x7e\t]{1,512}")
"""Section 3.3.1.5: at least 512 characters are passed on."""
_SAMPLED: Final = 1


class Parent(NamedTuple):
    """What a request belongs to, by its own account: ids in lower-case hexadecimal."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str


class Hop(NamedTuple):
    """One attempt's place in a trace, and the header fields that tell its provider of it."""

    span_id: str
    fields: tuple[tuple[str, str], ...]


class Trace(NamedTuple):
    """A request's place in a trace.

    Attributes:
        parent: the span that caused it; None where it begins the trace.
        sampled: whether it is exported. What is not is passed on all the same, so that others know.
        state: `tracestate`, as it came.
        method, path: of the request.
    """

    trace_id: str
    span_id: str
    parent: str | None
    sampled: bool
    state: str
    method: str
    path: str

    def hop(self) -> Hop:
        """Begin an attempt."""
        span_id = new_span_id()
        parent = ("traceparent", f"00-{self.trace_id}-{span_id}-{'01' if self.sampled else '00'}")
        return Hop(span_id, (parent, ("tracestate", self.state)) if self.state else (parent,))


def read_parent(traceparent: str | None, tracestate: str | None) -> Parent | None:
    """Return what a request belongs to; None where it does not say, or not properly."""
    found = _PARENT.fullmatch(traceparent or "")
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if (more and version == "00") or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    state = (tracestate or "").strip()
    state = state if _STATE.fullmatch(state) else ""
    return Parent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), state)


def new_trace_id() -> str:
    """Return an id that no other trace has. All zeroes is not one; it never comes."""
    return os.urandom(16).hex()


def new_span_id() -> str:
    """Return an id that no other span of a trace has."""
    return os.urandom(8).hex()
