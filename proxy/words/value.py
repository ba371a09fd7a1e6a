"""Values: frozen, slotted dataclasses that cost little to make.

`dataclass(frozen=True)` sets each field of a new instance by a call, which makes a record of twenty fields
ten times as dear as one that may be changed, and a request makes two dozen. A value is such a dataclass to
the type checker, which refuses to change it; at run time nothing stands in the way, and nothing is paid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True)
def value(kind: type[_T]) -> type[_T]:
    """Make of a class a dataclass with slots, that is compared and hashed by its fields."""
    return dataclass(slots=True, unsafe_hash=True)(kind)
