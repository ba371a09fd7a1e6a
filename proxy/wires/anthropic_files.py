"""Images and files in Anthropic's words: a source that is a URL, or data of a media type.

Source: platform.claude.com/docs/en/build-with-claude/vision and ".../pdf-support". Nothing is fetched here.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final

from proxy.words.errors import GatewayError

_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PDF: Final = "application/pdf"


def image_block(url: str, where: str) -> Mapping[str, Any]:
    """Write an image. Raises GatewayError: it is of a kind that is not taken, or no image at all."""
    if _is_web(url):
        return {"type": "image", "source": {"type": "url", "url": url}}
    media_type, data = _data(url, where)
    if media_type not in _IMAGES:
        raise unsupported(where, f"images are {', '.join(sorted(_IMAGES))}")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def file_block(file: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Write OpenAI's `file` part, a PDF or plain text. Raises GatewayError: it is neither."""
    content, name = file.get("file_data"), file.get("filename")
    if not isinstance(content, str):
        raise unsupported(where, "a file is sent along, as 'file_data'")
    source = {"type": "url", "url": content} if _is_web(content) else _document(content, where)
    title = {"title": name} if isinstance(name, str) and name else {}
    return {"type": "document", "source": source, **title}


def unsupported(where: str, why: str) -> GatewayError:
    """Say that a part of the request has no like at Anthropic."""
    return GatewayError("unsupported_parameter", f"This provider cannot take '{where}': {why}.", param=where)


def _document(content: str, where: str) -> dict[str, Any]:
    media_type, data = _data(content, f"{where}.file_data")
    if media_type == _PDF:
        return {"type": "base64", "media_type": _PDF, "data": data}
    if media_type != "text/plain":
        raise unsupported(f"{where}.file_data", f"files are {_PDF} and text/plain")
    try:
        text = b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise unsupported(f"{where}.file_data", "it is no base64 of UTF-8 text") from None
    return {"type": "text", "media_type": media_type, "data": text}


def _is_web(url: str) -> bool:
    return url[:8].lower().startswith(("https://", "http://"))


def _data(url: str, where: str) -> tuple[str, str]:
    """Split a `data:` URL (RFC 2397) in base64 into its media type and its data."""
    head, comma, data = url.partition(",")
    media_type, *parameters = head.lower().split(";")
    if not comma or not media_type.startswith("data:") or parameters[-1:] != ["base64"]:
        raise unsupported(where, "it is neither an http URL nor a data: URL in base64")
    return media_type.removeprefix("data:"), data
