"""How long recordings are: what each container says, and what none may claim."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.media.length import FLOOR, MAX_SECONDS, seconds_of
from tests.fakes.recordings import flac, mp3, mp4, opus, vorbis, wav, webm


def length(data: bytes) -> int:
    return seconds_of(lambda at, count: data[at : at + count], len(data))


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (wav(3), 3),
        (wav(2.1), 3),
        (wav(3, told=0xFFFFFFFF), 3),
        (wav(3, told=0), 3),
        (wav(3, told=10**9), 3),
        (wav(1) + wav(2)[36:], 3),
        (wav(1) + b"LIST" + (4).to_bytes(4, "little") + b"INFO" + wav(2)[36:], 3),
        (wav(1) + b"data\1\0\0\0\0\0" * 64 + wav(2)[36:], 4),
        (flac(44_100 * 7), 7),
        (opus(61), 61),
        (vorbis(61), 61),
        (mp3(383), 11),  # 383 frames of 1152 samples: 10.005 seconds
        (mp3(383, tag=True), 11),
        (mp3(10, told=3830), 101),
        (mp4(42), 42),
        (mp4(42, last=True), 42),
        (webm(9, told=True), 9),
        (webm(9, told=False), 9),
    ],
)
def test_a_container_says_how_long_it_is(data: bytes, seconds: int) -> None:
    assert length(data) == seconds


@pytest.mark.parametrize(
    "data",
    [
        wav(100, rate=48_000, told=2),
        flac(1, padding=20_000_000),
        opus(0) + bytes(1_000_000),
        mp3(20_000, told=1),
    ],
)
def test_no_header_makes_it_shorter_than_its_bytes_can_be(data: bytes) -> None:
    most = 1_536_000 if data[:4] in {b"RIFF", b"fLaC"} else 64_000 if data[:4] == b"OggS" else 40_000
    assert length(data) >= len(data) // most


def test_what_is_no_container_is_as_long_as_at_the_lowest_rate() -> None:
    assert length(b"?" * 10 * FLOOR) == 10
    assert length(b"?") == 1
    assert length(flac(0, padding=10 * FLOOR)) >= 10, "the encoder did not know"


@given(
    st.binary(max_size=300),
    st.sampled_from([wav(1), flac(9), opus(1), mp3(3), mp4(2), webm(2, told=False)]),
    st.integers(0, 400),
)
def test_rubbish_has_a_length_too(rubbish: bytes, whole: bytes, cut: int) -> None:
    for data in (rubbish, whole[:cut] + rubbish, rubbish + whole):
        if data:
            assert 1 <= length(data) <= MAX_SECONDS
