"""What the log says, of requests and of all else, where it goes, and what becomes of it if nobody reads."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from proxy.observe import log
from proxy.observe.lines import Form, Said, Try, finished
from proxy.observe.scrub import LONGEST, STRUCK, Scrubber, secrets_of
from proxy.observe.sink import PIECE, QUEUE, Direct, Sink, Threaded
from proxy.policy.breaker import Breaker, Fuse, Key
from proxy.receipt import Attempt, Receipt
from proxy.settings import Log, Provider, Secrets, Settings, Store
from proxy.words.errors import GatewayError
from proxy.words.usage import Usage

JSON = Settings(log=Log(format="json"))
BUSY = "a busy machine"
PATIENCE = 60.0


def lines(text: str) -> list[dict[str, Any]]:
    """What was written, a JSON object in each line."""
    return [json.loads(line) for line in text.splitlines()]


@contextmanager
def told() -> Iterator[None]:
    """Log what the block raises."""
    try:
        yield
    except OSError:
        logging.getLogger("headrace.test").exception("it failed")


def until(condition: Callable[[], object]) -> None:
    """Wait for another thread."""
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, BUSY
        time.sleep(0.002)


def receipt(**more: Any) -> Receipt:
    """A request that was answered by its second attempt."""
    first = Attempt("up", "m-1", 10.1, ended_at=10.2, trouble="rate_limited", status=429)
    second = Attempt("down", "m-2", 10.2, accepted=True, status=200)
    fields: dict[str, Any] = {
        "generation_id": "gen_1",
        "request_id": "req_1",
        "account": 7,
        "key_id": 3,
        "project": None,
        "stream": True,
        "started_at": 10.0,
        "started_unix": 1_750_000_000.25,
        "model_asked": "m",
        "model": "m",
        "attempts": [first, second],
        "winner": second,
        "usage": Usage(input=5, output=3),
        "cost": 12_345,
        "status": 200,
        "first_relayed_at": 10.5,
        "ended_at": 11.0,
    }
    return Receipt(**{**fields, **more})


@pytest.mark.parametrize("key", [("up/m\nx", None), ("up/m", 7)])
def test_a_breaker_that_opens_and_closes_is_told_of_once_each(
    capfd: pytest.CaptureFixture[str], key: Key
) -> None:
    with log.speaking(JSON):
        breaker = Breaker(Fuse(failures=2), told=log.breaker_turned)
        for now in (1.0, 2.0, 2.5):
            breaker.failed(key, "failed", now, started=now)
        assert breaker.allows(key, 10.0)
        breaker.failed(key, "failed", 10.5, started=10.0)
        assert breaker.allows(key, 20.0)
        breaker.succeeded(key, 20.5, started=20.0)
    printed = capfd.readouterr()
    if key[1] is not None:
        assert printed == ("", "")
        return
    (opened,), (closed,) = lines(printed.err), lines(printed.out)
    assert (opened["level"], opened["event"]) == (
        "warning",
        "'up/m\\nx' fails (failed): its breaker opened",
    )
    assert (closed["level"], closed["event"]) == ("info", "'up/m\\nx' answers again: its breaker closed")


def test_a_request_is_one_line_with_its_figures(capfd: pytest.CaptureFixture[str]) -> None:
    with log.speaking(JSON, "edge 3") as spoken:
        spoken.observe(receipt())
    assert lines(capfd.readouterr().out) == [
        {
            "timestamp": "2025-06-15T15:06:41.250Z",
            "level": "info",
            "logger": "headrace.request",
            "event": "request",
            "worker": "edge 3",
            "request_id": "req_1",
            "generation_id": "gen_1",
            "account": 7,
            "key_id": 3,
            "outcome": "ok",
            "status": 200,
            "model_asked": "m",
            "model": "m",
            "provider": "down",
            "upstream_model": "m-2",
            "attempts": [
                {"provider": "up", "model": "m-1", "outcome": "rate_limited", "status": 429, "ms": 100},
                {"provider": "down", "model": "m-2", "outcome": "ok", "status": 200, "ms": 800},
            ],
            "stream": True,
            "tokens": {"input": 5, "output": 3},
            "estimated": False,
            "cost_usd": "0.000012345",
            "funding": "credits",
            "latency_ms": 1000,
            "first_token_ms": 500,
        }
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {
            "winner": None,
            "attempts": [],
            "outcome": "refused",
            "error": "insufficient_credits",
            "status": 402,
        },
        {"outcome": "client_abort", "status": None, "first_relayed_at": None, "project": 4},
        {"estimated": True, "stream": False, "funding": "byok", "usage": Usage(), "cost": 0, "model": ""},
    ],
)
def test_a_line_has_the_fields_there_are_and_no_others(changed: dict[str, Any]) -> None:
    known, tries = get_type_hints(Said), get_type_hints(Try)
    (said,) = lines(Form(Scrubber(), console=False).request(finished(receipt(**changed))).decode())
    assert said.keys() <= known.keys()
    for name, value in said.items():
        assert isinstance(value, known[name] if isinstance(known[name], type) else object), name
    for each in said["attempts"]:
        assert each.keys() == tries.keys()
        assert all(isinstance(each[name], get_args(kind) or kind) for name, kind in tries.items())
    assert ("status" in said) is (changed.get("status", 200) is not None)
    assert ("first_token_ms" in said) is (changed.get("first_relayed_at", 1) is not None)


def test_s28_a_key_in_the_place_of_a_model_is_struck_out() -> None:
    (said,) = lines(
        Form(Scrubber(), console=False).request(finished(receipt(model_asked="sk-" + "a" * 300))).decode()
    )
    assert said["model_asked"] == STRUCK


@pytest.mark.parametrize(
    ("level", "requests", "usual", "trouble"),
    [("debug", 1, 2, 1), ("info", 1, 1, 1), ("warning", 0, 0, 1), ("error", 0, 0, 0)],
)
def test_a_level_is_the_least_that_is_written(
    capfd: pytest.CaptureFixture[str], level: Any, requests: int, usual: int, trouble: int
) -> None:
    with log.speaking(Settings(log=Log("json", level))) as spoken:
        spoken.observe(receipt())
        one = logging.getLogger("headrace.test")
        one.debug("d")
        one.info("i")
        one.warning("w")
    printed = capfd.readouterr()
    out = lines(printed.out)
    assert len([line for line in out if line["event"] == "request"]) == requests
    assert len([line for line in out if line["logger"] == "headrace.test"]) == usual
    assert len(lines(printed.err)) == trouble


def test_a_reload_changes_level_form_and_secrets(capfd: pytest.CaptureFixture[str]) -> None:
    with log.speaking(JSON) as spoken:
        until(lambda: not spoken.usual.dropped)
        provider = Provider("up", "openai", api_key="hunter2hunter2")
        spoken.adopt(Settings(log=Log("json", "warning"), providers=(provider,)))
        spoken.observe(receipt())
        logging.getLogger("headrace.test").warning("it says hunter2hunter2")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert lines(printed.err)[0]["event"] == f"it says {STRUCK}"


def test_people_read_words(capfd: pytest.CaptureFixture[str]) -> None:
    with log.speaking(Settings(log=Log(format="console")), "edge 0") as spoken:
        spoken.observe(receipt(model_asked="m\n\x1b[2Jforged"))
        with told():
            Path("no \x1b[2J room").read_bytes()
    printed = capfd.readouterr()
    assert len(printed.out.splitlines()) == 1
    for part in ("request", "edge 0", "attempts='up/m-1:rate_limited down/m-2:ok'", "cost_usd=0.000012345"):
        assert part in printed.out
    assert "\x1b" not in printed.out + printed.err
    assert "m\\n\\x1b[2Jforged" in printed.out
    assert "\nFileNotFoundError: [Errno 2] No such file or directory: 'no \\x1b[2J room'\n  " in printed.err


def test_what_nobody_expected_is_a_line_and_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, log.speaking(JSON):
        raise RuntimeError("Bearer abcdefghijkl")
    (said,) = lines(capfd.readouterr().err)
    assert (ended.value.code, said["level"]) == (1, "critical")
    assert said["exception"][0] == f"RuntimeError: {STRUCK}"


def test_libraries_warnings_are_lines_and_their_chatter_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    with log.speaking(JSON):
        logging.getLogger("hypercorn.error").info("chatter")
        logging.getLogger("hypercorn.error").warning("key %s", "sk-0123456789")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert lines(printed.err)[0]["event"] == f"key {STRUCK}"
    assert not [each for each in logging.getLogger().handlers if isinstance(each, log._Handler)]


def test_one_place_for_both_keeps_their_order(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    with log.speaking(JSON) as spoken:
        assert spoken.usual is spoken.trouble
        for number in range(100):
            (logging.getLogger("headrace.test").warning if number % 2 else spoken_info)(str(number))
    assert [line["event"] for line in lines(capfd.readouterr().out)] == [str(number) for number in range(100)]


def spoken_info(text: str) -> None:
    logging.getLogger("headrace.test").info(text)


def test_without_a_descriptor_of_its_own_it_is_the_usual_one(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with log.speaking(JSON) as spoken:
        spoken.observe(receipt())
    assert lines(capfd.readouterr().out)[0]["event"] == "request"


def test_where_there_is_no_output_nothing_is_written_to_what_has_its_number(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with log.speaking(JSON) as spoken:
        spoken.observe(receipt())
        logging.getLogger("headrace.test").warning("w")
    assert capfd.readouterr() == ("", "")


# What nobody reads


def gap(missing: int) -> bytes:
    return b"%d missing\n" % missing


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe as a shell makes it."""
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        for end in (reading, writing):
            try:
                os.close(end)
            except OSError:
                continue


