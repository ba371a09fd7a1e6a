"""What a request used: tokens in disjoint classes, other units, and how text is counted where nobody did.

Providers overlap their figures (OpenAI counts cached tokens inside the prompt, Anthropic outside);
each wire makes them disjoint, so that a price is one multiplication per class and the sum is the total.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

DEFAULT_RATIO = 4000
"""Thousandths of a UTF-8 byte per token: four bytes, the usual figure for English text."""

MAX_TOKENS = 10_000_000
"""The sanity cap: a reported figure beyond it, the largest context window there is, is not believed."""


Funding = Literal["credits", "byok"]
"""Who pays the provider: we, out of the account's credits, or the account, by a key of its own."""


class Usage(NamedTuple):
    """Tokens of one request, each counted in exactly one class, and what is sold by other units."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    input_image: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    characters: int = 0
    """Of a text that is to be spoken, in code points."""
    seconds: int = 0
    """Of sound that was listened to, rounded up."""
    images: int = 0
    """That were made."""

    @property
    def prompt_tokens(self) -> int:
        """All that went in."""
        return sum(self[:6])

    @property
    def completion_tokens(self) -> int:
        """All that came out, reasoning included."""
        return sum(self[6:10])

    @property
    def total_tokens(self) -> int:
        """All of it; units that are no tokens do not count."""
        return sum(self[:10])

    @property
    def asked(self) -> Usage:
        """What is owed for the question alone, whatever becomes of the answer.

        Images asked for are: what is sent before they are done shows as much.
        """
        return Usage(
            *self[:6],
            output_image=self.output_image,
            characters=self.characters,
            seconds=self.seconds,
            images=self.images,
        )


def count(text_bytes: int, ratio: int) -> int:
    """Return the tokens in that many UTF-8 bytes of text, rounded up.

    `ratio` is thousandths of a byte per token, frozen for a request. Counting total bytes, not chunk
    by chunk, makes the figure independent of how an upstream cuts its stream.
    """
    return -(-text_bytes * 1000 // ratio)


def text_size(text: str) -> int:
    """Return the UTF-8 length of `text` without encoding it where it is ASCII."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


UNITS: Final = frozenset(Usage._fields[10:])
"""Classes that are no tokens."""
