"""The log: one line for each thing an operator wants to know of, and never a key or an address in it.

What is as it should be goes to standard output, after the greeting; what is not, to standard error.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Final

from proxy.policy.breaker import Key
from proxy.words.errors import Trouble

_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_log = logging.getLogger("headrace.health")
_settings_log = logging.getLogger("headrace.settings")


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


def settings_remarked(remarks: Iterable[str]) -> None:
    """Say what is odd about the configuration."""
    for remark in remarks:
        _settings_log.warning(remark)


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
