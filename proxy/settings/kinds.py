"""The kinds of value a key may hold: what each accepts, from TOML and from the environment's text.

A kind is strict: true is no number, 1 is no text, and money is never a float, for 0.15 in binary is
another number.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from proxy.words.money import parse_usd

from .shape import split_bind

SLUG: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_MODEL_ID: Final = re.compile(r"[!-~]{1,200}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MAX_INT: Final = 2**53
_PLACEHOLDERS: Final = frozenset({
    "changeme", "change-me", "change_me", "placeholder", "replaceme", "replace-me", "secret", "password",
    "todo", "none", "null", "api-key", "api_key", "your-api-key", "your_api_key", "sk-...", "...",
})  # fmt: skip
_PORTS: Final = {"http": ":80", "https": ":443"}
_QUOTE_IT: Final = "quote the number: money never passes through binary floating point"


class HintError(ValueError):
    """A value is refused, and its message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key may hold.

    `take` raises ValueError for a value that is not `allowed`. `parse` makes of the environment's text
    what TOML would have held. `anchor` says what a relative path is relative to: the configuration
    file, or the current directory for data. A file must exist, data is yet to be made.
    """

    allowed: str
    take: Callable[[Any], Any]
    parse: Callable[[str], Any] = str
    secret: bool = False
    anchor: Literal["file", "data"] | None = None


def whole(low: int, high: int = _MAX_INT) -> Kind:
    """Take a whole number in a range."""

    def take(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    limit = f"from {low} to {high}" if high != _MAX_INT else f"of at least {low}"
    return Kind(f"a whole number {limit}", take, int)


def seconds(low: float, high: float = 86_400) -> Kind:
    """Take a positive number of seconds."""

    def take(value: object) -> float:
        # `not low <= ...` also refuses nan.
        if type(value) not in {int, float} or not low <= value <= high:  # type: ignore[operator]
            raise ValueError
        return float(value)  # type: ignore[arg-type]

    return Kind(f"seconds from {low:g} to {high:g}", take, float)


def one_of(literal: Any) -> Kind:
    """Take one of a `Literal`'s words."""
    words = get_args(literal)

    def take(value: object) -> object:
        if value not in words:
            raise ValueError
        return value

    return Kind("one of " + ", ".join(words), take)


def matching(pattern: re.Pattern[str], allowed: str, *, secret: bool = False) -> Kind:
    """Take text that matches a pattern from end to end."""

    def take(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError
        return value

    return Kind(allowed, take, secret=secret)


def many(kind: Kind, allowed: str) -> Kind:
    """Take a list of a kind, not empty and without repetitions; one value stands for a list of one."""

    def take(value: object) -> tuple[Any, ...]:
        items = value if isinstance(value, list) else [value]
        taken = tuple(map(kind.take, items))
        if not taken or len(set(taken)) != len(taken):
            raise ValueError
        return taken

    return Kind(allowed, take, lambda text: [item.strip() for item in text.split(",")])


def pairs(name: re.Pattern[str], text: re.Pattern[str], allowed: str) -> Kind:
    """Take a table of texts."""

    def take(value: object) -> dict[str, str]:
        if not isinstance(value, dict) or not all(map(name.fullmatch, value)):
            raise ValueError
        if not all(isinstance(item, str) and text.fullmatch(item) for item in value.values()):
            raise ValueError
        return value

    return Kind(allowed, take)


def decimal_text(value: object) -> str:
    """Return the text of a quoted decimal number or a whole one."""
    if isinstance(value, float):
        raise HintError(f'{_QUOTE_IT}, as in "{value}"')
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - one error for all that is not allowed
    return value


def usd(value: object) -> int:
    """Return nano-USD of an amount that is not negative."""
    nano = parse_usd(decimal_text(value))
    if nano < 0:
        raise ValueError
    return nano


def _fraction(value: object) -> Fraction:
    try:
        number = Decimal(decimal_text(value))
    except InvalidOperation as error:
        raise ValueError from error
    # Few digits keep the product of price and markup small.
    if not number.is_finite() or not 0 <= number <= 1000 or Fraction(number).denominator > 10**9:
        raise ValueError
    return Fraction(number)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - one error for all that is not allowed
    return value


def _parse_boolean(text: str) -> bool:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]


def _bind(value: object) -> str:
    split_bind(_text(value))
    return str(value)


