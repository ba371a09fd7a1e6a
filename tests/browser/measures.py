"""What a page costs and does: bytes, shifts, overflow, where the focus can go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page

DISTANCE: Final = 80
"""Milliseconds to a gateway that is not on the same machine, so that there is something to see meanwhile."""
_LOOK: Final = (Path(__file__).parent / "look.js").read_text()
_WATCH_SHIFTS: Final = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries().filter((each) => !each.hadRecentInput)) {
    const moved = entry.sources.map(({ node }) => node?.outerHTML?.slice(0, 80) ?? node?.nodeName);
    window.shifts.push([entry.value, ...moved]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""


@dataclass(slots=True)
class Weight:
    """What was transferred, heads and all."""

    bytes: int = 0
    requests: int = 0


@contextmanager
def weighing(page: Page) -> Iterator[Weight]:
    """Count what a page loads in the block, with nothing kept from before."""
    weight = Weight()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def finished(event: dict[str, Any]) -> None:
        weight.bytes += int(event["encodedDataLength"])
        weight.requests += 1

    session.on("Network.loadingFinished", finished)
    yield weight
    session.detach()


def from_afar(page: Page) -> None:
    """Put some distance between the page and the gateway, and note what moves meanwhile."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {"offline": False, "latency": DISTANCE, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", conditions)
    page.add_init_script(_WATCH_SHIFTS)


def shifts(page: Page) -> tuple[float, list[Any]]:
    """Return how far things were shifted without anybody's doing, and what was."""
    found: list[Any] = page.evaluate("window.shifts")
    return sum(shift[0] for shift in found), found


def beyond(page: Page) -> list[str]:
    """Return what makes the page scroll aside."""
    found: list[str] = _look(page, "beyond")
    return found


def moving(page: Page) -> list[str]:
    """Return what takes its time to change."""
    found: list[str] = _look(page, "moving")
    return found


def unreached(page: Page) -> tuple[list[str], list[str]]:
    """Go through a page by the Tab key; return what it does not come to, and what does not show its focus."""
    targets: dict[Any, str] = dict(_look(page, "targets"))
    hidden, reached = [], set()
    for _ in range(2 * len(targets) + 4):
        page.keyboard.press("Tab")
        target, shows = page.evaluate("look.focused()") or (None, True)
        if target not in reached and not shows:
            hidden.append(targets[target])
        reached.add(target)
        if reached >= targets.keys():
            break
    return [html for target, html in targets.items() if target not in reached], hidden


def _look(page: Page, question: str) -> Any:
    page.evaluate(_LOOK)
    return page.evaluate(f"look.{question}()")
