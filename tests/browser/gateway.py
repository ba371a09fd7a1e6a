"""A gateway as a real process, without an event loop of ours: the driver of the browser has its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.process.place import Place, first_password

START = 60.0
STOP = 15.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that serves."""

    place: Place
    greeting: str
    """What its first start printed."""

    @property
    def url(self) -> str:
        """Where it serves."""
        found = re.search(r"serving on (\S+)\n", self.greeting)
        assert found is not None, self.greeting
        return found[1]

    @property
    def password(self) -> str:
        """The administrator's, good for one sign-in."""
        return first_password(self.greeting)

    def run(self, *args: str) -> Any:
        """Give the gateway a command; return what it answered."""
        command, options = self.place._how((*args, "--json"))
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, **options)
        return json.loads(done.stdout)


@contextmanager
def gateway(path: Path, more: str = "") -> Iterator[Gateway]:
    """Start a gateway in a new directory; stop it in the end, and expect it to be content."""
    path.mkdir(parents=True, exist_ok=True)
    place = Place(path)
    with place.config.open("a") as config:
        config.write(more)
    command, options = place._how(("serve",))
    out, err = path / "out", path / "err"
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(command, stdout=to_out, stderr=to_err, **options)
    try:
        until = time.monotonic() + START
        while "serving on" not in out.read_text():
            assert process.poll() is None, err.read_text()
            assert time.monotonic() < until, "it does not serve"
            time.sleep(0.01)
        yield Gateway(place, out.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP) == 0, err.read_text()
    finally:
        process.kill()
        process.wait()