def taken(reading: int, sink: Sink | None = None, ends: bytes = b"") -> bytes:
    """Read what there is, until it ends in a certain way."""
    data = b""
    stop = time.monotonic() + PATIENCE
    while not data.endswith(ends) or not ends:
        assert time.monotonic() < stop, BUSY
        if not select.select([reading], [], [], 0.5 if ends else 0)[0]:
            if not ends:
                return data
            continue
        piece = os.read(reading, 1 << 20)
        if not piece:
            return data
        data += piece
    return data


def line(text: str) -> bytes:
    return text.ljust(99).encode() + b"\n"


@pytest.mark.fault("F105")
def test_f105_a_pipe_that_nobody_reads_fills_the_queue_and_no_more() -> None:
    with pipe() as (reading, writing):
        sink = Threaded(writing, gap)
        began = time.monotonic()
        for number in range(3 * QUEUE):
            sink.put(line, str(number))
        assert time.monotonic() - began < PATIENCE, BUSY
        # A pipe takes 64 KiB, and the thread has one piece more in its hands.
        assert sink.dropped >= 3 * QUEUE - QUEUE - 65_536 // 100 - PIECE // 100 - 1
        dropped = sink.dropped
        data = taken(reading, ends=str(3 * QUEUE - dropped - 1).ljust(99).encode() + b"\n")
        sink.put(line, "later")
        data += taken(reading, ends=line("later"))
        sink.close(PATIENCE)
        found = data.decode().split("\n")[:-1]
        assert f"{dropped} missing" in found
        kept = [each.strip() for each in found if not each.endswith("missing")]
        assert kept == [*map(str, range(3 * QUEUE - dropped)), "later"]
        assert sink.dropped == dropped


