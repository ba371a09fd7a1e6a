"""A form that a client sent: its fields, and the one file in it."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from proxy.words.upload import Upload

from .fields import refuse


@dataclass(frozen=True, slots=True)
class Form:
    """Fields in the order they came, and a recording of `seconds`, as far as can be told."""

    fields: tuple[tuple[str, str], ...]
    upload: Upload
    filename: str
    content_type: str
    seconds: int

    def rest(self) -> bytes:
        """Return all but the file in one form of bytes, whichever boundary the parts came with."""
        return orjson.dumps([self.fields, self.filename, self.content_type, self.upload.length])

    def one(self, name: str) -> str | None:
        """Return the value of a field that may be there once. Raises GatewayError where there are more."""
        values = [value for field, value in self.fields if field == name]
        if len(values) > 1:
            refuse(name, "must be given once")
        return values[0] if values else None
