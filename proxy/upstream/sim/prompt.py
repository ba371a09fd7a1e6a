"""What a request says, whatever its protocol, and how it is counted.

The count is of what all protocols carry, so that one conversation weighs the same in each: the bytes of all
text, names, arguments and schemas, four tokens a turn, and a flat figure for an image. Turns that one side
takes in a row are one, as Anthropic and Gemini have them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from proxy.words.chat import IMAGE_TOKENS, MESSAGE_TOKENS
from proxy.words.script import Script
from proxy.words.usage import DEFAULT_RATIO, count, text_size

Side = Literal["system", "user", "assistant", "tool"]
NOTHING: Final = "(nothing)"


class BadRequestError(ValueError):
    """A request the provider refuses with a 400; the text says why."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request, read.

    Attributes:
        said: the text of the user's last turn.
        result: the last tool result's text, where tools had the last word.
        limit: the most tokens of an answer, reasoning included.
        stream, reports: the answer is streamed, and its stream tells the usage.
    """

    model: str
    said: str
    result: str | None
    tools: tuple[str, ...]
    tokens: int
    images: int
    limit: int | None = None
    choices: int = 1
    stops: tuple[str, ...] = ()
    stream: bool = False
    reports: bool = True


@dataclass(frozen=True, slots=True)
class Counts:
    """An answer's usage, each token once: `fresh`, `cached` and `written` add up to the prompt."""

    fresh: int
    cached: int
    written: int
    images: int
    """Tokens of images; they are in the three above as well."""
    said: int
    reasoned: int

    @property
    def prompt(self) -> int:
        """All that went in."""
        return self.fresh + self.cached + self.written

    @property
    def answer(self) -> int:
        """All that came out."""
        return self.said + self.reasoned


def counts_of(script: Script, prompt: Prompt, said_bytes: int, reasoned_bytes: int) -> Counts:
    """Count an answer of so many bytes, over all choices."""
    cached = min(script.cached, prompt.tokens)
    written = min(script.written, prompt.tokens - cached)
    return Counts(
        fresh=prompt.tokens - cached - written,
        cached=cached,
        written=written,
        images=prompt.images * IMAGE_TOKENS,
        said=count(said_bytes, DEFAULT_RATIO),
        reasoned=count(reasoned_bytes, DEFAULT_RATIO),
    )


class Reading:
    """A conversation as it is read: who speaks, and what."""

    def __init__(self) -> None:
        self._side: Side | None = None
        self._turns = 0
        self._bytes = 0
        self._images = 0
        self._said = ""
        self._result: str | None = None
        self._tools: list[str] = []

    def turn(self, side: Side) -> None:
        """Somebody speaks; what is said next is theirs."""
        self._turns += side != self._side
        self._side, self._result = side, None
        if side == "user":
            self._said = ""

    def text(self, text: str) -> None:
        """Take a piece of text."""
        self._bytes += text_size(text)
        if self._side == "user":
            self._said += text

    def image(self) -> None:
        """Take an image."""
        self._images += 1

    def call(self, name: str, arguments: Any) -> None:
        """Take a function call; the arguments are parsed."""
        self._bytes += text_size(name) + len(_canonical(arguments))

    def result(self, text: str) -> None:
        """Take a function's result."""
        self._bytes += text_size(text)
        self._result = text

    def tool(self, name: str, description: str | None, schema: Any) -> None:
        """Take a function that may be called."""
        self._tools.append(name)
        self._bytes += text_size(name) + text_size(description or "") + len(_canonical(schema or {}))

    def prompt(self, model: str, **more: Any) -> Prompt:
        """Return the request; `more` are members of `Prompt`."""
        tokens = (
            count(self._bytes, DEFAULT_RATIO) + self._turns * MESSAGE_TOKENS + self._images * IMAGE_TOKENS
        )
        result = None if self._result is None else self._result or NOTHING
        return Prompt(model, self._said or NOTHING, result, tuple(self._tools), tokens, self._images, **more)


def _canonical(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


# Reading JSON that may be anything.


def members(value: Any, where: str, known: frozenset[str] | None = None) -> dict[str, Any]:
    """Return an object, whose members must be among `known`. Raises BadRequestError."""
    if not isinstance(value, dict):
        raise BadRequestError(f"{where}: an object is expected")
    unknown = sorted(value.keys() - known) if known is not None else ()
    if unknown:
        raise BadRequestError(f"{where}: there is no field '{unknown[0]}'")
    return value


def items(value: Any, where: str) -> list[Any]:
    """Return an array. Raises BadRequestError."""
    if not isinstance(value, list):
        raise BadRequestError(f"{where}: an array is expected")
    return value


def string(value: Any, where: str) -> str:
    """Return a string. Raises BadRequestError."""
    if not isinstance(value, str):
        raise BadRequestError(f"{where}: a string is expected")
    return value


def positive(value: Any, where: str) -> int:
    """Return an integer from 1. Raises BadRequestError."""
    if type(value) is not int or value < 1:
        raise BadRequestError(f"{where}: an integer from 1 is expected")
    return value
