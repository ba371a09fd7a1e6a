"""Reading a form with a file in it while it comes: fields in memory, the file into a spool.

The parts may come in any order. All that a client may make us keep is bounded: the size of the body, the
number of parts, their heads, names and values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import trio

from proxy.dialects.form import Form
from proxy.dialects.multipart import FormError, FormParser, Part, PartEnd, boundary_in
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
            await reader.take(piece)
        return await reader.form()
    except FormError as error:
        raise _malformed(str(error)) from None
    except OSError as error:
        raise GatewayError(
            "service_unavailable",
            "The gateway has no room for the file.",
            retry_after=1,
            detail={"reason": "overloaded"},
        ) from error


def boundary_of(headers: Mapping[str, str]) -> bytes:
    """Return what separates the parts. Raises GatewayError where the body is no form, or has none."""
    try:
        boundary = boundary_in(headers.get("content-type", ""))
    except FormError as error:
        raise _malformed(str(error)) from None
    if boundary is None:
        message = "The request's content type must be multipart/form-data."
        raise GatewayError("unsupported_media_type", message)
    return boundary


class _Reader:
    """A form that is being read."""

    __slots__ = (
        "_content_type",
        "_fields",
        "_filename",
        "_held",
        "_into",
        "_name",
        "_parser",
        "_parts",
        "_size",
        "_spool",
    )

    def __init__(self, boundary: bytes, spool: Spool) -> None:
        self._parser = FormParser(boundary)
        self._parts = 0
        self._spool = spool
        self._fields: list[tuple[str, str]] = []
        self._filename: str | None = None
        self._content_type = ""
        self._name = ""
        self._into: Spool | None = None
        """Where the part goes that is being read; None keeps it."""
        self._held: list[bytes] = []
        self._size = 0

    async def take(self, data: bytes) -> None:
        """Take the next bytes. Raises FormError, GatewayError, OSError."""
        for event in self._parser.feed(data):
            if isinstance(event, Part):
                self._begin(event)
            elif isinstance(event, PartEnd):
                self._end()
            elif self._into is not None:
                await self._into.write(event)
            else:
                self._keep(event)

    async def form(self) -> Form:
        """Return all of it, now that it has ended. Raises as `take`."""
        self._parser.close()
        spool = self._spool
        await spool.finish()
        if self._filename is None or not spool.length:
            raise GatewayError("invalid_request", f"'{FILE}' must be a file that is not empty.", param=FILE)
        if spool.kept is not None:
            seconds = seconds_of(spool.peek, spool.length)
        else:
            seconds = await trio.to_thread.run_sync(seconds_of, spool.peek, spool.length)
        return Form(tuple(self._fields), spool, self._filename, self._content_type, seconds)

    def _begin(self, part: Part) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise FormError(f"it has more than {MAX_PARTS} parts")
        if len(part.name) > MAX_NAME or not part.name.isprintable():
            raise FormError("a part's name is too long")
        if part.headers.get("content-transfer-encoding", "").strip().lower() not in _CODINGS:
            raise FormError("a part is encoded")  # RFC 7578 section 4.7
        self._name = part.name
        self._held = []
        self._into = None
        if part.name == FILE:
            if self._filename is not None:
                raise GatewayError("invalid_request", f"'{FILE}' must be given once.", param=FILE)
            self._filename = "".join(filter(str.isprintable, part.filename or ""))[-_MAX_FILENAME:] or FILE
            self._content_type = part.headers.get("content-type", "").partition(";")[0].strip()
            self._into = self._spool
        elif part.filename is not None:
            raise GatewayError("invalid_request", f"'{part.name[:64]}' must not be a file.", param=part.name)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_FIELDS:
            raise FormError(f"its fields have more than {MAX_FIELDS} bytes")
        self._held.append(data)

    def _end(self) -> None:
        if self._into is None:
            try:
                self._fields.append((self._name, b"".join(self._held).decode("utf-8")))
            except UnicodeDecodeError:
                raise FormError("a field is not UTF-8") from None


def _malformed(why: str) -> GatewayError:
    return GatewayError("invalid_request", f"The form cannot be read: {why}.")
