"""Requests that two readers could read in two ways: refused, closed, and nothing after them is believed."""

from __future__ import annotations

import pytest

from proxy.edge.http1_body import Chunked
from proxy.edge.http1_head import read_head
from proxy.words.errors import GatewayError
from tests.fakes.client import Client

from .http1_kit import serving

SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
_POST = b"POST /v1/echo HTTP/1.1\r\nHost: a\r\n"
_GET = b"GET /v1/stream HTTP/1.1\r\nHost: a\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"


def _line(line: bytes) -> bytes:
    return line + b"\r\nHost: a\r\n\r\n"


HEADS = {
    "length and coding": _POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": _POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    "the same length twice": _POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
    "a list of lengths": _POST + b"Content-Length: 5, 5\r\n\r\nabcde",
    "length with a sign": _POST + b"Content-Length: +5\r\n\r\nabcde",
    "negative length": _POST + b"Content-Length: -5\r\n\r\nabcde",
    "hexadecimal length": _POST + b"Content-Length: 0x5\r\n\r\nabcde",
    "length with a gap": _POST + b"Content-Length: 5 5\r\n\r\nabcde",
    "length with an underscore": _POST + b"Content-Length: 1_0\r\n\r\nabcde",
    "empty length": _POST + b"Content-Length: \r\n\r\nabcde",
    "length beyond 64 bits": _POST + b"Content-Length: 99999999999999999999\r\n\r\nabcde",
    "coding of another name": _POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding after chunked": _POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "coding before chunked": _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "two codings": _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity, then chunked": _POST
    + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding after a vertical tab": _POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "coding in quotes": _POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "coding with a parameter": _POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "empty coding": _POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /v1/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded field": _GET + b"X: a\r\n b\r\n\r\n",
    "folded coding": _POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "folded first field": b"GET /v1/stream HTTP/1.1\r\n Host: a\r\n\r\n",
    "space before the colon": _POST + b"Content-Length : 5\r\n\r\nabcde",
    "tab before the colon": _POST + b"Content-Length\t: 5\r\n\r\nabcde",
    "bare CR in a value": _GET + b"X: a\rY: b\r\n\r\n",
    "bare CR in a name": _GET + b"X\r: a\r\n\r\n",
    "bare LF after a field": _GET + b"X: a\nY: b\r\n\r\n",
    "bare LF after the line": b"GET /v1/stream HTTP/1.1\nHost: a\r\n\r\n",
    "NUL in a value": _GET + b"X: a\0b\r\n\r\n",
    "NUL in a name": _GET + b"X\0: a\r\n\r\n",
    "control character in a value": _GET + b"X: a\x01b\r\n\r\n",
    "empty name": _GET + b": a\r\n\r\n",
    "no colon": _GET + b"Xa\r\n\r\n",
    "name beyond ASCII": _GET + b"X\xc3\xa9: a\r\n\r\n",
    "no host": b"GET /v1/stream HTTP/1.1\r\n\r\n",
    "two hosts": _GET + b"Host: b\r\n\r\n",
    "the same host twice": _GET + b"Host: a\r\n\r\n",
    "host with a path": b"GET /v1/stream HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host with a user": b"GET /v1/stream HTTP/1.1\r\nHost: b@a\r\n\r\n",
    "two expectations": _POST + b"Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
    "HTTP/0.9 without a version": b"GET /v1/stream\r\n\r\n",
    "HTTP/0.9 by name": _line(b"GET /v1/stream HTTP/0.9"),
    "HTTP/1.2": _line(b"GET /v1/stream HTTP/1.2"),
    "HTTP/2.0": _line(b"GET /v1/stream HTTP/2.0"),
    "RTSP": _line(b"SETUP /v1/stream RTSP/1.0"),
    "ICE": _line(b"SOURCE /v1/stream ICE/1.0"),
    "http in small letters": _line(b"GET /v1/stream http/1.1"),
    "space after the version": _line(b"GET /v1/stream HTTP/1.1 "),
    "two spaces": _line(b"GET  /v1/stream HTTP/1.1"),
    "tab for a space": _line(b"GET\t/v1/stream HTTP/1.1"),
    "space before the method": _line(b" GET /v1/stream HTTP/1.1"),
    "method in small letters": _line(b"get /v1/stream HTTP/1.1"),
    "unknown method": _line(b"SMUGGLE /v1/stream HTTP/1.1"),
    "space in the target": _line(b"GET /v1/stream x HTTP/1.1"),
    "byte beyond ASCII in the target": _line(b"GET /v1/str\xffam HTTP/1.1"),
    "fragment": _line(b"GET /v1/stream#x HTTP/1.1"),
    "absolute form": _line(b"GET http://a/v1/stream HTTP/1.1"),
    "asterisk form": _line(b"OPTIONS * HTTP/1.1"),
    "CONNECT": _line(b"CONNECT a:443 HTTP/1.1"),
    "CONNECT to a path": _line(b"CONNECT /v1/stream HTTP/1.1"),
    "HTTP/2 preface, malformed": b"PRI * HTTP/2.0\r\nHost: a\r\n\r\nSM\r\n\r\n",
}
BODIES = {
    "bare LF after a size": _CHUNKED + b"5\nabcde\r\n0\r\n\r\n",
    "bare LF after a chunk": _CHUNKED + b"5\r\nabcde\n0\r\n\r\n",
    "bare CR after a chunk": _CHUNKED + b"5\r\nabcde\rX0\r\n\r\n",
    "garbage after a chunk": _CHUNKED + b"5\r\nabcdefgh\r\n0\r\n\r\n",
    "garbage after a size": _CHUNKED + b"5 x\r\nabcde\r\n0\r\n\r\n",
    "space after a size": _CHUNKED + b"5 \r\nabcde\r\n0\r\n\r\n",
    "space before a size": _CHUNKED + b" 5\r\nabcde\r\n0\r\n\r\n",
    "size with 0x": _CHUNKED + b"0x5\r\nabcde\r\n0\r\n\r\n",
    "size with a sign": _CHUNKED + b"+5\r\nabcde\r\n0\r\n\r\n",
    "size with an underscore": _CHUNKED + b"1_0\r\nabcde\r\n0\r\n\r\n",
    "empty size": _CHUNKED + b"\r\nabcde\r\n0\r\n\r\n",
    "size of sixteen digits": _CHUNKED + b"FFFFFFFFFFFFFFFF\r\nabcde\r\n0\r\n\r\n",
    "extension of more than 1 KiB": _CHUNKED + b"5;x=" + b"y" * 1024 + b"\r\nabcde\r\n0\r\n\r\n",
    "extension that does not end": _CHUNKED + b"5;x=" + b"y" * 4096,
    "bare LF in an extension": _CHUNKED + b"5;x\ny\r\nabcde\r\n0\r\n\r\n",
    "bare CR in an extension": _CHUNKED + b"5;x\ry\r\nabcde\r\n0\r\n\r\n",
    "NUL in an extension": _CHUNKED + b"5;\0\r\nabcde\r\n0\r\n\r\n",
    "bare LF after the last chunk": _CHUNKED + b"0\n\n",
    "trailer without a colon": _CHUNKED + b"0\r\nabc\r\n\r\n",
    "folded trailer": _CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n",
    "bare LF in a trailer": _CHUNKED + b"0\r\nX: a\nY: b\r\n\r\n",
}


