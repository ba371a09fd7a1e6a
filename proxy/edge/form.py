"""Reading a form with a file in it (RFC 7578) while it comes: fields in memory, the file into a spool.

The parts may come in any order. All that a client may make us keep is bounded: the size of the body, the
number of parts, their heads, names and values. Werkzeug's decoder finds the parts; what it takes for a line
end is more than the standard's, which does no harm, as forms are written anew for upstreams.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import trio
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from proxy.dialects.form import Form
from proxy.media.length import seconds_of
from proxy.words.errors import GatewayError

from .http import Request, check_size
from .spool import Spool

FILE: Final = "file"
"""The field that holds the file."""
MAX_PARTS: Final = 64
MAX_NAME: Final = 128
MAX_FIELDS: Final = 256 * 1024
"""Bytes of all values that are no file."""
_SLICE: Final = 32 * 1024
_MOST_HELD: Final = 48 * 1024
"""What the decoder may hold, a slice included: the head of a part, or what is before and after all parts."""
_MOST_HEADERS: Final = 16
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
"""RFC 2046 section 5.1.1."""
_CODINGS: Final = frozenset({"", "7bit", "8bit", "binary"})
_MAX_FILENAME: Final = 255


async def read_form(request: Request, spool: Spool, limit: int) -> Form:
    """Read the body of a request whose sender is known.

    Raises:
        GatewayError: `unsupported_media_type`, `body_too_large`, `invalid_request`, or as `Request.piece`;
            `service_unavailable` where the disk takes no more.
        ClientGoneError: as `Request.piece`.
    """
    boundary = boundary_of(request.headers)
    check_size(request.headers, limit)
    reader = _Reader(boundary, spool)
    try:
        while piece := await request.piece(limit):
            for at in range(0, len(piece), _SLICE):
                await reader.take(piece[at : at + _SLICE])
        await reader.take(None)
        await spool.finish()
        return await reader.form()
    except OSError as error:
        raise GatewayError(
            "service_unavailable",
            "The gateway has no room for the file.",
            retry_after=1,
            detail={"reason": "overloaded"},
        ) from error


def boundary_of(headers: Mapping[str, str]) -> bytes:
    """Return what separates the parts. Raises GatewayError where the body is no form, or has none."""
    kind, options = parse_options_header(headers.get("content-type", ""))
    if kind != "multipart/form-data":
        message = "The request's content type must be multipart/form-data."
        raise GatewayError("unsupported_media_type", message)
    boundary = options.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise _malformed("its content type has no proper boundary")
    return boundary.encode("ascii")


class _Reader:
    """A form that is being read."""

    __slots__ = (
        "_content_type",
        "_decoder",
        "_fields",
        "_filename",
        "_held",
        "_into",
        "_name",
        "_size",
        "_spool",
    )

    def __init__(self, boundary: bytes, spool: Spool) -> None:
        self._decoder = MultipartDecoder(boundary, _MOST_HELD, max_parts=MAX_PARTS)
        self._spool = spool
        self._fields: list[tuple[str, str]] = []
        self._filename: str | None = None
        self._content_type = ""
        self._name = ""
        self._into: Spool | None = None
        """Where the part goes that is being read; None keeps it."""
        self._held: list[bytes] = []
        self._size = 0

    async def take(self, data: bytes | None) -> None:
        """Take the next bytes, or the end."""
        try:
            self._decoder.receive_data(data)
            event = self._decoder.next_event()
            while not isinstance(event, NeedData | Epilogue):
                if isinstance(event, Field | File):
                    self._begin(event)
                elif isinstance(event, Data):
                    await self._keep(event)
                event = self._decoder.next_event()
        except RequestEntityTooLarge:
            raise _malformed(f"it has more than {MAX_PARTS} parts, or one with too large a head") from None
        except ValueError:
            raise _malformed("it is not well-formed, or ends before it is complete") from None

    async def form(self) -> Form:
        """Return all of it."""
        spool = self._spool
        if self._filename is None or not spool.length:
            raise GatewayError("invalid_request", f"'{FILE}' must be a file that is not empty.", param=FILE)
        if spool.kept is not None:
            seconds = seconds_of(spool.peek, spool.length)
        else:
            seconds = await trio.to_thread.run_sync(seconds_of, spool.peek, spool.length)
        return Form(tuple(self._fields), spool, self._filename, self._content_type, seconds)

    def _begin(self, part: Field | File) -> None:
        self._check(part.name, part.headers)
        self._name = part.name
        self._held = []
        self._into = None
        if part.name == FILE:
            if self._filename is not None:
                raise GatewayError("invalid_request", f"'{FILE}' must be given once.", param=FILE)
            given = part.filename if isinstance(part, File) else ""
            self._filename = "".join(filter(str.isprintable, given))[-_MAX_FILENAME:] or FILE
            self._content_type = (
                part.headers.get("content-type", "").partition(";")[0].strip()[:_MAX_FILENAME]
            )
            self._into = self._spool
        elif isinstance(part, File):
            raise GatewayError("invalid_request", f"'{part.name[:64]}' must not be a file.", param=part.name)

    def _check(self, name: str | None, headers: Headers) -> None:
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise _malformed("a part has no name, or one that is too long")
        coding = headers.get("content-transfer-encoding", "").strip().lower()
        if len(headers) > _MOST_HEADERS or coding not in _CODINGS:
            raise _malformed("a part has too many headers, or is encoded")

    async def _keep(self, event: Data) -> None:
        if self._into is not None:
            await self._into.write(event.data)
            return
        self._size += len(event.data)
        if self._size > MAX_FIELDS:
            raise _malformed(f"its fields have more than {MAX_FIELDS} bytes")
        self._held.append(event.data)
        if not event.more_data:
            # UnicodeDecodeError is a ValueError.
            self._fields.append((self._name, b"".join(self._held).decode("utf-8")))


def _malformed(why: str) -> GatewayError:
    return GatewayError("invalid_request", f"The form cannot be read: {why}.")
