"""What is tortured: the real supervisor, the real part that controls, and spenders where edges would be.

python -m tests.torture.stand CONFIG NOTES ACCOUNT ...
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from proxy import workers
from proxy.observe import log
from proxy.process.supervisor import Birth, Run, Supervisor
from proxy.settings import Settings, load

from .notes import Times
from .spender import spend


def noting(run: Run, times: Times, birth: Birth) -> int:
    """Control, which notes when it is ready."""

    def ready(text: str) -> None:
        birth.ready(text)
        times.note("ready", time.time_ns() // 1_000_000)

    return run(birth._replace(ready=ready))


def _stop_at_the_end_of(pipe: int) -> None:
    """Have the kernel ask us to stop when a pipe's other end is closed: its owner may have been killed."""
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGTERM)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def main(config: Path, notes: Path, accounts: list[int]) -> int:
    """Run until told to stop, or until who started us has died."""
    _stop_at_the_end_of(sys.stdin.fileno())

    def read() -> Settings:
        return load(config, os.environ, here=Path.cwd())

    def greet(_: str) -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    settings = read()
    with log.speaking(settings, "supervisor", forks=True), workers._opened(settings) as sockets:
        control = partial(workers._control, settings, read, sockets)
        return Supervisor(
            partial(noting, control, Times(notes)),
            [
                partial(spend, settings, sockets, number, accounts, notes)
                for number in range(settings.server.workers)
            ],
            drain=settings.server.drain,
            greet=greet,
            reload=list,
            stopping=sockets.close_clients,
        ).run()


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2]), [int(each) for each in sys.argv[3:]]))
