"""The log: one line for each thing an operator wants to know of, and never a key or an address in it.

What is as it should be goes to standard output, after the greeting; what is not, to standard error.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from proxy.policy.breaker import Key

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_log = logging.getLogger("headrace.health")


def begin() -> None:
    """Write what the loggers below `headrace` say from now on, from INFO upwards. Once a process."""
    usual, trouble = logging.StreamHandler(sys.stdout), logging.StreamHandler(sys.stderr)
    usual.addFilter(lambda record: record.levelno < logging.WARNING)
    trouble.setLevel(logging.WARNING)
    logger = logging.getLogger("headrace")
    for handler in (usual, trouble):
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def breaker_turned(key: Key, closed: bool) -> None:  # noqa: FBT001 - as `Breaker` calls it
    """Say that a deployment's breaker opened or closed; those of clients' own keys are their affair.

    A name may be a client's invention, so it is quoted.
    """
    deployment, key_id = key
    if key_id is None:
        if closed:
            _log.info("%r answers again: its breaker closed", deployment)
        else:
            _log.warning("%r fails: its breaker opened", deployment)
