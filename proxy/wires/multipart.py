"""Writing a form with a file in it (RFC 7578), for upstreams. Names and values stay within their lines."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Final

from proxy.words.media import TranscriptionRequest
from proxy.words.upload import Upload

_BOUNDARY: Final = f"headrace-{secrets.token_hex(24)}"
"""No client knows it, so none can put it into a file; providers do. One for the process, as heads that are
the same are rendered once."""
_ESCAPES: Final = {'"': "%22", "\r": "%0D", "\n": "%0A", "\\": "%5C"}
"""As browsers do (html.spec.whatwg.org, "Multipart form data"), but for the backslash: to a reader of quoted
strings (RFC 9110 section 5.6.4) a last one would escape the quote that ends the name."""
_TYPE: Final = re.compile(r"[\w.+-]{1,64}/[\w.+-]{1,64}", re.ASCII)


def form(
    fields: Iterable[tuple[str, str]], call: TranscriptionRequest
) -> tuple[str, tuple[bytes | Upload, ...]]:
    """Return the content type, and the parts: fields first, then the file."""
    kind = call.content_type if _TYPE.fullmatch(call.content_type) else "application/octet-stream"
    head = [f"{_part(name)}\r\n\r\n{value}\r\n" for name, value in fields]
    head.append(f'{_part("file")}; filename="{_escaped(call.filename)}"\r\ncontent-type: {kind}\r\n\r\n')
    before = "".join(head).encode("utf-8", "replace")
    upload = call.upload if call.upload.kept is None else call.upload.kept
    return f"multipart/form-data; boundary={_BOUNDARY}", (before, upload, f"\r\n--{_BOUNDARY}--\r\n".encode())


def _part(name: str) -> str:
    return f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="{_escaped(name)}"'


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
