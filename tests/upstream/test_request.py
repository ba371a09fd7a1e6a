"""The bytes of a request, and the values that may not be in them."""

from __future__ import annotations

import httpx
import pytest

from proxy.upstream.request import chunk, framed, framed_start, render_head
from proxy.upstream.transport import UpstreamTransport


def test_a_head_has_no_framing_of_its_callers() -> None:
    fields = [
        (b"Content-Length", b"3"),
        (b"transfer-encoding", b"chunked"),
        (b"Host", b"b"),
        (b"x", b"\xe9\t1"),
    ]
    head = render_head(b"POST", b"/p?q", b"a", fields)
    assert head == b"POST /p?q HTTP/1.1\r\nhost: a\r\nx: \xe9\t1\r\naccept-encoding: identity\r\n"
    assert framed(head, b"{}") == head + b"content-length: 2\r\n\r\n{}"
    assert framed(head, b"") == head + b"content-length: 0\r\n\r\n"
    assert framed_start(head, 7) == head + b"content-length: 7\r\n\r\n"
    assert framed_start(head, None) + chunk(b"ab") == head + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n"


def test_what_has_no_body_has_no_length() -> None:
    head = render_head(b"GET", b"/", b"a", [(b"Accept-Encoding", b"gzip")])
    assert framed(head, b"") == b"GET / HTTP/1.1\r\nhost: a\r\nAccept-Encoding: gzip\r\n\r\n"
    assert b"content-length: 1" in framed(head, b"x")


@pytest.mark.parametrize(
    ("method", "target", "host", "name", "value"),
    [
        (b"CONNECT", b"a:1", b"a", b"x", b"1"),
        (b"GET /", b"/", b"a", b"x", b"1"),
        (b"", b"/", b"a", b"x", b"1"),
        (b"GET", b"", b"a", b"x", b"1"),
        (b"GET", b"/ HTTP/1.1\r\nx: y", b"a", b"x", b"1"),
        (b"GET", b"/", b"a\r\nx: y", b"x", b"1"),
        (b"GET", b"/", b"a", b"x: y\r\nz", b"1"),
        (b"GET", b"/", b"a", b"", b"1"),
        (b"GET", b"/", b"a", b"x", b"1\r\ny: 2"),
        (b"GET", b"/", b"a", b"x", b"1\ny: 2"),
        (b"GET", b"/", b"a", b"x", b"1\ry: 2"),
        (b"GET", b"/", b"a", b"x", b"1\0"),
        (b"GET", b"/", b"a", b"x", b"1\n"),
    ],
)
def test_nothing_leaves_its_line(
    method: bytes, target: bytes, host: bytes, name: bytes, value: bytes
) -> None:
    with pytest.raises(httpx.LocalProtocolError) as caught:
        render_head(method, target, host, [(name, value)])
    assert "1" not in str(caught.value)  # a value may be a secret


async def test_httpx_cannot_inject_either() -> None:
    async with httpx.AsyncClient(transport=UpstreamTransport()) as client:
        with pytest.raises(httpx.LocalProtocolError):
            await client.get("http://127.0.0.1:1/", headers={"x": "1\r\ny: 2"})
