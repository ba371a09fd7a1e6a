"""An answer as blocks that stand one after the other: how Anthropic's and OpenAI's newer API both write it.

Events say what came, of which kind; here they become steps: a block opens, grows, closes, and only then
does the next one open. Fragments of several tool calls may come mixed; what belongs to a later call waits
until the arguments of the one under way are whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import orjson

from proxy.words.chat import (
    Event,
    Finished,
    ImageDelta,
    ReasoningDelta,
    ReasoningPart,
    ReasoningSealed,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)

Kind = Literal["text", "refusal", "reasoning", "redacted", "call", "image"]


class Block:
    """One block.

    Attributes:
        id, name: of a call; `id` is empty where the upstream gave none.
        position: of a call, as the upstream counts them.
        signature: the vendor's seal on a call (`ToolCallDelta.signature`).
        seal: reasoning as it has to come back, once it is over.
    """

    __slots__ = ("_pieces", "id", "index", "kind", "name", "position", "seal", "signature")

    def __init__(self, index: int, kind: Kind, text: str = "") -> None:
        self.index = index
        self.kind = kind
        self.id = ""
        self.name = ""
        self.position = -1
        self.signature: str | None = None
        self.seal: ReasoningPart | None = None
        self._pieces = [text] if text else []

    @property
    def text(self) -> str:
        """All of it: text, a call's arguments, an image's URL."""
        return "".join(self._pieces)

    @property
    def whole(self) -> bool:
        """Whether a call's arguments are complete JSON."""
        try:
            orjson.loads(self.text)
        except ValueError:
            return False
        return True

    def grow(self, text: str) -> None:
        """Add a piece."""
        self._pieces.append(text)


class Step(NamedTuple):
    """What happens to a block; `text` is what it grows by."""

    verb: Literal["open", "grow", "close"]
    block: Block
    text: str = ""


class Blocks:
    """The blocks of one answer, of which there is one choice.

    Attributes:
        all: every block so far.
        model: as the upstream names it, once it has.
        reason: why the answer ended, once it has.
    """

    __slots__ = ("_open", "_seen", "_waiting", "all", "model", "reason")

    def __init__(self) -> None:
        self.all: list[Block] = []
        self.model = ""
        self.reason: str | None = None
        self._open: Block | None = None
        self._seen: set[int] = set()
        self._waiting: list[ToolCallDelta] = []

    def feed(self, events: Iterable[Event]) -> list[Step]:
        """Take events; return the steps they come to."""
        steps: list[Step] = []
        for event in events:
            match event:
                case TextDelta():
                    self._say("text", event.text, steps)
                case ToolCallDelta():
                    self._call(event, steps)
                case ReasoningDelta():
                    self._say("reasoning", event.text, steps)
                case ReasoningSealed():
                    self._seal(event.part, steps)
                case RefusalDelta():
                    self._say("refusal", event.text, steps)
                case ImageDelta():
                    self._alone("image", event.url, steps)
                case Started():
                    self.model = event.model
                case Finished():
                    self.reason = self.reason or event.reason
                case _:
                    pass
        return steps

    def says(self) -> Block | None:
        """Return the block of text that is open, if one is."""
        return self._open if self._open is not None and self._open.kind == "text" else None

    def end(self) -> list[Step]:
        """Close what is open."""
        steps: list[Step] = []
        self._close(steps)
        return steps

    def adopt(self, index: int, kind: Kind | None) -> None:
        """Take note of a block that opened elsewhere, or with None of one that closed.

        For an answer whose payloads pass as they came: should events alone follow, they go on from there.
        """
        if kind is None:
            self._open = None
            return
        while len(self.all) <= index:
            self.all.append(Block(len(self.all), kind))
        self._open = self.all[index]
        if kind == "call":
            self._open.position = len(self._seen)
            self._seen.add(self._open.position)

    def _begin(self, kind: Kind, text: str = "") -> Block:
        block = self._open = Block(len(self.all), kind, text)
        self.all.append(block)
        return block

    def _close(self, steps: list[Step]) -> None:
        """Close the open block, and let whatever waited for it have its turn."""
        self._shut(steps)
        while self._waiting:
            self._release(steps)
            self._shut(steps)

    def _shut(self, steps: list[Step]) -> None:
        if self._open is not None:
            steps.append(Step("close", self._open))
            self._open = None

    def _release(self, steps: list[Step]) -> None:
        """Go on with the call that has waited longest."""
        waiting, position = self._waiting, self._waiting[0].position
        self._waiting = [event for event in waiting if event.position != position]
        for event in waiting:
            if event.position == position:
                self._grow_call(event, steps)

    def _say(self, kind: Kind, text: str, steps: list[Step]) -> None:
        if self._open is None or self._open.kind != kind:
            if not text and kind != "reasoning":
                return
            self._close(steps)
            steps.append(Step("open", self._begin(kind)))
        self._grow(text, steps)

    def _grow(self, text: str, steps: list[Step]) -> None:
        if text and self._open is not None:
            self._open.grow(text)
            steps.append(Step("grow", self._open, text))

    def _seal(self, part: ReasoningPart, steps: list[Step]) -> None:
        if part.redacted is not None:
            self._alone("redacted", part.redacted, steps)
            self.all[-1].seal = part
            return
        if self._open is None or self._open.kind != "reasoning":
            self._close(steps)
            steps.append(Step("open", self._begin("reasoning")))
        if self._open is not None:
            self._open.seal = part
        self._close(steps)

    def _alone(self, kind: Kind, text: str, steps: list[Step]) -> None:
        """Take a block that comes in one piece."""
        self._close(steps)
        steps.append(Step("open", self._begin(kind, text)))
        self._close(steps)

    def _call(self, event: ToolCallDelta, steps: list[Step]) -> None:
        held = self._open
        if held is None or held.kind != "call" or held.position == event.position:
            self._grow_call(event, steps)
        elif event.position not in self._seen or self._waits(event.position):
            self._waiting.append(event)
        while self._waiting and self._open is not None and self._open.whole:
            self._shut(steps)
            self._release(steps)

    def _waits(self, position: int) -> bool:
        return any(event.position == position for event in self._waiting)

    def _grow_call(self, event: ToolCallDelta, steps: list[Step]) -> None:
        if self._open is None or self._open.kind != "call":
            if event.position in self._seen:
                return  # a fragment after the call's end, which can add nothing to complete arguments
            self._shut(steps)
            self._seen.add(event.position)
            block = self._begin("call")
            block.id, block.name = event.id or "", event.name or ""
            block.position, block.signature = event.position, event.signature
            steps.append(Step("open", block))
        self._grow(event.arguments, steps)
