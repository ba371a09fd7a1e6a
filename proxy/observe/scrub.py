"""The one way of a text that we did not write ourselves into the log: without secrets, and short.

The keys the gateway was given are struck out wherever they turn up, and whatever looks like a key of
anybody. Of an exception the log has its kind and where it was raised; its own words only where they are not
likely to quote what somebody sent.
"""

from __future__ import annotations

import base64
import re
import traceback
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import urlsplit

from proxy.settings import Settings
from proxy.words.errors import GatewayError, UpstreamError
from proxy.words.ids import KEY_PATTERN

STRUCK: Final = "[redacted]"
LONGEST: Final = 800
"""Characters of a text."""
_FRAMES: Final = 8
"""Places of one exception: the innermost."""
_CHAIN: Final = 4
"""Exceptions of a chain or group."""
_SHORTEST: Final = 6
"""Characters of a secret: striking out less would tear words apart, and reveal it."""
_KEYS: Final = re.compile(
    rf"{KEY_PATTERN.pattern}"
    r"|\b(?:sk|pk|rk|gsk|xai|key|whsec|glpat|ghp|hf)[-_][0-9A-Za-z_\-]{8,}"
    r"|\bAIza[0-9A-Za-z_\-]{16,}"
    r"|(?i:\b(?:bearer|basic)\s+)[0-9A-Za-z._~+/=\-]{6,}"
    r"|(?<=://)[^/\s@]+(?=@)"
    r"|\beyJ[0-9A-Za-z_\-]{6,}\.[0-9A-Za-z_\-.]+"
)
"""Keys of ours and of well-known providers, credentials of a header or in a URL, JSON web tokens."""
_QUOTING: Final = (ValueError, LookupError, GatewayError, UpstreamError)
"""Kinds of exceptions whose words are often what somebody sent: of these the kind has to do."""


def secrets_of(settings: Settings) -> list[str]:
    """Return what a gateway was given that nobody else may see."""
    keys = [provider.api_key for provider in settings.providers]
    masters = [base64.b64encode(key).decode() for _, key in settings.secrets.master_keys]
    return [each for each in (*keys, *masters, urlsplit(settings.store.url).password) if each]


class Scrubber:
    """Knows what must not be seen. `secrets` that are too short to be any are left out."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first: one may be the beginning of another.
        known = sorted({each for each in secrets if len(each) >= _SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str) -> str:
        """Return a text as it may be seen."""
        if self._known is not None:
            text = self._known.sub(STRUCK, text)
        text = _KEYS.sub(STRUCK, text)
        return text if len(text) <= LONGEST else text[:LONGEST] + "..."

    def exception(self, error: BaseException) -> list[str]:
        """Return what may be said of an exception: a line of each kind and its words, and its places."""
        said: list[str] = []
        for each in _chain(error):
            quoting = isinstance(each, _QUOTING) and not isinstance(each, OSError)
            words = "" if quoting or isinstance(each, BaseExceptionGroup) else self.text(str(each))
            kind = type(each).__qualname__
            said.append(f"{kind}: {words[:200]}" if words else kind)
            frames = traceback.extract_tb(each.__traceback__, limit=-_FRAMES)
            said += [f"  {_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
        return said


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it came from, a few of them, none twice."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting and len(found) < _CHAIN:
        each = waiting.pop(0)
        if each in found:
            continue
        found.append(each)
        yield each
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
        cause = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
        waiting += [] if cause is None else [cause]


def _short(path: str) -> str:
    return "/".join(path.rsplit("/", 2)[-2:])
