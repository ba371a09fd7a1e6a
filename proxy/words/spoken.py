"""How large a chat was, and, for accounts that want it kept, what was said in it."""

from __future__ import annotations

from dataclasses import field

from .value import value


@value
class Sizes:
    """A chat that was relayed whole, in UTF-8 bytes of text; for estimates to learn from."""

    prompt_bytes: int
    turns: int
    """Messages of the prompt."""
    plain: bool
    """The prompt is text alone: nothing in it but text becomes tokens, in question or answer."""
    answer_bytes: int
    reasoning_bytes: int
    choices: int
    open_ended: bool
    """Nobody limited the length of the answer."""


@value
class Texts:
    """What was said; neither is shown in a `repr`."""

    prompt: str = field(repr=False)
    """The client's request, as JSON."""
    answer: str = field(repr=False)
