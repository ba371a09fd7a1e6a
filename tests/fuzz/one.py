"""One target, fuzzed in this process until libFuzzer ends it: `tests.fuzz` starts it."""

from __future__ import annotations

import sys
import time

import atheris

SLOW_SECONDS = 0.1


def main() -> None:
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["proxy"]):
        from .targets import TARGETS
    target = TARGETS[name]

    def one(data: bytes) -> None:
        started = time.process_time()
        target(data)
        took = time.process_time() - started
        assert took <= SLOW_SECONDS, f"{took:.3f} seconds"

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
