"""What a script says to a prompt, piece by piece, before any protocol writes it down."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Final, Literal, NamedTuple

import orjson

from proxy.words.script import Script
from proxy.words.usage import DEFAULT_RATIO, count, text_size

from .prompt import Counts, Prompt, counts_of

Kind = Literal["reasoning", "text", "call", "arguments"]
Finish = Literal["stop", "stop_sequence", "length", "tool_calls"]
ASKED_FOR: Final = "This failure was asked for."
SIGNATURE: Final = "c2ltdWxhdGVk"
"""Seals reasoning, where a protocol wants it back unchanged."""
_TEXT: Final = (
    "the sun may set but you can not see how far one day has run and who was out for the big red sky"
)
_WORDS: Final = _TEXT.split()
_TOKEN_BYTES: Final = 4
_ARGUMENT_BYTES: Final = 16


class Piece(NamedTuple):
    """A chunk of an answer; that of a `call` is the function's name."""

    kind: Kind
    text: str


class Answer:
    """One answer: its pieces by iterating once, and what is known when they are over.

    Attributes:
        finish: why it ended.
        stop: the stop sequence that ended it, if one did.
        failed: it broke off with an error that the script asked for.
    """

    def __init__(self, script: Script, prompt: Prompt) -> None:
        self._script = script
        self._prompt = prompt
        self._said = self._reasoned = 0
        self.finish: Finish = "stop"
        self.stop: str | None = None
        self.failed = False

    def __iter__(self) -> Iterator[Piece]:
        """Give the pieces, up to the limit, counted as the gateway counts."""
        limit = math.inf if self._prompt.limit is None else self._prompt.limit
        reasoning = (Piece("reasoning", _word(number)) for number in range(self._script.reasoning))
        told = 0
        for piece in chain(reasoning, self._pieces()):
            if told == self._script.error:
                break
            size = text_size(piece.text)
            if count(self._said + self._reasoned + size, DEFAULT_RATIO) > limit:
                self.finish, self.stop = "length", None
                return
            if piece.kind == "reasoning":
                self._reasoned += size
            else:
                self._said += size
            yield piece
            told += 1
        self.failed = told == self._script.error

    def counts(self) -> Counts:
        """Count what was said so far, once for each choice."""
        choices = self._prompt.choices
        return counts_of(self._script, self._prompt, self._said * choices, self._reasoned * choices)

    def _pieces(self) -> Iterator[Piece]:
        """Choose what to say."""
        prompt = self._prompt
        if self._script.name == "tool" and prompt.tools and prompt.result is None:
            self.finish = "tool_calls"
            return _call(prompt.tools[0], prompt.said)
        if self._script.name == "lorem":
            words = (_word(number) for number in range(self._script.tokens))
        else:
            text = prompt.said if prompt.result is None else prompt.result
            words = (text[start : start + _TOKEN_BYTES] for start in range(0, len(text), _TOKEN_BYTES))
        return (Piece("text", text) for text in (self._stopped(words) if prompt.stops else words))

    def _stopped(self, words: Iterator[str]) -> Iterator[str]:
        """Break off where the first stop sequence begins."""
        said = list(words)
        text = "".join(said)
        found = [(place, stop) for stop in self._prompt.stops if (place := text.find(stop)) >= 0]
        if found:
            left, self.stop = min(found)
            self.finish = "stop_sequence"
        else:
            left = len(text)
        for word in said:
            if left <= 0:
                return
            yield word[:left]
            left -= len(word)


def _call(name: str, said: str) -> Iterator[Piece]:
    arguments = orjson.dumps({"input": said}).decode()
    yield Piece("call", name)
    for start in range(0, len(arguments), _ARGUMENT_BYTES):
        yield Piece("arguments", arguments[start : start + _ARGUMENT_BYTES])


def _word(number: int) -> str:
    return _WORDS[number % len(_WORDS)] + " "
