"""Forms as they come: any order, any cut, and everything a hostile client may try."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.form import Form
from proxy.edge.form import MAX_FIELDS, MAX_PARTS, boundary_of, read_form
from proxy.edge.http import body_too_large
from proxy.edge.spool import IN_MEMORY, Spool
from proxy.words.errors import GatewayError
from tests.fakes.recordings import BOUNDARY, FORM, form, wav

LIMIT = 8 * 1024 * 1024
SOUND = wav(1)


class Sent:
    """A request whose body comes in these pieces."""

    method, path, query = "POST", "/v1/audio/transcriptions", ""

    def __init__(self, pieces: list[bytes], headers: Mapping[str, str] = FORM) -> None:
        self.headers = headers
        self._pieces = [piece for piece in pieces if piece]
        self._size = 0

    async def piece(self, limit: int) -> bytes:
        await trio.lowlevel.checkpoint()
        piece = self._pieces.pop(0) if self._pieces else b""
        self._size += len(piece)
        if self._size > limit:
            raise body_too_large(limit)
        return piece

    async def body(self, limit: int) -> bytes:
        raise AssertionError

    def skip(self) -> None:
        raise AssertionError

    async def wait_gone(self) -> None:
        raise AssertionError

    def tell_gone(self, gone: object) -> None:
        raise AssertionError


async def read(pieces: list[bytes], headers: Mapping[str, str] = FORM) -> tuple[Form, bytes]:
    with Spool() as spool:
        found = await read_form(Sent(pieces, headers), spool, LIMIT)
        return found, await spool.read(0, spool.length)


def part(head: str, content: bytes = b"x") -> bytes:
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
FILE = part('Content-Disposition: form-data; name="file"; filename="a.wav"', SOUND)


@pytest.mark.parametrize("first", [True, False])
async def test_the_parts_come_in_any_order(first: bool) -> None:
    found, sound = await read([form([("model", "w"), ("prompt", "h\u00e9")], SOUND, first=first)])
    assert found.fields == (("model", "w"), ("prompt", "h\u00e9"))
    assert (found.filename, found.content_type, found.seconds) == ("a.wav", "audio/wav", 1)
    assert sound == SOUND


@given(st.lists(st.integers(1, 400), max_size=30))
def test_it_does_not_matter_how_the_body_is_cut(cuts: list[int]) -> None:
    whole = form([("model", "w")], b"\r\n--b0undar\r\n--\r" + SOUND[:300])
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(whole[at : at + cut])
        at += cut
    found, sound = trio.run(read, [*pieces, whole[at:]])
    assert found.one("model") == "w"
    assert sound == b"\r\n--b0undar\r\n--\r" + SOUND[:300]


async def test_a_large_file_goes_to_a_disk_without_a_name_and_is_gone_afterwards() -> None:
    sound = wav(200)
    assert len(sound) > IN_MEMORY
    with Spool() as spool:
        whole = form([("model", "w")], sound, first=True)
        sent = Sent([whole[at : at + 65_536] for at in range(0, len(whole), 65_536)])
        found = await read_form(sent, spool, LIMIT)
        assert spool.kept is None
        assert found.seconds == 200
        assert await spool.read(0, len(sound)) == sound
        number = spool._file.fileno()
        assert os.fstat(number).st_nlink == 0, "it has no name, so that it is gone whatever happens"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


@pytest.mark.fault("F1", "F2")
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("empty", b""),
        ("no end", form([("model", "w")], SOUND)[:-10]),
        ("cut in a head", FILE[:40]),
        ("another boundary", form([], SOUND).replace(b"b0undary", b"b1undary")),
        ("no name", part("Content-Disposition: form-data") + FILE + END),
        ("an empty name", part('Content-Disposition: form-data; name=""') + FILE + END),
        ("a huge name", part(f'Content-Disposition: form-data; name="{"x" * 129}"') + FILE + END),
        ("a head without end", f"--{BOUNDARY}\r\n".encode() + b"X: y\r\n" * 20_000),
        ("a huge head", part("Content-Disposition: form-data; name=a\r\nX: " + "y" * 60_000) + FILE + END),
        ("many headers", part('Content-Disposition: form-data; name="a"' + "\r\nX: y" * 20) + FILE + END),
        ("no disposition", part("X: y") + FILE + END),
        ("many parts", part('Content-Disposition: form-data; name="a"') * (MAX_PARTS + 1) + FILE + END),
        (
            "many bytes",
            part('Content-Disposition: form-data; name="a"', b"x" * (MAX_FIELDS + 1)) + FILE + END,
        ),
        ("not UTF-8", part('Content-Disposition: form-data; name="a"', b"\xff\xfe") + FILE + END),
        (
            "a name that is not UTF-8",
            part("Content-Disposition: form-data; name=a").replace(b"=a", b"=\xff") + FILE + END,
        ),
        (
            "base64",
            part('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64')
            + FILE
            + END,
        ),
        ("two files", FILE + FILE + END),
        ("another file", FILE + part('Content-Disposition: form-data; name="b"; filename="c"') + END),
        ("no file", part('Content-Disposition: form-data; name="model"') + END),
        ("an empty file", part('Content-Disposition: form-data; name="file"; filename="a"', b"") + END),
        ("a long preamble", b"x" * 60_000 + FILE + END),
        ("a long epilogue", FILE + END + b"x" * 60_000),
        ("JSON", b'{"model": "w"}'),
    ],
)
async def test_a_hostile_form_is_a_bad_request(name: str, body: bytes) -> None:
    for size in (len(body) or 1, 1000, 7 if len(body) < 20_000 else 999):
        with pytest.raises(GatewayError) as caught:
            await read([body[at : at + size] for at in range(0, len(body), size)])
        assert caught.value.face.status == 400, name


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("", 415),
        ("application/json", 415),
        ("multipart/mixed; boundary=x", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        ("multipart/form-data; boundary=" + "x" * 71, 400),
        ('multipart/form-data; boundary="a\tb"', 400),
        ('multipart/form-data; boundary="x "', 400),
        ("multipart/form-data; boundary=\u00e9", 400),
    ],
)
def test_a_boundary_is_what_the_standard_allows(content_type: str, status: int) -> None:
    with pytest.raises(GatewayError) as caught:
        boundary_of({"content-type": content_type})
    assert caught.value.face.status == status


async def test_what_is_too_large_is_refused_by_its_length_or_as_it_comes() -> None:
    for sent in (
        Sent([], {**FORM, "content-length": str(LIMIT + 1)}),
        Sent([form([("model", "w")], bytes(LIMIT))]),
    ):
        with Spool() as spool, pytest.raises(GatewayError) as caught:
            await read_form(sent, spool, LIMIT)
        assert caught.value.name == "body_too_large"
    with Spool() as spool, pytest.raises(GatewayError) as caught:
        await read_form(Sent([], {**FORM, "content-encoding": "gzip"}), spool, LIMIT)
    assert caught.value.name == "unsupported_media_type"


async def test_a_full_disk_is_no_fault_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "_append", full)
    with pytest.raises(GatewayError) as caught:
        await read([form([("model", "w")], wav(200))])
    assert (caught.value.name, caught.value.retry_after) == ("service_unavailable", 1)


@given(
    st.lists(
        st.sampled_from(
            [
                FILE,
                END,
                b"--",
                BOUNDARY.encode(),
                b"\r\n",
                b"\r",
                b"\n",
                b"x",
                b'Content-Disposition: form-data; name="a"',
                b"\r\n\r\n",
                b"\xff",
            ]
        ),
        max_size=30,
    )
)
def test_rubbish_is_read_or_refused(pieces: list[bytes]) -> None:
    with suppress(GatewayError):  # and nothing else
        trio.run(read, pieces)