@pytest.mark.fault("F105")
def test_f105_a_slow_reader_is_waited_for_at_the_end_but_not_for_long() -> None:
    with pipe() as (reading, writing):
        sink = Threaded(writing, gap)
        for number in range(2000):
            sink.put(line, str(number))
        began = time.monotonic()
        sink.close(0.05)
        assert 0.04 < time.monotonic() - began < PATIENCE
        os.close(reading)
        sink.close(PATIENCE)  # the thread must not write to what has the descriptor's number next


def test_all_that_was_put_is_written_before_the_end() -> None:
    with pipe() as (reading, writing):
        for number in range(50):
            sink = Threaded(writing, gap)
            sink.put(line, str(number))
            sink.close(PATIENCE)
            assert os.read(reading, 4096) == line(str(number))


def test_a_reader_that_has_gone_costs_lines_and_nothing_else() -> None:
    with pipe() as (reading, writing):
        os.close(reading)
        sink = Threaded(writing, gap)
        sink.put(line, "x")
        until(lambda: sink.dropped == 1)
        sink.put(line, "x")
        until(lambda: sink.dropped == 2)
        sink.close(PATIENCE)


def test_a_line_that_cannot_be_made_does_not_silence_the_others() -> None:
    def fails(_: object) -> bytes:
        raise ValueError

    with pipe() as (reading, writing):
        sink = Threaded(writing, gap)
        sink.put(fails, "x")
        sink.put(line, "y")
        assert taken(reading, ends=line("y")).endswith(line("y"))
        assert sink.dropped == 1
        sink.close(PATIENCE)


def test_a_descriptor_that_does_not_block_is_waited_for() -> None:
    with pipe() as (reading, writing):
        os.set_blocking(writing, False)
        sink = Threaded(writing, gap)
        for number in range(2000):
            sink.put(line, str(number))
        data = taken(reading, ends=line("1999"))
        assert (data.count(b"\n"), sink.dropped) == (2000, 0)
        sink.close(PATIENCE)


def test_writes_are_of_whole_lines_that_a_pipe_takes_in_one_piece() -> None:
    """With a datagram socket each write can be told from the next."""
    import socket

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        sink = Threaded(theirs.fileno(), gap)
        for number in range(1000):
            sink.put(lambda size: b"x" * size + b"\n", 1 + number * 37 % 900)
        pieces: list[bytes] = []
        while sum(piece.count(b"\n") for piece in pieces) < 1000:
            pieces.append(ours.recv(1 << 20))
        sink.close(PATIENCE)
    assert all(piece.endswith(b"\n") and len(piece) <= PIECE for piece in pieces)
    assert len(pieces) < 500, "they are written together"


