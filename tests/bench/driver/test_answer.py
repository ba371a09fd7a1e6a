"""Answers as bytes: what is counted, and what is wrong, however the bytes were cut."""

from __future__ import annotations

import json

import pytest

from bench.driver.answer import Answer
from bench.driver.load import OK


def event(**fields: object) -> bytes:
    return b"data: %b\n\n" % json.dumps(fields).encode()


def said(**delta: object) -> bytes:
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": None}])


def stream(*events: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in events) + end


def whole(body: bytes, status: int = 200, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (status, more, len(body), body)


ROLE = said(role="assistant", content="")
STOP = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 4})
DONE = b"data: [DONE]\n\n"
ANSWER = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":9,"completion_tokens":4}}'

STREAMS = [
    (stream(ROLE, said(content="a"), said(content="b"), STOP, USAGE, DONE), OK, 2),
    (stream(ROLE, said(reasoning_content="a"), said(tool_calls=[{"index": 0}]), STOP, DONE), OK, 2),
    (stream(b": keep-alive\n\n", said(content="a").replace(b"\n\n", b"\r\n\r\n"), DONE), OK, 1),
    (stream(said(content="a") + said(content="b") + STOP), OK, 2),
    (stream(ROLE, said(content="a")), "truncated", 1),
    (stream(said(content="a"), end=b""), "truncated", 1),
    (stream(said(content="a"), event(error={"message": "no"})), "in_band", 1),
    (stream(said(content="a"), b"data: nonsense\n\n", DONE), "not_json", 1),
    (whole(b'{"error":{}}', 429), "http_429", 0),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + stream(said(content="a"), DONE), OK, 1),
    (b"nonsense\r\n\r\n", "protocol", 0),
    (b"", "closed", 0),
    (b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + said(content="a") + DONE, OK, 1),
]


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(("data", "outcome", "chunks"), STREAMS)
def test_streams(data: bytes, outcome: str, chunks: int, size: int) -> None:
    answer = Answer(stream=True)
    for start in range(0, len(data), size):
        if not answer.done:
            answer.feed(data[start : start + size], 1000 + start)
    if not answer.done:
        answer.end()
    assert (answer.outcome(), answer.chunks) == (outcome, chunks)
    assert len(answer.gaps) == max(chunks - 1, 0)


WHOLES = [
    (whole(ANSWER), OK),
    (whole(b'{"error":{"message":"x"}}'), "in_band"),
    (whole(b"<html>"), "not_json"),
    (whole(b"[]"), "not_json"),
    (whole(ANSWER, 503), "http_503"),
    (whole(ANSWER)[:-5], "truncated"),
    (b"HTTP/1.1 200 OK\r\n\r\n" + ANSWER, OK),
]


@pytest.mark.parametrize(("data", "outcome"), WHOLES)
def test_wholes(data: bytes, outcome: str) -> None:
    answer = Answer(stream=False)
    answer.feed(data, 1)
    if not answer.done:
        answer.end()
    assert answer.outcome() == outcome
    assert answer.first == -1
    if outcome == OK:
        assert (answer.prompt_tokens, answer.output_tokens) == (9, 4)


def test_times_are_of_the_reads() -> None:
    answer = Answer(stream=True)
    answer.feed(stream(ROLE, end=b""), 100)
    assert answer.first == -1
    pieces = [said(content="a"), said(content="b") + said(content="c"), STOP + DONE]
    for now, piece in zip((250, 400, 900), pieces, strict=True):
        answer.feed(b"%x\r\n%b\r\n" % (len(piece), piece), now)
    answer.feed(b"0\r\n\r\n", 950)
    assert (answer.first, list(answer.gaps)) == (250, [150, 0])
    assert answer.done
    assert answer.keep


@pytest.mark.parametrize(("more", "keep"), [(b"", True), (b"connection: close\r\n", False)])
def test_connections_are_kept_where_the_answer_allows_it(more: bytes, keep: bool) -> None:
    answer = Answer(stream=False)
    answer.feed(whole(ANSWER, more=more), 1)
    assert (answer.done, answer.keep) == (True, keep)
