"""What the exchange asks of any request: chat now, embeddings, audio and images by the same door."""

from __future__ import annotations

from typing import Literal, Protocol

from .usage import Usage
from .wishes import Wishes

Kind = Literal["chat", "embeddings", "speech", "transcription", "images"]
"""What a model is asked to do."""


class Call(Protocol):
    """A request that can weigh itself. Wires encode it by its type."""

    @property
    def model(self) -> str:
        """The model id or alias the client asked for."""
        ...

    @property
    def kind(self) -> Kind:
        """What the model is asked to do."""
        ...

    @property
    def slow(self) -> bool:
        """Whether nothing of the answer comes before all of it was made."""
        ...

    @property
    def events(self) -> bool:
        """Whether the answer is a stream of events: it may hold comments, and tell of its own failure."""
        ...

    @property
    def stream(self) -> bool:
        """Whether the client reads the answer as it comes."""
        ...

    @property
    def max_tokens(self) -> int | None:
        """The client's own limit on the output of one choice."""
        ...

    @property
    def wishes(self) -> Wishes:
        """How it wants to be routed."""
        ...

    @property
    def choices(self) -> int:
        """How many answers were asked for."""
        ...

    def prompt_tokens(self, ratio: int) -> int:
        """Return the prompt's tokens by our own count."""
        ...

    def forecast(self, ratio: int, output_cap: int) -> Usage:
        """Return the usage to hold for; `output_cap` is tokens per choice where the client set none."""
        ...
