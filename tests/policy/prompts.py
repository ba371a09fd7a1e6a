"""The labelled prompts the `auto` alias is judged by, and how well it does.

Tiers are labelled by the work an answer takes, not by its words. Simple: one step, a short known answer
or a mechanical change to a given text. Capable: composing, explaining, ordinary code, a plan, some sums,
any choice of a tool. Complex: proofs, hard mathematics, several files or causes at once, design and
judgement under several constraints, work for an agent of many steps.

A third of the prompts, chosen by a hash of the text, is held out: cues and weights are never tuned on
it. Run as `python -m tests.policy.prompts` for both figures; `--errors` lists what the tuned part gets wrong.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from proxy.dialects.openai_request import read_chat
from proxy.words.chat import ChatRequest

FILE: Final = Path(__file__).with_name("prompts.jsonl")
PIXEL: Final = "https://example.com/a.png"


class Prompt(NamedTuple):
    """One labelled request. `turns` are the earlier messages, the user's and the assistant's by turns."""

    text: str
    tier: str
    lang: str
    kind: str
    tools: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()
    system: str = ""
    images: int = 0

    @property
    def held_out(self) -> bool:
        """Whether the prompt belongs to the third that nothing is tuned on."""
        return hashlib.sha256(self.text.encode()).digest()[0] % 3 == 0

    def request(self) -> ChatRequest:
        """Return the request as the OpenAI dialect would read it."""
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.system}] if self.system else []
        for place, turn in enumerate(self.turns):
            messages.append({"role": "assistant" if place % 2 else "user", "content": turn})
        image = {"type": "image_url", "image_url": {"url": PIXEL}}
        parts = [{"type": "text", "text": self.text}, *[image] * self.images]
        messages.append({"role": "user", "content": parts if self.images else self.text})
        tools = [{"type": "function", "function": {"name": name}} for name in self.tools]
        return read_chat({"model": "auto", "messages": messages, **({"tools": tools} if tools else {})})


def load() -> list[Prompt]:
    """Read every labelled prompt."""
    return [Prompt(**orjson.loads(line)) for line in FILE.read_bytes().splitlines()]
