"""The gateway, one of whose processes dies at a named point: `python -m tests.torture.doomed …`.

The file that `DOOM` names says where, in a word or two. The first process that comes there removes it and
kills itself; nobody else does then. The points:

    open | sent | streams | mark BYTES | done, each `before` or `after` its slot is written
    free NAME, when the bank has the end of the request of that name
    send Admit | send Settle, when an edge has put it on the link
    submit Admit | submit Settle, when it waits at the bank's own desk
    commit before | commit after, in the transaction of the next batch
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proxy import app, workers
from proxy.bank.book import Book
from proxy.bank.desk import Desk, Ticket
from proxy.bank.ops import Op
from proxy.bank.record import Record
from proxy.bank.recorder import Recorder, Slot, Tariff
from proxy.process.desk import FarDesk
from proxy.process.recorder import recording
from proxy.settings import Settings, load

DOOM = "DOOM"


def at(point: str) -> None:
    """Die, if this is the point, once."""
    path = Path(os.environ[DOOM])
    try:
        if path.read_text() != point:
            return
        path.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


class DoomedRecorder:
    """A recorder that tells of every step."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    @property
    def epoch(self) -> int:
        """See `Recorder`."""
        return self._recorder.epoch

    def open(self, hold_id: str, when: float) -> Slot:
        """See `Recorder`."""
        at("open before")
        slot = DoomedSlot(self._recorder.open(hold_id, when))
        at("open after")
        return slot


@contextmanager
def doomed(directory: Path, worker: int, epoch: int) -> Iterator[Recorder]:
    """Record for the length of the block, telling of every step."""
    with recording(directory, worker, epoch) as recorder:
        yield DoomedRecorder(recorder)


class DoomedSlot:
    """One of its slots."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._name = ""

    @property
    def number(self) -> int | None:
        """See `Slot`."""
        return self._slot.number

    def sent(self, record: Record) -> None:
        """See `Slot`."""
        self._name = record.request_id
        at("sent before")
        self._slot.sent(record)
        at("sent after")

    def streams(self, record: Record, tariff: Tariff) -> None:
        """See `Slot`."""
        at("streams before")
        self._slot.streams(record, tariff)
        at("streams after")

    def mark(self, answer_bytes: int, reasoning_bytes: int, when: float) -> None:
        """See `Slot`."""
        at(f"mark {answer_bytes} before")
        self._slot.mark(answer_bytes, reasoning_bytes, when)
        at(f"mark {answer_bytes} after")

    def done(self, record: Record, *, settles: bool) -> None:
        """See `Slot`."""
        at("done before")
        self._slot.done(record, settles=settles)
        at("done after")

    def free(self) -> None:
        """See `Slot`."""
        at(f"free {self._name}")
        self._slot.free()


class DoomedConnection:
    """The writing connection, seen at its commits."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """See `sqlite3.Connection`."""
        if sql != "COMMIT":
            return self._connection.execute(sql, parameters)
        at("commit before")
        done = self._connection.execute(sql, parameters)
        at("commit after")
        return done


def _watched(submit: Callable[..., Ticket], name: str) -> Callable[..., Ticket]:
    def watched(desk: Any, op: Op, record: Record | None = None) -> Ticket:
        ticket = submit(desk, op, record)
        at(f"{name} {type(op).__name__}")
        return ticket

    return watched


def watch() -> None:
    """Put what tells of commits and submissions in the place of what it tells of."""
    begin = Book.__init__

    def begun(book: Book, connection: Any) -> None:
        watched: Any = DoomedConnection(connection)
        begin(book, watched)

    for kind, name, there in (
        (Book, "__init__", begun),
        (Desk, "submit", _watched(Desk.submit, "submit")),
        (FarDesk, "submit", _watched(FarDesk.submit, "send")),
    ):
        setattr(kind, name, there)


def main() -> int:
    """Do as `headrace serve` does."""
    parser = argparse.ArgumentParser(prog="tests.torture.doomed")
    parser.add_argument("serve")
    parser.add_argument("--config", type=Path)
    config = parser.parse_args().config

    def read() -> Settings:
        return load(config, os.environ, here=Path.cwd())

    watch()
    settings = read()
    if settings.server.workers == 1:
        return app.serve(settings, recording=doomed)
    return workers.serve_workers(settings, read, doomed)


if __name__ == "__main__":
    raise SystemExit(main())
