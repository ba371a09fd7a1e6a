"""A gateway of several processes: who they are, and who serves which connection."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from proxy.control.socket import ControlError, ask
from tests.patience import PATIENCE

from .place import Place, Served, wait_until


def parts(gateway: Served) -> dict[str, list[int]]:
    """The processes that live, by name: `control`, `edge 0` …"""
    found: dict[str, list[int]] = {}
    for pid in _children(gateway.process.pid):
        name = _name(pid)
        if name.startswith("headrace "):
            found.setdefault(name.removeprefix("headrace ").replace("contro", "control"), []).append(pid)
    return found


def part(gateway: Served, name: str) -> int:
    """The one process of that name."""
    (pid,) = parts(gateway)[name]
    return pid


async def killed(gateway: Served, name: str, how: signal.Signals = signal.SIGKILL) -> int:
    """Kill a part and wait until another has its place; return the other."""
    before = part(gateway, name)
    os.kill(before, how)
    await wait_until(lambda: _others(gateway, name, before))
    return part(gateway, name)


def _others(gateway: Served, name: str, before: int) -> bool:
    found = parts(gateway).get(name, [])
    return bool(found) and before not in found


def serves(pid: int, port: int) -> bool:
    """Whether a process has the server's end of the loopback connection from this port."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].partition(":")[2], 16) == port:
            inodes.add(fields[9])
    return not inodes.isdisjoint(_sockets(pid))


def _sockets(pid: int) -> set[str]:
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if match := re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink())):
                found.add(match[1])
    return found


def alive(pid: int) -> bool:
    """Whether a process runs, and is not merely unburied."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


async def figures_of(place: Place) -> dict[str, Any]:
    """Have whoever controls verify the ledger while everything runs. Raises ControlError and OSError."""
    socket = place.data / "control.sock"
    found: dict[str, Any] = await trio.to_thread.run_sync(ask, socket, "verify", {}, abandon_on_cancel=True)
    return found


async def eventually(
    place: Place, condition: Callable[[dict[str, Any]], bool], within: float = PATIENCE
) -> None:
    """Verify until a condition of the figures is so, in a ledger that is in order each time."""
    with trio.fail_after(within):
        while True:
            # Whoever controls may just be away.
            with suppress(ControlError, OSError):
                figures = await figures_of(place)
                assert figures["ok"], figures
                assert figures["drift_nanousd"] == 0
                if condition(figures):
                    return
            await trio.sleep(0.05)
