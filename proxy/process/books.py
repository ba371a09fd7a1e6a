"""What an edge process asks of the controlling one, besides operations of the bank.

A question is a method here and nothing else: its arguments and its answer cross by their types (`codec`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol, get_type_hints

from proxy.control.bank import Bank
from proxy.edge.lookups import Records
from proxy.exchange import Replies
from proxy.words.principal import OpenedKey, Principal

from .codec import pack, unpack


class Books(Records, Replies, Protocol):
    """The questions. All of them may raise StoreError."""

    async def principal(self, digest: bytes) -> Principal | None:
        """Return whom a key's digest stands for; None for unknown and revoked ones."""
        ...

    async def opened(self, account: int, ids: Sequence[int]) -> tuple[OpenedKey, ...]:
        """Open an account's own keys for a request; one that is gone is left out."""
        ...


class BankBooks:
    """The answers, from the bank in this process."""

    def __init__(self, bank: Bank) -> None:
        self.principal = bank.principal
        self.opened = bank.opened
        self.standing = bank.enquiries.standing
        self.generation = bank.enquiries.generation
        self.reply = bank.replies.reply


class _Question(NamedTuple):
    takes: tuple[Any, ...]
    gives: Any


def _question(method: Callable[..., Any]) -> _Question:
    *takes, gives = get_type_hints(method).values()
    return _Question(tuple(takes), gives)


_QUESTIONS: Final = {
    method.__name__: _question(method)
    for method in (Books.principal, Books.standing, Books.generation, Books.opened, Books.reply)
}


def pack_question(name: str, arguments: tuple[Any, ...]) -> list[Any]:
    """Return the arguments of a question as JSON's values."""
    return [pack(kind, each) for kind, each in zip(_QUESTIONS[name].takes, arguments, strict=True)]


def unpack_answer(name: str, answer: Any) -> Any:
    """Return what a question was answered."""
    return unpack(_QUESTIONS[name].gives, answer)


async def answer(books: Books, name: str, arguments: list[Any]) -> Any:
    """Ask the books, with arguments as they came; return the answer as it goes. Raises StoreError."""
    question = _QUESTIONS[name]
    values = [unpack(kind, each) for kind, each in zip(question.takes, arguments, strict=True)]
    return pack(question.gives, await getattr(books, name)(*values))
