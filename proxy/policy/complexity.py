"""Which tier of model a chat needs, from its words alone: what the `auto` alias routes by.

Pure and deterministic: no model is asked, the same request has the same verdict on every machine.
Signals give integer points, and their sum is the score: below 3 the tier is `simple`, from 9 it is
`complex`, between them `capable`. What is weighed, in order of weight:

- The last message of the user, in fourteen languages (`cues.toml`). A task to compose (`task`) is 3
  points, work to think out (`reasoning`) 3 to 7, a `proof` 6 to 8, subjects (`math` `code` `systems`
  `domain`) and conditions (`constraints`) a few each; mechanical work on a text (`light`: translate,
  correct, extract), small talk (`chat`) and a short look-up (`fact`) take points away. Its look adds to
  that: length (`long`, 0 to 4), code, formulas, lists, `figures` to reckon with.
- A text given along with the task (`given`: what stands between a short first and a short last line)
  counts by its length, 2 points at most, or as code, 3: its words say what it is about, not what is
  asked. Light work and summaries halve all that a text says by itself.
- What comes with it: `tools` (2; 4 from three, 5 from six; one more while their results come in), an
  `image` or a `file` (2), the client's own high `reasoning_effort` (`effort`, 3). With tools, images or
  files a request is at least `capable`.
- What went before: half of what the user's previous message scored, at most 4 (`history`); all of it
  where the new one only says "yes, go on". Sheer size (`context`) gives at most 2: neither a long
  system prompt nor a long talk turns "hi" into work. The words of system prompts do not count.

Promised: adding a tool, raising the effort, or adding an image or a file to a message of fewer than 32
parts never lowers the tier. Work is bounded: of a long message only its head and tail are read, of its
parts the first and last sixteen. The reason reads `tier:signals;len=n`: the strongest signals, at most
four, or `plain`, and the length of the last message in characters. Known limits: it judges words, not
truth. A hard question in plain words ("why do we dream?") looks like any other, and a case told over
several paragraphs counts by its first and last line.

Other gateways' keyword routers weigh the same kinds of signals (LiteLLM's complexity router, Bifrost's
retired lexical one); learned ones (RouteLLM, Not Diamond, Martian) need a model on the path.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice
from typing import Final, Literal, NamedTuple

from proxy.words.chat import ChatRequest, Message, OpaquePart, Part, TextPart

from .cues import CUES, encode

Tier = Literal["simple", "capable", "complex"]
CAPABLE: Final = 3
"""The lowest score that is not simple."""
COMPLEX: Final = 9
"""The lowest score that is complex."""

_HEAD: Final = 380
_TAIL: Final = 220
"""Characters read at either end of a long message."""
_DENSE_HEAD: Final = 110
_DENSE_TAIL: Final = 70
"""The same for scripts of three bytes a character, where few of them say much."""
_GLANCE: Final = 250
"""Characters read at either end of the messages before it."""
_PARTS: Final = 16
"""Parts of a message read at either end."""
_REACH: Final = 512
"""Messages searched, from the last, for what the user said."""
_START: Final = 4
"""Messages at the start of a talk, of which the user's set its task."""
_STEPS: Final = 4
"""Messages of the user looked back over for the one that more than said "go on"."""
_SHORT: Final = 60
"""Characters up to which a message may be small talk, or leave to go on."""
_LINE: Final = 250
"""Characters up to which a first or last line says what to do with the text beside it."""
_GIVEN: Final = 200
"""Characters from which a text beside such a line is a given one."""

# Where the next point begins: characters, clauses, list items, marks of code, tools, bytes, messages.
_LENGTHS: Final = (90, 220, 450, 1200)
_CLAUSES: Final = (3, 7)
_ITEMS: Final = (3, 6)
_CODE_MARKS: Final = (3, 6, 12)
_TOOLS: Final = (1, 3, 6)
_BYTES: Final = (16 * 1024, 128 * 1024)
_MESSAGES: Final = (8, 40)
_DIGITS: Final = 6
"""Digits that make a longer message one with figures."""

