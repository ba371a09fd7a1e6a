"""The log: one line for each thing an operator wants to know of, and never a key or an address in it.

What is as it should be, each finished request among it, goes to standard output, after the greeting; what is
not, to standard error. The modules of the gateway speak to the standard library's loggers below `headrace`;
here their words become lines (`lines`), scrubbed (`scrub`), and leave by a thread that alone waits for
whoever reads (`sink`).
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TextIO, cast

from proxy.policy.breaker import Key
from proxy.receipt import Receipt
from proxy.settings import Log as LogSettings
from proxy.settings import Settings
from proxy.words.errors import Trouble
from proxy.words.said import SAID

from . import names
from .lines import Form, Said, finished, is_terminal, stamp
from .scrub import Scrubber, secrets_of
from .sink import Direct, Sink, Threaded
from .tallies import Registry, gauge

LAST_LINES: Final = 2.0
"""Seconds that what has not been written has at the end."""
_log = logging.getLogger("headrace.health")
_store_log = logging.getLogger("headrace.store")
_settings_log = logging.getLogger("headrace.settings")
_process_log = logging.getLogger("headrace.process")
_ROOT: Final = 0


@dataclass(slots=True)
class Log:
    """A process's log: `usual` and `trouble` are where its lines go, `form` how they look."""

    usual: Sink
    trouble: Sink
    form: Form
    scrubber: Scrubber
    worker: str | None
    requests: bool = True
    """Whether each request has a line: not above the level `info`."""

    @property
    def dropped(self) -> int:
        """Lines that were not written because nobody took them."""
        return sum(sink.dropped for sink in self._sinks)

    @property
    def _sinks(self) -> list[Sink]:
        return [self.usual] if self.usual is self.trouble else [self.usual, self.trouble]

    def observe(self, receipt: Receipt) -> None:
        """Write the line of a finished request. Never waits."""
        if self.requests:
            self.usual.put(self.form.request, finished(receipt))

    def show(self, figures: Registry) -> None:
        """Count the lines that were dropped among a process's figures."""
        figures.read(lambda: gauge(names.LOG_DROPPED, self.dropped))

    def adopt(self, settings: Settings) -> None:
        """Go by other settings from now on."""
        rules = settings.log
        self.scrubber = Scrubber(secrets_of(settings))
        self.form = _form(rules, self.scrubber, self.worker)
        level = getattr(logging, rules.level.upper())
        logging.getLogger("headrace").setLevel(level)
        self.requests = level <= logging.INFO

    def close(self) -> None:
        """Wait a moment for what has not been written; for both sinks together."""
        ends = time.monotonic() + LAST_LINES
        for sink in self._sinks:
            sink.close(max(ends - time.monotonic(), 0.0))


class _Handler(logging.Handler):
    """Makes lines of what loggers are told."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._spoken = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line. Never waits, and never raises."""
        log = self._spoken
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        said: Said = {
            "timestamp": stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": log.scrubber.text(message),
        }
        said = cast("Said", {**said, **getattr(record, SAID, {})})
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            said["exception"] = log.scrubber.exception(error)
        sink = log.trouble if record.levelno >= logging.WARNING else log.usual
        sink.put(log.form.plain, said)


@contextmanager
def speaking(settings: Settings, worker: str | None = None, *, forks: bool = False) -> Iterator[Log]:
    """Write what the gateway's loggers say for the length of the block, and libraries' warnings.

    `worker` says which of several processes this is; one that `forks` has no thread for it, and drops what
    cannot be written at once. What ends the block by an exception that nobody expected is a line, too.
    Replaces the log of the process it was forked from.
    """
    log = _opened(settings, worker, forks=forks)
    handler = _Handler(log)
    ours, others = logging.getLogger("headrace"), logging.getLogger()
    before = ours.handlers[:], ours.level, ours.propagate
    ours.handlers[:] = [handler]
    ours.propagate = False
    log.adopt(settings)
    for each in [each for each in others.handlers if isinstance(each, _Handler)]:
        others.removeHandler(each)
    others.addHandler(handler)
    try:
        yield log
    except Exception as error:  # noqa: BLE001 - there is nobody above us but whoever reads the log
        _process_log.critical("ended by what nobody expected", exc_info=error)
        raise SystemExit(1) from None
    finally:
        log.close()
        others.removeHandler(handler)
        ours.handlers[:], ours.level, ours.propagate = before


def _opened(settings: Settings, worker: str | None, *, forks: bool) -> Log:
    scrubber = Scrubber(secrets_of(settings))
    form = _form(settings.log, scrubber, worker)
    kind = Direct if forks else Threaded
    out, err = (_descriptor(stream, number) for stream, number in ((sys.stdout, 1), (sys.stderr, 2)))

    def gap(missing: int) -> bytes:
        said: Said = {
            "timestamp": stamp(time.time()),
            "level": "warning",
            "logger": "headrace.log",
            "event": "lines are missing here: nobody took them",
            "dropped": missing,
        }
        return log.form.plain(said)

    usual: Sink = kind(out, gap)
    trouble: Sink = usual if _same(out, err) else kind(err, gap)
    log = Log(usual, trouble, form, scrubber, worker)
    return log


def _form(rules: LogSettings, scrubber: Scrubber, worker: str | None) -> Form:
    watched = is_terminal()
    console = watched if rules.format == "auto" else rules.format == "console"
    return Form(scrubber, console=console, colours=watched, worker=worker)


def _descriptor(stream: TextIO | None, otherwise: int) -> int:
    """Return where a stream writes to. Of one that was closed at the start something else has the number."""
    if stream is None:
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        return stream.fileno()
    except OSError:
        return otherwise


def _same(one: int, other: int) -> bool:
    """Tell whether two descriptors lead to the same place, where lines have to keep their order."""
    return os.path.sameopenfile(one, other)


def settings_remarked(remarks: Iterable[str]) -> None:
    """Say what is odd about the configuration."""
    for remark in remarks:
        _settings_log.warning(remark)


def upkeep_failed(reason: str) -> None:
    """Say what could not be kept or deleted; it is tried again."""
    _store_log.warning(reason)


def runs_as(user: int) -> None:
    """Warn where it is root: nothing here needs its rights, and whoever broke in would have them."""
    if user == _ROOT:
        _process_log.warning("runs as root, whose rights it does not need: give it a user of its own")


def breaker_turned(key: Key, trouble: Trouble | None) -> None:
    """Say that a deployment's breaker opened at a trouble, or closed (None).

    Those of clients' own keys are their affair. A name may be a client's invention, so it is quoted.
    """
    deployment, key_id = key
    if key_id is None:
        if trouble is None:
            _log.info("%r answers again: its breaker closed", deployment)
        else:
            _log.warning("%r fails (%s): its breaker opened", deployment, trouble)
