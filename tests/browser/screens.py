"""Everything there is to see: pages, tabs of pages, tabs of the settings dialog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, Page

from .chromium import View, context

_SETTLED: Final = """() => document.readyState === "complete"
    && document.querySelector('[aria-busy="true"], .skeleton') === null
    && document.getAnimations().every((each) => each.playState !== "running")"""
_PAINTED: Final = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@dataclass(frozen=True, slots=True)
class Screen:
    """One of them. `signed`: it is seen by who has signed in."""

    name: str
    path: str
    signed: bool = True

    @property
    def dialog(self) -> bool:
        """Whether it is a tab of the settings dialog."""
        return "#settings/" in self.path

    def __str__(self) -> str:
        return self.name


_PAGES: Final = ("models", "playground", "keys", "projects", "usage", "credits")
_ADMIN: Final = ("accounts", "providers", "models", "plans", "codes", "audit", "configuration")
_SETTINGS: Final = ("credits", "keys", "mcp", "notifications", "llm", "audio", "models", "research")
SCREENS: Final = (
    Screen("login", "/login", signed=False),
    Screen("register", "/register", signed=False),
    Screen("password", "/password"),
    Screen("overview", "/"),
    *(Screen(name, f"/{name}") for name in _PAGES),
    *(Screen(f"admin-{name}", f"/admin#{name}") for name in _ADMIN),
    *(Screen(f"settings-{name}", f"/#settings/{name}") for name in _SETTINGS),
)
PAGES: Final = tuple(screen for screen in SCREENS if "#" not in screen.path)


def window(browser: Browser, view: View, cookies: list[Any], screen: Screen) -> BrowserContext:
    """Open a window for somebody who may see a screen."""
    made = context(browser, view)
    if screen.signed:
        made.add_cookies(cookies)
    return made


def show(page: Page, origin: str, screen: Screen) -> None:
    """Go to a screen, and wait until all of it is there."""
    page.goto(origin + screen.path, wait_until="load")
    if screen.dialog:
        page.get_by_role("dialog", name="Settings").wait_for()
    settle(page)


def settle(page: Page) -> None:
    """Wait until nothing is on its way, nothing moves, and what there is was painted."""
    page.wait_for_function(_SETTLED)
    page.evaluate(_PAINTED)
