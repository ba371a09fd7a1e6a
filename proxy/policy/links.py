"""The addresses in a request that its provider is to fetch: pictures, files, recordings. Pure.

We fetch none of them. What they may say is checked all the same, for a provider may stand inside somebody's
network: an address that is not of the open internet is refused here, in every dialect alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from proxy.words.addresses import AddressError, read_url
from proxy.words.call import Call
from proxy.words.chat import ChatRequest, ImagePart, OpaquePart, Part, TextPart
from proxy.words.errors import GatewayError

_NAMES: Final = ("url", "uri", "file_data")
_SCHEME: Final = 32
"""Characters in which the scheme of an address ends; data in base64 has no colon at all."""
_DEPTH: Final = 8


def check_links(call: Call) -> None:
    """Check every address in a request.

    Raises:
        GatewayError: `url_not_allowed`, naming the field.
    """
    if not isinstance(call, ChatRequest):
        return
    for turn, message in enumerate(call.messages):
        for place, part in enumerate(message.content):
            if not isinstance(part, TextPart):
                for name, url in _links(part):
                    _check(url, f"messages[{turn}].content[{place}].{name}")


def _links(part: Part) -> Iterator[tuple[str, str]]:
    if isinstance(part, ImagePart):
        yield "image_url.url", part.url
    elif isinstance(part, OpaquePart):
        yield from _within(part.raw, "", _DEPTH)


def _within(value: Any, at: str, depth: int) -> Iterator[tuple[str, str]]:
    """Find what is called an address, however deep a vendor put it."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from _within(item, f"{at}[{place}]", depth - 1)
    elif isinstance(value, Mapping):
        if depth <= 0:
            raise GatewayError(
                "invalid_request", "A part of a message is nested too deeply.", param="messages"
            )
        for name, item in value.items():
            path = f"{at}.{name}" if at else str(name)
            if not isinstance(item, str):
                yield from _within(item, path, depth - 1)
            elif str(name).endswith(_NAMES) and ":" in item[:_SCHEME]:
                yield path, item


def _check(url: str, param: str) -> None:
    if url[:5].lower() == "data:":
        return
    try:
        # Whether http will do is for the provider to say, who fetches it.
        read_url(url, http=True)
    except AddressError as error:
        raise GatewayError("url_not_allowed", f"'{param}' is not taken: {error}.", param=param) from None
