"""Where a record of the standard library's loggers carries the fields of its line, beside its words."""

from __future__ import annotations

from typing import Final

SAID: Final = "said"
"""The name in `extra`: a mapping of fields that the log's lines have (`observe.lines.Said`)."""