_TOOL_POINTS: Final = (0, 2, 4, 5)
_EFFORTS: Final = frozenset({"high", "xhigh", "max"})
_MATERIAL: Final = ("math", "code", "systems", "domain", "constraints", "figures", "long", "given")
"""Signals that a text sends out by itself, whatever is to be done with it."""
_WIDE_COMMAS: Final = "\uff0c\u3001\uff1b\u060c"
_NOT_MARKS: Final = bytes(code for code in range(256) if code > 127 or code == 32 or chr(code).isalnum())
_NOT_DIGITS: Final = bytes(code for code in range(256) if not 48 <= code <= 57)


class Verdict(NamedTuple):
    """A tier, why (`complex:reasoning+systems;len=412`, visible ASCII), and the points it had."""

    tier: Tier
    reason: str
    score: int


class _Turn(NamedTuple):
    """What the user said: the ends of it, and the length of all of it in characters."""

    text: str
    length: int


Signals = dict[str, int]


def classify(call: ChatRequest) -> Verdict:
    """Weigh a chat. Raises nothing, for any request that a dialect can have read."""
    last, *earlier = _spoken(call)
    turn = _read(last, _HEAD, _TAIL)
    signals = _weigh(turn)
    _add_history(signals, earlier)
    _add_company(signals, call, last)
    score = sum(signals.values())
    if score < CAPABLE and (signals["tools"] or signals["image"] or signals["file"]):
        score = CAPABLE
    tier: Tier = "simple" if score < CAPABLE else "capable" if score < COMPLEX else "complex"
    return Verdict(tier, _reason(tier, signals, turn.length), score)


def _spoken(call: ChatRequest) -> list[Message]:
    """Return what the user said, the last first, and never nothing.

    Where a long run of tool calls has pushed it out of reach, the start of the talk set the task.
    """
    spoken = [message for message in islice(reversed(call.messages), _REACH) if message.role == "user"]
    if not spoken:
        spoken = [message for message in call.messages[:_START] if message.role == "user"]
    return spoken or [Message("user")]


def _parts(message: Message) -> tuple[Part, ...]:
    parts = message.content
    return parts if len(parts) <= 2 * _PARTS else parts[:_PARTS] + parts[-_PARTS:]


def _read(message: Message, head: int, tail: int) -> _Turn:
    texts = [part.text for part in _parts(message) if isinstance(part, TextPart)]
    text = texts[0] if len(texts) == 1 else "\n".join(_ends(text, head, tail) for text in texts)
    return _Turn(_ends(text, head, tail), sum(map(len, texts)))


def _ends(text: str, head: int, tail: int) -> str:
    return text if len(text) <= head + tail else f"{text[:head]}\0{text[-tail:]}"


def _weigh(turn: _Turn) -> Signals:
    """Score what one message says and how it looks."""
    text, length = turn
    dense = not text.isascii() and _is_dense(text)
    if dense:
        text = _ends(text, _DENSE_HEAD, _DENSE_TAIL)
    ask, given = _parted(text)
    asked = len(ask) if given else length
    raw = encode(ask)
    signals, opening = CUES.hear(ask, raw)
    signals["long"] = bisect_left(_LENGTHS, asked << dense)
    signals["given"] = min(2, bisect_left(_LENGTHS, (length - asked) << dense))
    _add_look(signals, ask, raw, asked)
    if given and (code := _code(_marks(encode(given)))):
        signals["code"] = min(3, signals["code"] + code)
        signals["given"] = 0
    _settle(signals, opening, asked, length)
    return signals


def _is_dense(text: str) -> bool:
    sample = text[:_SHORT]
    return len(sample.encode("utf-8", "replace")) > 2 * len(sample)


def _parted(text: str) -> tuple[str, str]:
    """Part what is asked from the text it is asked about, if there is one, by the line breaks."""
    text = text.strip()
    first, _, rest = text.partition("\n")
    between, _, last = rest.rpartition("\n")
    # Prose after code is the asking, at any length; after prose it may be the end of a letter.
    closes = len(last) <= _LINE or "```" in between
    if len(first) <= _LINE:
        ask, given = (f"{first}\n{last}", between) if closes else (first, rest)
    else:
        ask, given = (last, text[: -len(last)]) if closes and last else (text, "")
    return (ask, given) if len(given) >= _GIVEN else (text, "")


