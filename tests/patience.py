"""How long a test waits for what must come: a guard against hanging, never a claim of speed."""

from typing import Final

PATIENCE: Final = 20.0
"""Seconds. Longer than a busy machine stands still, and shorter than what a test must not wait for."""
LONG: Final = 300.0
"""Seconds for a whole test of many requests or processes."""
