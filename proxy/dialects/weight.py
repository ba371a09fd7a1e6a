"""What a prompt weighs, added up while it is read."""

from __future__ import annotations

from typing import Any

import orjson

from proxy.words.usage import text_size


class Weight:
    """Text in UTF-8 bytes, images by number."""

    __slots__ = ("images", "text")

    def __init__(self) -> None:
        self.text = 0
        self.images = 0

    def add_text(self, text: str) -> None:
        """Count text."""
        self.text += text_size(text)

    def add_json(self, value: Any) -> None:
        """Count what a model may read as JSON: a schema, or a member there is no word for."""
        self.text += len(orjson.dumps(value))
