"""Pieces of a message as Gemini's parts.

Sources: ai.google.dev/api/caching (Part, Blob, FileData), /gemini-api/docs/file-input-methods: bytes are
sent inline; a public `https:` address is fetched by Google, up to 100 MB, by models since 2.5. Nothing is
fetched here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from proxy.words.chat import ImagePart, OpaquePart, Part, ReasoningPart, TextPart

from .compatibility import unsupported

Json = dict[str, Any]
_AUDIO: Final = ("aac", "aiff", "flac", "mp3", "ogg", "wav")
_IMAGE_TYPES: Final[Mapping[str, str]] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
}
_MIME: Final = re.compile(r"[\w.+-]{1,64}/[\w.+-]{1,64}", re.ASCII)
_PROVIDERS_OWN: Final = "generativelanguage.googleapis.com"


def part_of(part: Part, where: str) -> Json | None:
    """Write one part; None where it holds nothing, for Gemini refuses an empty text.

    Raises:
        GatewayError: `unsupported_parameter` for what cannot be sent; `where` begins the field's name.
    """
    match part:
        case TextPart():
            return {"text": part.text} if part.text else None
        case ImagePart():
            return _media(part.url, f"{where}.image_url.url")
        case OpaquePart():
            return _opaque(part, where)
        case ReasoningPart():
            return None  # another provider's; Gemini's own comes back as signatures


def text_of(part: Part, where: str) -> str:
    """Return a part that can only be text. Raises GatewayError as `part_of`."""
    if not isinstance(part, TextPart):
        raise unsupported(where, "must be text for this model's provider")
    return part.text


def inline(part: Part, where: str) -> Json:
    """Write a part that can only be bytes. Raises GatewayError as `part_of`."""
    written = part_of(part, where) or {}
    if "inlineData" not in written:
        raise unsupported(where, "must be text or a 'data:' URL for this model's provider")
    return written


def _opaque(part: OpaquePart, where: str) -> Json:
    held = part.raw.get(part.kind)
    if part.kind == "refusal" and isinstance(held, str):
        return {"text": held}
    if part.kind == "input_audio" and isinstance(held, dict):
        return _audio(held, f"{where}.input_audio")
    if part.kind == "file" and isinstance(held, dict):
        data = held.get("file_data")
        if not isinstance(data, str) or not data.startswith("data:"):
            raise unsupported(
                f"{where}.file", "must hold 'file_data', a 'data:' URL; uploaded files are not known"
            )
        return _media(data, f"{where}.file.file_data")
    raise unsupported(f"{where}.type", "is not one this model's provider can be sent")


def _audio(audio: Mapping[str, Any], where: str) -> Json:
    kind, data = audio.get("format"), audio.get("data")
    if kind not in _AUDIO:
        raise unsupported(f"{where}.format", f"must be one of {', '.join(_AUDIO)}")
    if not isinstance(data, str) or not data:
        raise unsupported(f"{where}.data", "must be a string of base64")
    return _blob(f"audio/{kind}", data)


def _media(url: str, where: str) -> Json:
    if url[:5].lower() == "data:":
        return _data(url[5:], where)
    host, path = _public(url)
    if not host:
        raise unsupported(where, "must be a 'data:' or a public 'https:' URL for this model's provider")
    if host == _PROVIDERS_OWN:
        # The files of the operator's account are not every client's.
        raise unsupported(where, "cannot be a file at the provider; send its data")
    mime = _IMAGE_TYPES.get(path.rpartition(".")[2].lower())
    return {"fileData": {"fileUri": url} if mime is None else {"mimeType": mime, "fileUri": url}}


def _public(url: str) -> tuple[str, str]:
    """Return the host and the path of an `https:` URL, empty where it is none."""
    try:
        address = urlsplit(url)
        host = address.hostname or ""
    except ValueError:
        return "", ""
    return (host.rstrip("."), address.path) if address.scheme == "https" else ("", "")


def _data(rest: str, where: str) -> Json:
    """Read a `data:` URL (RFC 2397)."""
    head, comma, data = rest.partition(",")
    mime, *parameters = [item.strip() for item in head.split(";")]
    if not comma or not data or not _MIME.fullmatch(mime):
        raise unsupported(where, "must be a 'data:' URL with a media type and data")
    if "base64" not in [parameter.lower() for parameter in parameters]:
        data = base64.b64encode(unquote_to_bytes(data)).decode("ascii")
    return _blob(mime, data)


def _blob(mime: str, data: str) -> Json:
    return {"inlineData": {"mimeType": mime, "data": data}}