@pytest.mark.fault("F105")
def test_f105_who_may_have_no_thread_writes_what_there_is_room_for() -> None:
    with pipe() as (reading, writing):
        sink = Direct(writing, gap)
        for number in range(2000):
            sink.put(line, str(number))
        written = taken(reading)
        assert sink.dropped == 2000 - written.count(b"\n") > 0
        assert os.get_blocking(writing), "others who have it keep it as it is"
        sink.put(line, "later")
        assert taken(reading) == gap(sink.dropped) + line("later")
        sink.close(0)


def test_what_is_no_pipe_is_written_to_as_it_is(tmp_path: Any) -> None:
    with (tmp_path / "log").open("wb") as file:
        sink = Direct(file.fileno(), gap)
        sink.put(line, "x")
        sink.put(line, "y")
        sink.close(0)
    assert (tmp_path / "log").read_bytes() == line("x") + line("y")


# What must not be seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("nothing to hide in gpt-4o-mini or gen_01K9", "nothing to hide in gpt-4o-mini or gen_01K9"),
        ("key fd_agg_" + "a" * 38 + "!", f"key {STRUCK}!"),
        ("sk-ant-api03-abc_DEF-123", STRUCK),
        ("Authorization: Bearer abc.def-ghi", f"Authorization: {STRUCK}"),
        ("postgresql://me:pass@host/db", f"postgresql://{STRUCK}@host/db"),
        ("AIzaSyA0123456789abcdefghij", STRUCK),
        ("eyJhbGciOi.eyJzdWIiOiIx.c2ln", STRUCK),
        ("whsec_0123456789abcdef", STRUCK),
        ("the operator's own-key-value here", f"the operator's {STRUCK} here"),
        ("x" * (LONGEST + 1), "x" * LONGEST + "..."),
    ],
)
def test_keys_are_struck_out_wherever_they_turn_up(text: str, seen: str) -> None:
    assert Scrubber(["", "short", "own-key-value", "own-key"]).text(text) == seen


def test_all_that_the_gateway_was_given_is_struck_out() -> None:
    settings = Settings(
        providers=(Provider("up", "openai", api_key="a-key-of-a-provider"), Provider("sim", "sim")),
        secrets=Secrets(master_keys=((1, b"m" * 32),)),
        store=Store(url="postgresql://me:a-password@db.example/headrace"),
    )
    for secret in ("a-key-of-a-provider", base64.b64encode(b"m" * 32).decode(), "a-password"):
        assert Scrubber(secrets_of(settings)).text(f"({secret})") == f"({STRUCK})"


@pytest.mark.parametrize(
    ("error", "first"),
    [
        (OSError("disk full"), "OSError: disk full"),
        (TypeError("no sk-0123456789"), f"TypeError: no {STRUCK}"),
        (ValueError("what a client wrote"), "ValueError"),
        (KeyError("what a client wrote"), "KeyError"),
        (UnicodeDecodeError("utf-8", b"what a client wrote", 0, 1, "bad"), "UnicodeDecodeError"),
        (GatewayError("invalid_request", "what a client wrote"), "GatewayError"),
    ],
)
def test_exceptions_that_quote_say_only_their_kind(error: Exception, first: str) -> None:
    with pytest.raises(RuntimeError) as raised:
        raise RuntimeError("outer") from error
    said = Scrubber().exception(raised.value)
    assert said[0] == "RuntimeError: outer"
    assert said[1].startswith("  tests/test_log.py:")
    assert said[2] == first
    assert "client" not in "".join(said)


def test_groups_and_circles_are_said_within_bounds() -> None:
    one, other = OSError("one"), OSError("other")
    one.__cause__, other.__cause__ = other, one
    group = ExceptionGroup("what a client wrote", [one, KeyError("x"), ExceptionGroup("deep", [other])])
    assert Scrubber().exception(group) == ["ExceptionGroup", "OSError: one", "KeyError", "ExceptionGroup"]


def test_a_line_always_fits_into_one_piece() -> None:
    form = Form(Scrubber(), console=False)
    said: Said = {"timestamp": "t", "level": "info", "logger": "l", "event": "\x00" * 800}
    assert len(form.plain(said)) <= PIECE
    long: Said = {**said, "event": "\U0001f600" * 2000, "exception": ["x" * 3000]}
    made = form.plain(long)
    assert len(made) <= PIECE
    assert json.loads(made)["event"].startswith("\U0001f600")
    asked = replace(receipt(), model_asked="\x00" * 4000, request_id="~" * 128)
    assert len(form.request(finished(asked))) <= PIECE
