"""Programs that only some machines have, and the tests that need them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

_TOOLS: Final = Path(__file__).parents[1] / ".tools" / "bin"


def tool(name: str, target: str = ".tools/.ready") -> str:
    """Return where a program is: ours, which `make target` gets, or the machine's.

    The test is left out without it, and fails where all have to run.
    """
    found = _TOOLS / name
    path = str(found) if found.exists() else shutil.which(name)
    if path is None and os.environ.get("HEADRACE_TESTS") == "all":
        pytest.fail(f"{name} is not here: `make {target}` gets it")
    if path is None:
        pytest.skip(f"{name} is not here")
    return path