@pytest.mark.fault("F16")
@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in {**HEADS, **BODIES}.items()])
async def test_it_is_refused_and_nothing_after_it_is_read(data: bytes) -> None:
    async with serving() as at, Client(at.url) as client:
        await client.send(data + SMUGGLED)
        answer = await client.whole()
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert answer.error["message"]
        assert answer.headers["x-request-id"]
        assert await client.at_end()
    assert not at.ledger.bodies
    assert "/v1/smuggled" not in at.ledger.seen


@pytest.mark.fault("F16")
@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in HEADS.items()])
async def test_no_handler_sees_a_bad_head_however_it_is_cut(data: bytes) -> None:
    async with serving() as at:
        for cut in {1, len(data) // 3, len(data) // 2, len(data) - 1}:
            async with Client(at.url) as client:
                await client.send(data[:cut])
                await trio_turns()
                await client.send(data[cut:] + SMUGGLED)
                assert (await client.whole()).status == 400
    assert not at.ledger.seen


async def trio_turns() -> None:
    import trio

    for _ in range(20):
        await trio.lowlevel.checkpoint()


def take_all(*parts: bytes) -> None:
    chunked = Chunked()
    for part in parts:
        chunked.take(part)


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in BODIES.items()])
def test_a_bad_body_is_refused_in_every_split(data: bytes) -> None:
    body = data.partition(b"\r\n\r\n")[2] + SMUGGLED
    for cut in range(0, len(body), 1 if len(body) < 200 else 97):
        with pytest.raises(GatewayError):
            take_all(body[:cut], body[cut:])


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nabcde\r\n0\r\n\r\n", b"abcde"),
        (b'005\r\nabcde\r\nA;a;b="c"\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\n', b"abcde0123456789"),
        (b"2\r\n\r\n\r\n1\r\n0\r\n0\r\n\r\n", b"\r\n0"),
    ],
)
def test_a_good_body_is_the_same_in_every_split(body: bytes, found: bytes) -> None:
    for cut in range(len(body) + 1):
        chunked = Chunked()
        first, none = chunked.take(body[:cut])
        second, rest = chunked.take(body[cut:] + b"NEXT") if cut < len(body) else (b"", b"NEXT")
        assert (first + second, rest, chunked.done) == (found, b"NEXT", True)
        assert none == b""
    one_by_one = Chunked()
    assert b"".join(one_by_one.take(bytes([byte]))[0] for byte in body) == found


def test_chunks_cannot_be_made_of_overhead() -> None:
    with pytest.raises(GatewayError):
        Chunked().take(b"1\r\nx\r\n" * 70_000)
    with pytest.raises(GatewayError):
        Chunked().take((b"1;" + b"x" * 1000 + b"\r\nx\r\n") * 20)
    with pytest.raises(GatewayError):
        Chunked().take(b"0\r\n" + b"X: y\r\n" * 100)


def test_a_head_says_what_it_said() -> None:
    head = read_head(
        b"GET /v1/models/a%2Fb%20c?x=%41&y HTTP/1.1\r\nHost: [::1]:80\r\nA: 1\r\na: \xff\r\n\r\n"
    )
    assert (head.method, head.path, head.target, head.query) == (
        "GET",
        "/v1/models/a/b c",
        b"/v1/models/a%2Fb%20c",
        b"x=%41&y",
    )
    assert head.headers == {"host": "[::1]:80", "a": "\xff"}
    assert (head.length, head.persistent, head.expects, head.modern) == (0, True, False, True)
