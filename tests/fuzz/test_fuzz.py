"""Valid streams and requests, broken in every way: bounded and always the same; `make fuzz` goes further."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.words.chat import TextDelta
from proxy.words.errors import GatewayError

from . import media, mutate, seeds, targets

chances = st.integers(0, 2**32).map(Random)
LINES = [b"data: ab", b"data", b":", b" ", b"\n", b"\r", b"\xef\xbb\xbf", b"x" * 30]
bounded = settings(max_examples=150, derandomize=True, deadline=None, database=None)
few = settings(bounded, max_examples=60)


def texts(name: str, payload: Any) -> list[str]:
    """Find the text of a payload, by a reading of its own: members of the right type in the right place."""
    found: list[Any] = []
    if name == "openai":
        found = [at(choice, "delta", "content") for choice in listed(at(payload, "choices"))]
    elif name == "gemini":
        for candidate in listed(at(payload, "candidates")):
            parts = listed(at(candidate, "content", "parts"))
            found += [at(part, "text") for part in parts if not at(part, "thought")]
    elif at(payload, "type") == "content_block_delta" and at(payload, "delta", "type") == "text_delta":
        found = [at(payload, "delta", "text")]
    elif at(payload, "type") == "content_block_start" and at(payload, "content_block", "type") == "text":
        found = [at(payload, "content_block", "text")]
    return [text for text in found if isinstance(text, str)]


def at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


@pytest.mark.parametrize("name", seeds.STREAMS)
@bounded
@given(chances)
def test_a_broken_stream_is_read_alike_however_it_is_split(name: str, chance: Random) -> None:
    payloads = mutate.stream(seeds.STREAMS[name], chance)
    data = mutate.framed(payloads, chance, done=name == "openai")
    few = [chance.randrange(len(data) + 1) for _ in range(chance.randrange(6))]
    targets.stream(name, data, range(len(data)) if chance.random() < 0.1 else few)


@pytest.mark.parametrize("name", seeds.STREAMS)
@bounded
@given(chances)
def test_no_text_of_an_answer_called_whole_is_lost(name: str, chance: Random) -> None:
    payloads = mutate.stream(seeds.STREAMS[name], chance)
    decoder = targets.WIRES[name].decoder()
    said, expected = [], []
    for payload in payloads:
        if decoder.done or decoder.failure is not None:
            break
        frames = decoder.feed(b"data: " + orjson.dumps(payload) + b"\n\n")
        expected += texts(name, payload)
        said += [event.text for each in frames for event in each.events if isinstance(event, TextDelta)]
    decoder.close()
    if decoder.complete and decoder.failure is None:
        assert "".join(said) == "".join(expected)


@pytest.mark.parametrize("name", seeds.STREAMS)
def test_the_streams_are_whole_before_they_are_broken(name: str) -> None:
    data = mutate.framed(seeds.STREAMS[name], Random(5), done=name == "openai")
    summary, events = targets.read(targets.WIRES[name].decoder(), [data])
    assert summary.failure is None
    assert summary.complete
    assert len({type(event) for event in events}) >= 6
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == "".join(text for payload in seeds.STREAMS[name] for text in texts(name, payload))
    assert text.startswith("One twö three")


@bounded
@given(
    st.lists(st.sampled_from([b"data: ab", b"data", b":", b" ", b"\n", b"\r", b"\xef\xbb\xbf", b"x" * 30])),
    chances,
)
def test_events_are_the_same_however_they_are_split(pieces: list[bytes], chance: Random) -> None:
    data = b"".join(pieces)
    targets.sse(data, [chance.randrange(len(data) + 1) for _ in range(4)])


@pytest.mark.parametrize("name", targets.READERS)
def test_the_requests_are_whole_before_they_are_broken(name: str) -> None:
    read = [True for body in seeds.BODIES[name] if accepted(name, body)]
    assert read, "one of them at least"


def accepted(name: str, body: Any) -> bool:
    try:
        targets.READERS[name](orjson.dumps(body))
    except GatewayError:
        return False
    return True


@pytest.mark.parametrize("name", targets.READERS)
@few
@given(chances, st.integers(0, 4))
def test_a_broken_request_is_written_or_refused(name: str, chance: Random, times: int) -> None:
    body = chance.choice(seeds.BODIES[name])
    targets.request(name, orjson.dumps(mutate.broken(body, chance, times)))


@pytest.mark.parametrize("number", range(len(seeds.ANSWERS)))
@few
@given(chances, st.booleans())
def test_a_broken_answer_is_read_alike_however_it_is_split(number: int, chance: Random, plain: bool) -> None:
    assert len(seeds.ANSWERS) == len(media.ANSWERED)
    if number in seeds.STREAMED and not plain:
        data = mutate.framed(mutate.stream(seeds.ANSWERS[number], chance), chance, done=False)
    else:
        data = orjson.dumps(mutate.broken(seeds.ANSWERS[number][0], chance, chance.randrange(4)))
    media.passing(bytes((number, chance.randrange(256), chance.randrange(256))) + data)


@bounded
@given(st.sampled_from(seeds.FORMS), chances)
def test_a_broken_form_is_read_alike_and_written_anew(whole: bytes, chance: Random) -> None:
    media.form(mutate.spoilt(bytes((chance.randrange(256), chance.randrange(256))) + whole, chance))


@pytest.mark.parametrize("whole", seeds.FORMS)
def test_the_forms_are_whole_before_they_are_broken(whole: bytes) -> None:
    found, complete = media.parts_in([whole])
    assert complete
    assert len(found) >= 2
    media.form(b"\x07\x31" + whole)


@bounded
@given(st.sampled_from(seeds.RECORDINGS), chances)
def test_a_broken_recording_has_a_length(whole: bytes, chance: Random) -> None:
    media.container(mutate.spoilt(whole, chance))


@bounded
@given(st.sampled_from(seeds.TYPES), chances)
def test_a_broken_content_type_is_read(whole: bytes, chance: Random) -> None:
    media.boundary(mutate.spoilt(whole, chance))


@bounded
@given(st.sampled_from(seeds.FAILURES), chances, st.integers(0, 3))
def test_a_broken_failure_is_read(body: Any, chance: Random, times: int) -> None:
    targets.failure(orjson.dumps(mutate.broken(body, chance, times)))
