"""Trying a provider's key: a request or two that cost nothing and ask for no answer of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import httpx
import trio

from proxy.settings import Outbound, Provider
from proxy.settings.wellknown import WELL_KNOWN
from proxy.upstream.dial import Origin
from proxy.upstream.fleet import trouble_of
from proxy.upstream.guard import guarded_transport
from proxy.upstream.request import Head, render_head
from proxy.upstream.transport import UpstreamTransport
from proxy.wires.anthropic import AnthropicWire
from proxy.wires.base import Wire
from proxy.wires.gemini import GeminiWire
from proxy.wires.openai import OpenAIWire
from proxy.words.principal import OpenedKey

_WITHIN: Final = 10.0
_WIRES: Final[dict[str, Wire]] = {
    "openai": OpenAIWire(),
    "anthropic": AnthropicWire(),
    "gemini": GeminiWire(),
}
_MODELS: Final = "/models"
_HELP: Final = {
    400: "the provider refuses the key (400): see that it was copied whole and was not revoked there",
    401: "the provider refuses the key (401): see that it is this provider's, copied whole and not revoked",
    402: "the provider takes the key but wants payment (402): see the account's credit there",
    403: "the provider refuses this use of the key (403): see its permissions, project and region there",
    404: "there is no such API at this address (404): see the base URL",
    429: "the provider takes the key but is at a limit (429): see the account's credit and limits there",
}
"""What a status means, and what helps. Gemini calls a wrong key a bad request."""


class Verdict(NamedTuple):
    """Whether a key can be used, as far as that shows, and what to say: no word of the provider's own."""

    ok: bool
    said: str


class Audio(NamedTuple):
    """Where a provider of speech tells of a key, at no cost, how it is sent, and what else it may need."""

    url: str
    header: str
    scheme: str = ""
    needs: str = ""


AUDIO: Final = {
    "elevenlabs": Audio(
        "https://api.elevenlabs.io/v1/user",
        "xi-api-key",
        needs="; one that is restricted is tried by the permission user_read",
    ),
    "deepgram": Audio("https://api.deepgram.com/v1/auth/token", "authorization", "Token "),
}
"""elevenlabs.io/docs/api-reference/user/get and developers.deepgram.com/docs/authenticating, Test Request."""


async def probe_audio(provider: str, key: OpenedKey) -> Verdict:
    """Return what `probe` does, of a provider of speech."""
    place = AUDIO[provider]
    target = httpx.URL(place.url)
    head = _head(target, [(place.header, f"{place.scheme}{key.secret}")])
    async with UpstreamTransport() as transport:
        status = await _asked(transport, Origin.of(target), head)
    verdict = _verdict(status)
    return verdict._replace(said=verdict.said + place.needs) if status == 401 else verdict


async def probe(provider: Provider, key: OpenedKey, rules: Outbound) -> Verdict:
    """Ask a provider for the list of its models, or what else it tells of a key.

    Where it tells everybody the same, a key has proven nothing, and that is said. Cancelling closes the
    connection at once.
    """
    wire = _WIRES.get(provider.wire)
    if wire is None:
        return _verdict(200)
    own = key.base_url is not None
    target = httpx.URL(f"{key.base_url or provider.base_url}{_MODELS if own else _path_of(provider)}")
    if provider.quirks.query:
        target = target.copy_merge_params(dict(provider.quirks.query))
    origin = Origin.of(target, None if own else provider.ca_file)
    header = provider.quirks.key_header
    async with guarded_transport(rules) if own else UpstreamTransport() as transport:
        status = await _asked(transport, origin, _head(target, wire.headers(key.secret, header)))
        anybody = status == 200 and await _asked(transport, origin, _head(target, wire.headers(None, header)))
    if anybody == 200:
        return Verdict(
            ok=True, said="it is there, and tells everybody the same: the key shows with its first use"
        )
    return _verdict(status)


def _path_of(provider: Provider) -> str:
    """Return where a provider tells of a key."""
    known = next((each for each in WELL_KNOWN if each.name == provider.name), None)
    return known.tries if known is not None and known.at_home(provider.base_url) else _MODELS


def _head(target: httpx.URL, headers: Sequence[tuple[str, str]]) -> Head:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return render_head(b"GET", target.raw_path, target.netloc, fields)


async def _asked(transport: UpstreamTransport, origin: Origin, head: Head) -> int | str:
    """Return the status of the answer, or why there was none."""
    try:
        with trio.fail_after(_WITHIN):
            answer = await transport.open(origin, head)
    except trio.TooSlowError:
        return f"the provider did not answer within {_WITHIN:g} seconds: try again later"
    except httpx.RequestError as error:
        return (
            f"the provider could not be reached ({trouble_of(error)}): see the base URL, or try again later"
        )
    answer.close()
    return answer.status


def _verdict(status: int | str) -> Verdict:
    if isinstance(status, str):
        return Verdict(ok=False, said=status)
    if status == 200:
        return Verdict(ok=True, said="ok")
    if 300 <= status < 400:
        said = f"the provider leads elsewhere ({status}), where no key is sent: see the base URL"
    elif status >= 500:
        said = f"the provider fails at the moment ({status}): try again later"
    else:
        said = _HELP.get(status, f"the provider answered {status}: see the base URL")
    return Verdict(ok=False, said=said)
