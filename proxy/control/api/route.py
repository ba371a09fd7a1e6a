"""A row of the table of routes: what is asked, by whom it may be, and what is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct

from .origin import SAFE
from .refusal import Code

Role = Literal["open", "user", "admin", "signed"]
"""`open`: anybody; `signed`: another machine that proves itself, and no browser."""
Credits = Annotated[Decimal, Meta(description="Credits, exact")]
"""Written as a number with all its digits."""
_NO_NUL: Final = r"^[^\x00]*$"
"""PostgreSQL keeps no text with a NUL in it (its manual, section 8.3)."""
Word = Annotated[str, Meta(max_length=256, pattern=_NO_NUL)]
Text = Annotated[str, Meta(max_length=4096, pattern=_NO_NUL)]
LARGEST: Final = 2**53
"""Numbers beyond it are not the same to everybody who reads JSON (RFC 8259 section 6)."""
Id = Annotated[int, Meta(ge=0, le=LARGEST)]


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is sent: these fields and no others."""

    def given(self) -> dict[str, Any]:
        """Return the fields that were sent."""
        found = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in found.items() if value is not UNSET}


class Query(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands behind the question mark: these fields and no others."""


class Answer(Struct, frozen=True, kw_only=True):
    """What is answered: these fields, whatever else the office told."""


class Done(Answer, frozen=True, kw_only=True):
    """It is done."""

    ok: bool = True


@dataclass(frozen=True, slots=True)
class File:
    """An answer that is no JSON."""

    content: bytes
    media_type: str
    name: str


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. The handler's name is the operation's, its first line the summary."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    """As Quart writes it: `<int:id>`."""
    handler: Callable[..., Awaitable[Any]]
    answer: type[Answer]
    tag: str
    role: Role = "user"
    body: type[Body] | None = None
    query: type[Query] | None = None
    fresh: bool = False
    """It needs a password that was given in the last ten minutes."""
    always: bool = False
    """It may be done with a password that has to be replaced."""
    free: bool = False
    """It leaves nothing behind that stays, and may be asked as often as somebody likes."""
    status: int = 200
    also: tuple[str, ...] = ()
    """Further media types of the answer."""
    errors: tuple[Code, ...] = ()
    """What else may come of it than of any route like it."""

    @property
    def paced(self) -> bool:
        """Whether an account may ask it so often and no more."""
        return not self.safe and self.role == "user" and not self.free

    @property
    def safe(self) -> bool:
        """Whether it changes nothing."""
        return self.method in SAFE
