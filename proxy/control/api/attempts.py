"""How often somebody may try a password: counted for who is tried, and for whence. Pure: time is passed in.

Nothing is locked for longer than the window, whoever knocks.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from ipaddress import IPv6Address, ip_address
from typing import Final

WINDOW: Final = 15 * 60.0
PER_ACCOUNT: Final = 5
PER_ADDRESS: Final = 20
_REMEMBERED: Final = 20_000
"""Who and whence, at most; beyond it those who tried longest ago are forgotten."""
_HOME: Final = 64
"""Bits of an IPv6 address that are one household's."""


class Attempts:
    """Attempts of the last quarter of an hour."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Attempts of {len(self._times)}>"

    def take(self, now: float, address: str, who: str | None = None) -> float:
        """Count an attempt and return 0.0; or, where there were too many, the seconds until the next one.

        `now` is seconds of any clock that goes forward; `who` is tried, by whatever name, in small letters or
        capitals. One that is refused is not counted.
        """
        limits = [(_whence(address), PER_ADDRESS)]
        if who is not None:
            limits.append((who.casefold(), PER_ACCOUNT))
        wait = max(self._wait(name, most, now) for name, most in limits)
        if not wait:
            for name, _ in limits:
                self._times.setdefault(name, deque()).append(now)
                self._times.move_to_end(name)
            while len(self._times) > _REMEMBERED:
                self._times.popitem(last=False)
        return wait

    def forgive(self, address: str, who: str) -> None:
        """Forget what was tried for somebody, and an address' last attempt: the password was right."""
        self._times.pop(who.casefold(), None)
        times = self._times.get(_whence(address))
        if times:
            times.pop()

    def _wait(self, name: str, most: int, now: float) -> float:
        times = self._times.get(name)
        while times and times[0] <= now - WINDOW:
            times.popleft()
        return times[0] + WINDOW - now if times and len(times) >= most else 0.0


def _whence(address: str) -> str:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return f"address {address}"
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return f"network {int(found) >> (128 - _HOME):x}"
    return f"address {getattr(found, 'ipv4_mapped', None) or found}"
