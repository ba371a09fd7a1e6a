"""The items of a response, and the events that tell of each as it grows.

Source: platform.openai.com/docs/api-reference/responses-streaming and, for the shape of every event, the
models of github.com/openai/openai-python. Reasoning is told as a summary where the client asked for one, else
as the text it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .blocks import Block, Kind
from .responses_input import sealed

Item = dict[str, Any]
Told = list[tuple[str, dict[str, Any]]]
"""Events by name, without what is common to all."""
_PREFIXES: Final[Mapping[Kind, str]] = {
    "text": "msg",
    "refusal": "msg",
    "reasoning": "rs",
    "redacted": "rs",
    "call": "fc",
    "image": "ig",
}


class Items:
    """How the items of one answer are written.

    Args:
        generation_id: what their ids are made of.
        summary: reasoning is told as a summary.
        encrypted: reasoning is given in a form that can be sent back.
    """

    __slots__ = ("_encrypted", "_generation_id", "_summary")

    def __init__(self, generation_id: str, *, summary: bool, encrypted: bool) -> None:
        self._generation_id = generation_id
        self._summary = summary
        self._encrypted = encrypted

    def item(self, block: Block, status: str) -> Item:
        """Write an item; one `in_progress` is empty."""
        text = "" if status == "in_progress" else block.text
        item: Item = {"id": self._id(block), "type": "message", "status": status}
        match block.kind:
            case "call":
                return item | _call(block, self._call_id(block), text, status)
            case "reasoning" | "redacted":
                return {"id": item["id"], "type": "reasoning", **self._reasoning(block, text, status)}
            case "image":
                # The URL is a `data:` one; OpenAI gives the data alone.
                return item | {"type": "image_generation_call", "result": text.partition(",")[2] or None}
        content = [] if status == "in_progress" else [_part(block, text)]
        return item | {"role": "assistant", "content": content}

    def opened(self, block: Block) -> Told:
        """Tell that an item begins."""
        told: Told = [("response.output_item.added", {**_at(block), "item": self.item(block, "in_progress")})]
        part = self._empty(block)
        return told if part is None else [*told, part]

    def grown(self, block: Block, text: str) -> Told:
        """Tell of more of it."""
        name, place = self._growth(block)
        logprobs: dict[str, Any] = {"logprobs": []} if block.kind == "text" else {}
        return [(f"{name}.delta", {**self._place(block), **place, "delta": text, **logprobs})]

    def closed(self, block: Block, status: str) -> Told:
        """Tell that an item is over."""
        item = self.item(block, status)
        done = ("response.output_item.done", {**_at(block), "item": item})
        if block.kind in {"redacted", "image"}:
            return [done]
        name, place = self._growth(block)
        at = {**self._place(block), **place}
        match block.kind:
            case "call":
                said = {"arguments": item["arguments"], "name": block.name}
                return [(f"{name}.done", {**at, **said}), done]
            case "text":
                said = {"text": block.text, "logprobs": []}
            case "refusal":
                said = {"refusal": block.text}
            case _:
                said = {"text": block.text}
        part = {"part": self._part(block, block.text)}
        return [(f"{name}.done", {**at, **said}), (self._part_event(block, "done"), {**at, **part}), done]

    def _reasoning(self, block: Block, text: str, status: str) -> Item:
        told = [self._part(block, text)] if text and block.kind == "reasoning" else []
        item: Item = {"summary": told if self._summary else []}
        if not self._summary:
            item["content"] = told
        if self._encrypted and status != "in_progress" and block.seal is not None:
            item["encrypted_content"] = sealed(block.seal)
        return item

    def _empty(self, block: Block) -> tuple[str, dict[str, Any]] | None:
        """Tell that the one part of an item begins, where it has parts."""
        if block.kind in {"call", "redacted", "image"}:
            return None
        _, place = self._growth(block)
        part = {**self._place(block), **place, "part": self._part(block, "")}
        return self._part_event(block, "added"), part

    def _growth(self, block: Block) -> tuple[str, dict[str, int]]:
        """Return how the events of a kind begin, and where in an item they are."""
        match block.kind:
            case "text":
                return "response.output_text", {"content_index": 0}
            case "refusal":
                return "response.refusal", {"content_index": 0}
            case "call":
                return "response.function_call_arguments", {}
        if self._summary:
            return "response.reasoning_summary_text", {"summary_index": 0}
        return "response.reasoning_text", {"content_index": 0}

    def _part_event(self, block: Block, verb: str) -> str:
        summary = block.kind == "reasoning" and self._summary
        return f"response.reasoning_summary_part.{verb}" if summary else f"response.content_part.{verb}"

    def _part(self, block: Block, text: str) -> Item:
        if block.kind == "reasoning":
            return {"type": "summary_text" if self._summary else "reasoning_text", "text": text}
        return _part(block, text)

    def _place(self, block: Block) -> dict[str, Any]:
        return {"item_id": self._id(block), **_at(block)}

    def _id(self, block: Block) -> str:
        return f"{_PREFIXES[block.kind]}_{self._generation_id}_{block.index}"

    def _call_id(self, block: Block) -> str:
        return block.id or f"call_{self._generation_id}_{block.index}"


def _at(block: Block) -> dict[str, int]:
    return {"output_index": block.index}


def _part(block: Block, text: str) -> Item:
    if block.kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(block: Block, call_id: str, text: str, status: str) -> Item:
    # Of a function without parameters some models say nothing, which is no JSON.
    arguments = text if text or status != "completed" else "{}"
    call: Item = {"type": "function_call", "call_id": call_id, "name": block.name, "arguments": arguments}
    if block.signature is not None:
        # As Google's own compatibility has it; a client that sends the item back returns it.
        call["extra_content"] = {"google": {"thought_signature": block.signature}}
    return call
