"""What figures depend on, beside what is measured: the machine and the packages."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("headrace", "trio", "hypercorn", "quart-trio", "httpx", "httpcore", "h11", "httptools")


def this_machine() -> dict[str, Any]:
    """Return it, as it is saved with every result."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
