"""The bank as an edge process has it: its desk and its books over a link to the process that controls.

The link is made anew whenever it breaks. What was remembered of keys is forgotten at each beginning, for
what was said meanwhile was said to nobody; what running requests have to hear of is said again.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Self

import trio

from proxy.bank.store import StoreError
from proxy.words.account import Generation, Standing
from proxy.words.idempotency import Reply
from proxy.words.principal import OpenedKey, Principal
from proxy.words.revocation import Revocation

from .books import pack_question, unpack_answer
from .cable import Cable
from .desk import FarDesk

Dial = Callable[[], socket.socket]
"""Connects to the controlling process; raises OSError. Unix sockets connect at once."""
AGAIN: Final = 0.05
"""Seconds between attempts at connecting."""
BEAT: Final = 0.5
"""Seconds between two signs of life."""
PATIENCE: Final = 10.0
"""Seconds without a link, after which running streams are told that there is no more credit to be had."""


class Branch:
    """One edge's link, to be kept by `run`.

    Attributes:
        desk: the way to the bank.
        pepper: what keys are hashed with.
    """

    def __init__(self, dial: Dial, worker: int, epoch: int, pepper: bytes) -> None:
        """Say who we are: the number of our place, and that of our life in it."""
        self.desk = FarDesk()
        self.pepper = pepper
        self._dial = dial
        self._who = worker, epoch
        self._heard: tuple[str, int] = ("", 0)
        """The life of the other end that we heard last, and its last revocation."""
        self._cable: Cable | None = None
        self._asked: dict[int, _Asked] = {}
        self._number = 0
        self._heeded: dict[str, Callable[..., None]] = {}
        self._handlers: dict[str, Callable[..., None]] = {
            "result": self.desk.answered,
            "refused": self._refused,
            "answer": self._answered,
            "failed": self._failed,
            "event": self._event,
            "revoked": self._revoked,
        }

    def heed(self, event: str, told: Callable[..., None]) -> None:
        """Call `told` with an event's particulars whenever it comes."""
        self._heeded[event] = told

    @property
    def enquiries(self) -> Self:
        """What the books say: asked here as well."""
        return self

    @property
    def replies(self) -> Self:
        """Answers that were kept: asked here as well."""
        return self

    def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` after every change to what keys stand for, and whenever one may have been missed."""
        self.heed("forget", changed)

    def watch_ends(self, ended: Callable[[Revocation], None]) -> None:
        """Call `ended` of every key, project and account whose running requests are to end."""
        self.heed("revoked", lambda *particulars: ended(Revocation(*particulars)))

    def tell(self, name: str, *particulars: Any) -> None:
        """Tell the other end something, if there is one."""
        if self._cable is not None:
            self._cable.put(("tell", name, particulars))

    async def wait_told(self) -> None:
        """Wait until the bank has answered everything, and what was told is on its way."""
        await self.desk.wait_idle()
        if self._cable is not None:
            await self._cable.wait_sent()

    async def principal(self, digest: bytes) -> Principal | None:
        """Return whom a key's digest stands for. Raises StoreError."""
        found: Principal | None = await self._ask("principal", digest)
        return found

    async def standing(self, principal: Principal) -> Standing | None:
        """Return where a key stands. Raises StoreError."""
        found: Standing | None = await self._ask("standing", principal)
        return found

    async def generation(self, principal: Principal, generation_id: str) -> Generation | None:
        """Return what became of a request of the key's account. Raises StoreError."""
        found: Generation | None = await self._ask("generation", principal, generation_id)
        return found

    async def opened(self, account: int, ids: Sequence[int]) -> tuple[OpenedKey, ...]:
        """Open an account's own keys for a request. Raises StoreError."""
        found: tuple[OpenedKey, ...] = await self._ask("opened", account, ids)
        return found

    async def reply(self, account: int, name: str, hold_id: str) -> Reply | None:
        """Return an answer that was kept, if it still is. Raises StoreError."""
        found: Reply | None = await self._ask("reply", account, name, hold_id)
        return found

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the link, until cancelled; started once it is made for the first time."""
        cable, messages = await self._connect()
        task_status.started()
        while True:
            await self._keep(cable, messages)
            with trio.move_on_after(PATIENCE) as patience:
                cable, messages = await self._connect()
            if patience.cancelled_caught:
                self.desk.give_up()
                cable, messages = await self._connect()

    async def _connect(self) -> tuple[Cable, list[Any]]:
        """Return a link whose other end has said hello, and what it said next.

        It is the hello that counts: the queue for connections outlives who empties it.
        """
        while True:
            with suppress(OSError, EOFError):
                cable = Cable(self._dial())
                try:
                    return cable, await self._greeted(cable)
                except BaseException:
                    cable.close()
                    raise
            await trio.sleep(AGAIN)

    async def _greeted(self, cable: Cable) -> list[Any]:
        """Introduce ourselves, and return what came after the answer. Raises EOFError."""
        messages: list[Any] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cable.run)
            cable.put(("hello", *self._who, self._heard))
            with suppress(EOFError):
                messages = await cable.receive()
            nursery.cancel_scope.cancel()
        if not messages:
            raise EOFError
        [[_hello, life], *rest] = messages
        if life != self._heard[0]:
            self._heard = life, 0
        return rest

    async def _keep(self, cable: Cable, messages: list[Any]) -> None:
        self._cable = cable
        self._event("forget", ())
        self.desk.linked(cable)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cable.run)
            nursery.start_soon(_beat, cable)
            try:
                while True:
                    for name, *particulars in messages:
                        self._handlers[name](*particulars)
                    messages = await cable.receive()
            except EOFError:
                nursery.cancel_scope.cancel()
            finally:
                self._lose(cable)

    def _lose(self, cable: Cable) -> None:
        cable.close()
        self._cable = None
        self.desk.lost()
        for asked in self._asked.values():
            asked.fail("the link to the ledger's process broke")

    async def _ask(self, name: str, *arguments: Any) -> Any:
        """Ask, and wait for the answer. Raises StoreError."""
        if self._cable is None:
            raise StoreError("there is no link to the ledger's process")
        self._number += 1
        number, asked = self._number, _Asked(name)
        self._asked[number] = asked
        self._cable.put(("ask", number, name, pack_question(name, arguments)))
        try:
            return await asked.wait()
        finally:
            del self._asked[number]

    def _answered(self, number: int, answer: Any) -> None:
        if (asked := self._asked.get(number)) is not None:
            asked.answer(answer)

    def _failed(self, number: int, why: str) -> None:
        if (asked := self._asked.get(number)) is not None:
            asked.fail(why)

    def _refused(self, number: int, known: bool, why: str) -> None:  # noqa: FBT001 - as it came
        self.desk.refused(number, known=known, why=why)

    def _revoked(self, number: int, particulars: Any) -> None:
        self._heard = self._heard[0], number
        self._event("revoked", particulars)

    def _event(self, name: str, particulars: Any) -> None:
        if (told := self._heeded.get(name)) is not None:
            told(*particulars)


async def _beat(cable: Cable) -> None:
    """Keep the lease: show that we live, until cancelled."""
    while True:
        cable.put(("beat",))
        await trio.sleep(BEAT)


class _Asked:
    """A question under way."""

    __slots__ = ("_answer", "_error", "_event", "_name")

    def __init__(self, name: str) -> None:
        self._name = name
        self._event = trio.Event()
        self._answer: Any = None
        self._error: StoreError | None = None

    def answer(self, answer: Any) -> None:
        self._answer = answer
        self._event.set()

    def fail(self, why: str) -> None:
        self._error = StoreError(why)
        self._event.set()

    async def wait(self) -> Any:
        await self._event.wait()
        if self._error is not None:
            raise self._error
        return unpack_answer(self._name, self._answer)
