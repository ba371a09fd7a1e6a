"""Debian's Chromium, driven by Playwright: where it is, how it is started, how a page is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.tools import tool

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 15_000.0
"""What a page may take for anything, in milliseconds."""
_ARGUMENTS: Final = (
    "--no-sandbox",  # containers run the tests as root
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)

Scheme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class View:
    """What somebody looks through: a window in CSS pixels, and the colours it is set to."""

    device: str
    width: int
    height: int
    scheme: Scheme = "light"
    still: bool = False
    """Motion is not wanted."""

    @property
    def phone(self) -> bool:
        """Whether fingers touch it."""
        return self.width < 600

    def __str__(self) -> str:
        return f"{self.device}-{self.scheme}"


DESKTOP: Final = View("desktop", 1280, 800)
PHONE: Final = View("phone", 390, 844)
DEVICES: Final = pytest.mark.parametrize("view", [DESKTOP, PHONE], ids=["desktop", "phone"])
VIEWS: Final = (
    DESKTOP,
    View("desktop", 1280, 800, "dark"),
    PHONE,
    View("phone", 390, 844, "dark"),
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium; the tests are left out without one, where not all have to run."""
    path = tool("chromium", ".tools/.chromium")
    with _stock_loop(), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=_ARGUMENTS, timeout=60_000)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def _stock_loop() -> Iterator[None]:
    """Let the driver make a plain asyncio loop: trio-asyncio, once imported, would make one of Trio's."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
    try:
        yield
    finally:
        asyncio.set_event_loop_policy(before)


def context(browser: Browser, view: View) -> BrowserContext:
    """Open a window with nothing remembered: no cookie, no cache."""
    made = browser.new_context(
        viewport={"width": view.width, "height": view.height},
        device_scale_factor=2 if view.phone else 1,
        has_touch=view.phone,
        is_mobile=view.phone,
        color_scheme=view.scheme,
        reduced_motion="reduce" if view.still else "no-preference",
        locale="en-GB",
        timezone_id="Europe/Berlin",
    )
    made.set_default_timeout(PATIENCE)
    made.set_default_navigation_timeout(PATIENCE)
    return made
