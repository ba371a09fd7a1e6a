"""However a stream is cut, the decoder hands out the same payloads, in bounded memory and work."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import combinations, pairwise, repeat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.words import sse
from proxy.words.sse import MAX_LINE, LineTooLongError, SSEDecoder


def payloads_of(pieces: Iterable[bytes]) -> list[bytes]:
    decoder = SSEDecoder()
    found = [payload for piece in pieces for payload in decoder.feed(piece)]
    return found + decoder.close()


def payloads_from(decoder: SSEDecoder, pieces: Iterable[bytes]) -> list[bytes]:
    return [payload for piece in pieces for payload in decoder.feed(piece)]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *places, len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def reference(data: bytes) -> list[bytes]:
    """Read the whole stream by the letter of WHATWG 9.2.6, but for two stated differences.

    An event whose data is empty is not handed out, and one the end of the stream cut short is.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    payloads: list[bytes] = []
    values: list[bytes] = []
    for line in [*lines, b""]:
        if not line:
            payload = b"\n".join(values)
            if payload:
                payloads.append(payload)
            values = []
            continue
        if line.startswith(b":"):
            continue
        name, colon, value = line.partition(b":")
        if colon and value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            values.append(value)
    return payloads


GOLDEN = [
    (b"", []),
    (b"data: a\n\n", [b"a"]),
    (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
    (b"data:a\n\n", [b"a"]),
    (b"data:  a\n\n", [b" a"]),
    (b"data: a\ndata: b\n\n", [b"a\nb"]),
    (b"data: a\ndata:\ndata: b\n\n", [b"a\n\nb"]),
    (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
    (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
    (b"data: a\r\n\ndata: b\r\rdata: c\n\r\n", [b"a", b"b", b"c"]),
    (b"data: a\n\r\ndata: b\n\n", [b"a", b"b"]),
    (b"data: a\r\ndata: b\n\r", [b"a\nb"]),
    (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    (b"\n\xef\xbb\xbfdata: a\n\n", []),
    (b"data: \xef\xbb\xbf\n\n", [b"\xef\xbb\xbf"]),
    (b": hello\n\ndata: a\n\n: bye\n\n", [b"a"]),
    (b"data: a\n: in between\ndata: b\n\n", [b"a\nb"]),
    (b":\n\ndata: a\n\n", [b"a"]),
    (b"event: message\nid: 7\nretry: 10\ndata: a\n\n", [b"a"]),
    (b"event: ping\n\ndata: a\n\n", [b"a"]),
    (b"data\n\ndata\ndata\n\ndata:", [b"\n"]),
    (b"data: \n\ndata:\n\ndata: a\n\n", [b"a"]),
    (b"data: \ndata: a\n\n", [b"\na"]),
    (b"Data: a\n\n data: b\n\ndata : c\n\ndatax: d\n\n", []),
    (b"data: a: b: c\n\n", [b"a: b: c"]),
    (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [b"a", b"b"]),
    (b"data: a\x00b\n\n", [b"a\x00b"]),
    ("data: gr\u00fcn \u20ac \U0001f600\n\n".encode(), ["gr\u00fcn \u20ac \U0001f600".encode()]),
    (b"data: {}\n\ndata: [DONE]\n\n", [b"{}", b"[DONE]"]),
    # Cut short: handed out at the end.
    (b"data: a", [b"a"]),
    (b"data: a\n", [b"a"]),
    (b"data: a\r", [b"a"]),
    (b"data: a\ndata: b", [b"a\nb"]),
    (b'data: a\n\ndata: {"x', [b"a", b'{"x']),
    (b"\xef", []),
    (b"\xef\xbb", []),
    (b"\xef\xbb\xbf", []),
    (b"da", []),
]


@pytest.mark.fault("F59")
@pytest.mark.parametrize(("stream", "payloads"), GOLDEN)
def test_golden(stream: bytes, payloads: list[bytes]) -> None:
    assert payloads_of([stream]) == payloads
    assert reference(stream) == payloads


@pytest.mark.fault("F59")
@pytest.mark.parametrize(("stream", "payloads"), GOLDEN)
def test_golden_byte_by_byte_and_in_every_two(stream: bytes, payloads: list[bytes]) -> None:
    assert payloads_of(cut(stream, range(1, len(stream)))) == payloads
    for place in range(len(stream) + 1):
        assert payloads_of(cut(stream, [place])) == payloads


SHORT = [
    b"\xef\xbb\xbfdata:a\r\n\r\n:",
    b"data: \xc3\xbc\r\rdata\n\n",
    b"data:a\ndata:b\r\n\n",
]


@pytest.mark.fault("F59")
@pytest.mark.parametrize("stream", SHORT)
def test_every_split_there_is(stream: bytes) -> None:
    """All 2^(k-1) ways to cut k bytes."""
    assert len(stream) <= 18
    whole = reference(stream)
    assert whole
    for number in range(len(stream)):
        for places in combinations(range(1, len(stream)), number):
            assert payloads_of(cut(stream, places)) == whole


LONG = """: warming up

data: {"choices":[{"delta":{"role":"assistant"}}]}

event: x
data: {"choices":
data: [{"delta":{"content":"\u00fc\u20ac\U0001f600"}}]}

data: [DONE]

""".encode()


@pytest.mark.fault("F59")
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_longer_stream_in_every_two_every_size_and_every_line_end(end: bytes) -> None:
    stream = LONG.replace(b"\n", end)
    whole = payloads_of([stream])
    assert whole == reference(stream)
    assert len(whole) == 3
    for place in range(len(stream) + 1):
        assert payloads_of(cut(stream, [place])) == whole
    for size in range(1, 40):
        assert payloads_of(cut(stream, range(size, len(stream), size))) == whole


@pytest.mark.fault("F59")
def test_an_event_is_handed_out_with_its_last_byte() -> None:
    decoder = SSEDecoder()
    for byte in b"data: a\n":
        assert decoder.feed(bytes([byte])) == []
    assert decoder.feed(b"\n") == [b"a"]
    assert decoder.feed(b"data: b\r\n\r") == [b"b"]
    assert decoder.feed(b"\ndata: c\n\n") == [b"c"]


def test_nothing_is_handed_out_twice() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\n\ndata: b") == [b"a"]
    assert decoder.close() == [b"b"]
    assert decoder.close() == []


def test_empty_feeds_change_nothing() -> None:
    decoder = SSEDecoder()
    found = []
    for piece in (b"", b"\xef\xbb", b"", b"\xbfdata: a\r", b"", b"\n\r", b"", b"\n", b""):
        found += decoder.feed(piece)
    assert found == [b"a"]


ALPHABET = [
    *(
        b"data",
        b"data:",
        b"data: ",
        b":",
        b" ",
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"\r\n\r\n",
        b"x",
        b"event: y",
    ),
    *(b"\xef\xbb\xbf", b"\xef", b"\xc3\xbc", b"id:", b"\x00", b'{"a": 1}'),
]


@given(st.lists(st.sampled_from(ALPHABET), max_size=24), st.lists(st.integers(0, 120), max_size=8))
@example([b"data: ", b"\n\n"], [])
@example([b"data: a", b"\n\n", b"\r\n"], [9])
@pytest.mark.fault("F59")
def test_the_decoder_agrees_with_the_reference(parts: list[bytes], places: list[int]) -> None:
    stream = b"".join(parts)
    assert payloads_of([stream]) == reference(stream)
    within = sorted({place for place in places if place < len(stream)})
    assert payloads_of(cut(stream, within)) == reference(stream)


def test_frames_read_back() -> None:
    stream = sse.frame(b'{"a":1}') + sse.KEEP_ALIVE + sse.frame(b"x: y") + sse.DONE
    assert payloads_of([stream]) == [b'{"a":1}', b"x: y", b"[DONE]"]


@pytest.mark.fault("F73")
@pytest.mark.parametrize("head", [b"data: ", b": ", b"junk", b"data: a\n\nevent: "])
@pytest.mark.parametrize("size", [4096, 65_536, 3 * MAX_LINE])
def test_a_line_without_end_is_refused_in_bounded_memory(head: bytes, size: int) -> None:
    decoder = SSEDecoder()
    decoder.feed(head)
    for _ in range(MAX_LINE // size - 1):
        decoder.feed(b"x" * size)
        assert held_by(decoder) < MAX_LINE * 9 // 8 + 2000
    pieces = iter([b"x" * size] * 2)
    with pytest.raises(LineTooLongError):
        payloads_from(decoder, pieces)


@pytest.mark.fault("F73")
@pytest.mark.parametrize("cuts", [1, 4096])
def test_a_line_of_just_the_limit_passes(cuts: int) -> None:
    line = b"data: " + b"x" * (MAX_LINE - 6)
    stream = line + b"\n\n"
    assert payloads_of(cut(stream, range(len(stream) // cuts, len(stream), len(stream) // cuts))) == [
        line[6:]
    ]
    with pytest.raises(LineTooLongError):
        payloads_of([b"data: x" + line[6:] + b"\n\n"])


@pytest.mark.fault("F73")
@pytest.mark.parametrize("limit", [20, 2 * MAX_LINE])
def test_the_limit_can_be_another(limit: int) -> None:
    line = b"data: " + b"x" * (limit - 6)
    for pieces in ([line + b"\n\n"], [line, b"\n\n"]):
        assert payloads_from(SSEDecoder(limit), pieces) == [line[6:]]
        with pytest.raises(LineTooLongError):
            payloads_from(SSEDecoder(limit), [b"data: x", *pieces])
    with pytest.raises(LineTooLongError):
        payloads_from(SSEDecoder(limit), repeat(b"data: abc\n"))


@pytest.mark.fault("F73")
def test_an_event_of_endless_lines_is_refused() -> None:
    for line in (b"data: " + b"x" * 1000 + b"\n", b"data:\n" * 1000):
        with pytest.raises(LineTooLongError):
            payloads_from(SSEDecoder(), repeat(line))


def test_endless_comments_and_blank_lines_take_no_room() -> None:
    decoder = SSEDecoder()
    for _ in range(3000):
        assert decoder.feed(b": ping\n\n" * 100 + b"\n" * 100) == []
    assert held_by(decoder) < 2000


def held_by(decoder: SSEDecoder) -> int:
    """Return the bytes a decoder keeps, containers and their items."""
    size = 0
    for name in SSEDecoder.__slots__:
        value = getattr(decoder, name)
        size += sys.getsizeof(value)
        if isinstance(value, list):
            size += sum(map(sys.getsizeof, value))
    return size


@pytest.mark.fault("F73")
@pytest.mark.parametrize("step", [1, 2, 7])
def test_a_line_in_tiny_pieces_takes_the_room_of_one_line(step: int) -> None:
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    for _ in range(100_000 // step):
        decoder.feed(b"x" * step)
    assert held_by(decoder) <= 2 * 100_000


def test_a_long_line_byte_by_byte_is_not_quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte in bytes: a line is looked at once, when it ends, and never on the way."""
    taken = []
    take = SSEDecoder._take_line

    def counting(self: SSEDecoder, line: bytes) -> None:
        taken.append(len(line))
        take(self, line)

    monkeypatch.setattr(SSEDecoder, "_take_line", counting)
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    steps = MAX_LINE - 6
    for _ in range(steps):
        decoder.feed(b"x")
    assert taken == []
    assert len(decoder.feed(b"\n\n")[0]) == steps
    assert taken == [MAX_LINE]


def test_an_event_of_a_name_reads_back() -> None:
    event = sse.named(b"message_stop", b'{"a":1}')
    assert event == b'event: message_stop\ndata: {"a":1}\n\n'
    assert payloads_of([event]) == [b'{"a":1}']