def _marks(raw: bytes) -> bytes:
    """Return the punctuation and line breaks alone."""
    return raw.translate(None, _NOT_MARKS)


def _code(marks: bytes) -> int:
    """Return 0 to 3 points for looking like code."""
    pairs = marks.count(b"{") + marks.count(b"()")
    signs = min(2, marks.count(b"=")) + min(1, marks.count(b";"))
    return bisect_right(_CODE_MARKS, 3 * marks.count(b"```") + 2 * pairs + signs)


def _add_look(signals: Signals, text: str, raw: bytes, length: int) -> None:
    """Add what punctuation and digits tell; each kind is picked out by one pass in C."""
    marks = _marks(raw)
    clauses = marks.count(b",") + 2 * marks.count(b";")
    if not text.isascii():
        clauses += sum(map(text.count, _WIDE_COMMAS))
    items = marks.count(b"\n-") + marks.count(b"\n*") + marks.count(b"\n.")
    parts = bisect_right(_CLAUSES, clauses) + bisect_right(_ITEMS, items) + (marks.count(b"?") > 1)
    signals["constraints"] = min(5, signals["constraints"] + parts)
    code = _code(marks)
    signals["code"] = min(3, signals["code"] + code)
    if code < 2 and (b"^" in marks or b"\\" in marks):
        signals["math"] = min(6, signals["math"] + 2)
    reckoned = signals["code"] < 2 and length > _LENGTHS[0]
    signals["figures"] = 2 if reckoned and len(raw.translate(None, _NOT_DIGITS)) >= _DIGITS else 0


def _settle(signals: Signals, opening: set[str], asked: int, length: int) -> None:
    """Let signals give way to each other."""
    if length > _SHORT:
        signals["chat"] = signals["onward"] = 0
    thought = signals["reasoning"] or signals["proof"]
    if thought or signals["task"] or signals["code"] > 2 or asked > _LENGTHS[1]:
        signals["fact"] = 0
    # Light work is outgrown where it is to be done on code, or is asked for last, as one thing more.
    if signals["light"] and (signals["code"] > 2 or (thought and "light" not in opening)):
        signals["light"] = 0
    if signals["light"] or signals["chat"] or signals["summary"]:
        for name in _MATERIAL:
            signals[name] //= 2
    if signals["summary"]:
        signals["task"] = 0
        signals["reasoning"] //= 2


def _add_history(signals: Signals, earlier: list[Message]) -> None:
    """Add what the talk has come to; small talk leaves it."""
    onward = signals.pop("onward")
    signals["history"] = 0
    if signals["chat"] and not onward:
        return
    score = 0
    for message in earlier[:_STEPS]:
        before = _weigh(_read(message, _GLANCE, _GLANCE))
        if not before.pop("onward"):
            score = max(0, sum(before.values()))
            break
    signals["history"] = score if onward else min(4, (score + 1) // 2)
    if onward:
        signals["chat"] = 0
    if score:
        signals["fact"] = 0


def _add_company(signals: Signals, call: ChatRequest, last: Message) -> None:
    """Add what comes with the words: tools, pictures, files, the client's wish, sheer size."""
    working = bool(call.messages) and call.messages[-1].role in {"tool", "function"}
    signals["tools"] = _TOOL_POINTS[bisect_right(_TOOLS, len(call.tools))] + working
    signals["image"] = 2 if call.images else 0
    signals["file"] = 2 if OpaquePart in map(type, _parts(last)) else 0
    signals["effort"] = 3 if call.reasoning_effort in _EFFORTS else 0
    size = bisect_right(_BYTES, call.prompt_bytes) + bisect_right(_MESSAGES, len(call.messages))
    signals["context"] = min(2, size)


def _reason(tier: Tier, signals: Signals, length: int) -> str:
    strongest = sorted(filter(signals.get, signals), key=lambda name: -abs(signals[name]))
    return f"{tier}:{'+'.join(strongest[:4]) or 'plain'};len={length}"
