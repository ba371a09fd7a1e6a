"""Chunks of a stream that are alike, byte for byte, but for their text: read many at once, without parsing.

Nearly all of an answer is such chunks, with the same ids and members. What stands before the text and
behind it is learnt from one that was parsed, and proven by parsing it once more with another text in
its place; so no other string can be taken for it. Whatever differs, and text that needs an escape, is left to
the parser.
"""

from __future__ import annotations

from typing import Any, Final, Self

import orjson

from proxy.words.chat import Frame, Run, TextDelta

_HEAD: Final = b"data: "
_TAIL: Final = b"\n\n"
_UNSAFE: Final = bytes(range(0x20)) + b'"\\'
"""Bytes that a JSON string holds in escapes alone (RFC 8259 section 7)."""
_PROBE: Final = "\u00e9-probe"
_LONGEST: Final = 256 * 1024
"""Bytes looked at together: so much takes well under a millisecond."""


class Alike:
    """What such chunks have in common.

    Attributes:
        before: the payload up to the text.
    """

    __slots__ = ("_after", "_between", "_choice", "_head", "_says_usage", "_tail", "before")

    def __init__(self, before: bytes, after: bytes, choice: int, *, says_usage: bool) -> None:
        self.before = before
        self._after = after
        self._choice = choice
        self._says_usage = says_usage
        self._head = _HEAD + before
        self._tail = after + _TAIL
        self._between = self._tail + self._head

    @classmethod
    def learn(cls, payload: bytes, body: dict[str, Any], said: TextDelta) -> Self | None:
        """Learn from a payload of which `said` is all there is; None where that cannot be."""
        if not _nothing_else(body["choices"]):
            return None
        text = orjson.dumps(said.text)
        for key in (b'"content":', b'"content": '):
            before, found, after = payload.partition(key + text)
            if found:
                before, after = before + key + b'"', b'"' + after
                probe = orjson.loads(before + _PROBE.encode() + after)
                if probe["choices"][0]["delta"]["content"] == _PROBE:
                    return cls(before, after, said.choice, says_usage="usage" in body)
        return None

    def cut(self, data: bytes) -> tuple[Frame | None, bytes]:
        """Return all chunks that `data` begins with as one frame, and the bytes behind them.

        `data` begins at the edge of an event. There is no frame where they are not alike.
        """
        head, tail = self._head, self._tail
        if not data.startswith(head) or len(data) > _LONGEST:
            return None, data
        rest = b""
        if not data.endswith(tail):
            end = data.rfind(tail) + len(tail)
            data, rest = data[:end], data[end:]
        if len(data) < len(head) + len(tail):
            return None, data + rest
        texts = data[len(head) : -len(tail)].split(self._between)
        said = _joined(texts)
        if said is None:
            return None, data + rest
        run = Run(self.before, texts, self._after, data, self._choice, self._says_usage)
        return Frame((TextDelta(said, self._choice),), plain=True, run=run), rest


def _nothing_else(choices: list[dict[str, Any]]) -> bool:
    """Tell whether there is one choice, and in it only text: whatever is gathered must be read each time."""
    choice = choices[0]
    known = len(choices) == 1 and "index" in choice and choice["delta"].keys() <= {"role", "content"}
    return known and all(value is None for name, value in choice.items() if name not in {"index", "delta"})


def _joined(texts: list[bytes]) -> str | None:
    """Return the texts as one; None where one of them is not the inside of a JSON string, written plainly."""
    joined = texts[0] if len(texts) == 1 else b"".join(texts)
    if len(joined.translate(None, _UNSAFE)) != len(joined):
        return None
    try:
        if joined.isascii():
            return joined.decode("ascii")
        return "".join([text.decode() for text in texts])  # each by itself: a character may be torn
    except UnicodeDecodeError:
        return None
