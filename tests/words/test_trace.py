"""Trace contexts as https://www.w3.org/TR/trace-context/ has them."""

from __future__ import annotations

import pytest

from proxy.words.trace import Parent, Trace, new_span_id, new_trace_id, read_parent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("traceparent", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
    ],
)
def test_what_a_request_says_it_belongs_to(traceparent: str, sampled: bool) -> None:
    assert read_parent(traceparent, None) == Parent(TRACE, SPAN, sampled, "")


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "x",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01 ",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}.01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.what",
        f"0-{TRACE}-{SPAN}-01",
    ],
)
def test_what_is_no_trace_begins_one(traceparent: str | None) -> None:
    assert read_parent(traceparent, "a=1") is None


@pytest.mark.parametrize(
    ("tracestate", "state"),
    [
        ("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
        ("  a=1 ", "a=1"),
        ("a" * 512, "a" * 512),
        ("a" * 513, ""),
        ("a=\u00e9", ""),
        ("a=1\r\nx-api-key: b", ""),
        (None, ""),
        ("", ""),
    ],
)
def test_the_state_is_passed_on_as_it_is_or_not_at_all(tracestate: str | None, state: str) -> None:
    parent = read_parent(f"00-{TRACE}-{SPAN}-01", tracestate)
    assert parent is not None
    assert parent.state == state


@pytest.mark.parametrize(("sampled", "flags"), [(True, "01"), (False, "00")])
def test_an_attempt_says_what_it_belongs_to(sampled: bool, flags: str) -> None:
    trace = Trace(TRACE, SPAN, None, sampled, "a=1", "POST", "/v1/chat/completions")
    one, other = trace.hop(), trace.hop()
    assert one.span_id not in {SPAN, other.span_id}
    assert one.fields == (("traceparent", f"00-{TRACE}-{one.span_id}-{flags}"), ("tracestate", "a=1"))
    assert [name for name, _ in trace._replace(state="").hop().fields] == ["traceparent"]
    assert read_parent(one.fields[0][1], one.fields[1][1]) == Parent(TRACE, one.span_id, sampled, "a=1")


def test_ids_are_ours_alone() -> None:
    assert len({new_trace_id() for _ in range(100)}) == 100
    assert len({new_span_id() for _ in range(100)}) == 100
    assert (len(new_trace_id()), len(new_span_id())) == (32, 16)
