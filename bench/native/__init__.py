"""The two C programs: `upstream`, a mock provider, and `load`, a closed-loop driver.

They are in C so that on a small machine the tools are not what is measured. Compiled on first use, and again
when their source is newer; each file's head says how it is used by hand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent
BUILD = SOURCES / "build"


class ToolchainError(RuntimeError):
    """There is no C compiler, or it refused a tool."""


def tool(name: str, build: Path = BUILD) -> Path:
    """The executable of one tool, compiled if need be."""
    source, program = SOURCES / f"{name}.c", build / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        _compile(source, program)
    return program


def _compile(source: Path, program: Path) -> None:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise ToolchainError("no C compiler: install one (Debian: gcc) or set CC")
    program.parent.mkdir(parents=True, exist_ok=True)
    # Built beside and then renamed, so that two first runs at once do not disturb each other.
    unfinished = program.with_suffix(f".{os.getpid()}")
    command = [compiler, "-O2", "-Wall", "-o", str(unfinished), str(source), "-lm"]
    # With TLS where OpenSSL's headers are, else without: asked for it, a tool then says what is missing.
    for with_tls in (["-DWITH_TLS", "-lssl", "-lcrypto"], []):
        done = subprocess.run([*command, *with_tls], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode == 0:
            unfinished.replace(program)
            return
    raise ToolchainError(f"{' '.join(command)}\n{done.stderr}")