def _bind_or_off(value: object) -> str | None:
    return None if value == "" else _bind(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError
    return value


def _path(value: object) -> Path:
    return Path(_text(value))


def _store_url(value: object) -> str:
    url = _text(value)
    parts = urlsplit(url)
    if parts.scheme in {"postgresql", "postgres"}:
        good = len(parts.path) > 1 and not parts.fragment and " " not in url
    else:
        good = url.startswith("sqlite:///") and not url.endswith("/") and "?" not in url
    if not good:
        raise ValueError
    return url


def _base_url(value: object) -> str:
    parts = urlsplit(_text(value))
    if parts.username is not None or parts.password is not None:
        raise HintError(
            "take the credentials out of the URL; a key goes into api_key, api_key_env or api_key_file"
        )
    clean = parts.scheme in {"http", "https"} and parts.hostname and " " not in parts.netloc
    if not clean or parts.query or parts.fragment or parts.port == 0:
        raise ValueError
    return str(value).rstrip("/")


def _origin(value: object) -> str:
    url = _base_url(value)
    parts = urlsplit(url)
    if parts.path:
        raise HintError("a scheme and a host, as in https://gateway.example, without a path")
    if not url.isascii():
        raise HintError("write the host as browsers send it, in ASCII, as in xn--…")
    # Browsers leave out the port that goes without saying (RFC 6454 section 6.2).
    return f"{parts.scheme}://{parts.netloc.lower()}".removesuffix(_PORTS[parts.scheme])


def _url_or_off(value: object) -> str | None:
    return None if value == "" else _base_url(value)


def _api_key(value: object) -> str:
    key = value.strip() if isinstance(value, str) else ""
    if key.lower() in _PLACEHOLDERS or (key.startswith("<") and key.endswith(">")):
        raise HintError("this is a placeholder, not a key")
    if not re.fullmatch(r"[!-~]{1,4096}", key):
        raise ValueError
    return key


def _master_keys(value: object) -> tuple[tuple[int, bytes], ...]:
    keys = {}
    for item in value if isinstance(value, list) else [value]:
        number, colon, text = item.partition(":") if isinstance(item, str) else ("", "", "")
        key = base64.b64decode(text, validate=True)
        if not colon or not re.fullmatch("[1-9][0-9]{0,8}", number) or len(key) < 32 or int(number) in keys:
            raise ValueError
        keys[int(number)] = key
    return tuple(keys.items())


def _networks(value: object) -> tuple[IPv4Network | IPv6Network, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError
    networks = tuple(map(ip_network, value))
    if len(set(networks)) != len(networks):
        raise ValueError
    return networks


def _share(value: object) -> Fraction:
    share = _fraction(value)
    if share > 1:
        raise ValueError
    return share


BOOLEAN: Final = Kind("true or false", _boolean, _parse_boolean)
BIND: Final = Kind("a host and a port from 0 to 65535, as in 127.0.0.1:8000 or [::1]:8000", _bind)
BIND_OR_OFF: Final = Kind(f'{BIND.allowed}; "" is off', _bind_or_off)
TEXT: Final = Kind("text that is not empty, on one line", _text)
FILE: Final = Kind("the path of a file", _path, anchor="file")
KEY_FILE: Final = Kind("the path of a file", _path, secret=True, anchor="file")
DIRECTORY: Final = Kind("the path of a directory", _path, anchor="data")
STORE_URL: Final = Kind(
    "sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE", _store_url, anchor="data"
)
BASE_URL: Final = Kind("an http or https URL without credentials, query and fragment", _base_url)
HOST: Final = matching(re.compile(r"[A-Za-z0-9.:_-]{0,253}"), 'the name or address of a host; "" is none')
ORIGIN: Final = Kind("an http or https URL of scheme and host alone", _origin)
URL_OR_OFF: Final = Kind(f'{BASE_URL.allowed}; "" is off', _url_or_off)
API_KEY: Final = Kind("a key of visible ASCII characters", _api_key, secret=True)
LONG_SECRET: Final = matching(
    re.compile(r"[!-~]{32,4096}"), "a secret of at least 32 visible ASCII characters", secret=True
)
MASTER_KEYS: Final = Kind(
    "a list of NUMBER:KEY, the keys of at least 32 bytes in base64",
    _master_keys,
    lambda text: [item.strip() for item in text.split(",")],
    secret=True,
)
VARIABLE: Final = matching(_VARIABLE, "the name of an environment variable, not a key", secret=True)
NAME: Final = matching(SLUG, "up to 64 lower-case letters, digits, - and _, beginning with a letter or digit")
MODEL_ID: Final = matching(_MODEL_ID, "up to 200 visible ASCII characters")
USD: Final = Kind('US dollars as a quoted decimal number, as in "0.15", not negative', usd)
MARKUP: Final = Kind('a quoted decimal number from 0 to 1000, as in "1.2", of at most 9 places', _fraction)
SHARE: Final = Kind('a quoted decimal number from 0 to 1, as in "0.05"', _share)
CREDITS: Final = Kind('credits as a quoted decimal number, as in "100", not negative', decimal_text)
MODEL_IDS: Final = many(MODEL_ID, "a model id, or a list of different ones")
NETWORKS: Final = Kind(
    'a list of different networks, as in "10.1.0.0/16"',
    _networks,
    lambda text: [item.strip() for item in text.split(",")],
)
WORDS: Final = many(NAME, "a list of different lower-case words")
HEADER: Final = matching(
    re.compile("authorization|(?:[a-z]+-)*api-key"), "authorization, api-key or another name that ends so"
)
PAIRS: Final = pairs(
    re.compile(r"[A-Za-z0-9_.-]{1,64}"), re.compile(r"[A-Za-z0-9_.~-]{1,128}"), "a table of plain words"
)
_FIELD: Final = re.compile(r"(?:messages\[\]\.)?[a-z][a-z0-9_]{0,63}")
FIELDS: Final = many(matching(_FIELD, ""), "a list of different names of fields")
FIELD_PAIRS: Final = pairs(_FIELD, _FIELD, "a table of the names of fields")
