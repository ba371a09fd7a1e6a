"""Pictures of every page and tab, in both colours, on a desk and in a hand: `make screenshots`.

python -m tests.browser.screenshots [--into DIR] [NAME ...]    all of them, or those whose names begin so
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page

from .chromium import ROOT, VIEWS, View, chromium
from .gateway import Gateway
from .plausible import CUSTOMER, cookies_of, lived_in
from .screens import SCREENS, Screen, settle, show, window

_EMPTY: Final = tuple(
    Screen(f"empty-{screen.name}", screen.path)
    for screen in SCREENS
    if screen.signed and not screen.name.startswith(("admin", "password"))
)
"""As somebody sees it who has only just come."""


def _answered(page: Page) -> None:
    page.get_by_role("textbox", name="Message").fill("What is a headrace?")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("button", name="Copy answer").wait_for()


def _new_key(page: Page) -> None:
    page.get_by_role("button", name="New key").click()


def _made_key(page: Page) -> None:
    _new_key(page)
    page.get_by_role("textbox", name="Name").fill("Shown once")
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("dialog", name="Your new key").wait_for()


def _menu(page: Page) -> None:
    page.get_by_role("button", name="Menu").click()


_SCENES: Final[dict[str, tuple[str, Callable[[Page], None]]]] = {
    "scene-playground-answered": ("/playground?model=sim/echo", _answered),
    "scene-keys-new": ("/keys", _new_key),
    "scene-keys-made": ("/keys", _made_key),
    "scene-menu": ("/", _menu),
}
"""What is to be seen only after something was done."""


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "screenshots")
    parser.add_argument("--view", action="append", choices=[str(view) for view in VIEWS])
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    wanted = tuple(options.names)
    with (
        tempfile.TemporaryDirectory() as place,
        chromium() as browser,
        lived_in(Path(place), 120) as gateway,
    ):
        mine, another = cookies_of(gateway), cookies_of(gateway, CUSTOMER)
        for view in (view for view in VIEWS if str(view) in (options.view or [str(view)])):
            into = options.into / str(view)
            for screen in SCREENS:
                _take(browser, view, gateway, mine, screen, into, wanted)
            for screen in _EMPTY:
                _take(browser, view, gateway, another, screen, into, wanted)
            for name, (path, act) in _SCENES.items():
                if name != "scene-menu" or view.phone:
                    _take(browser, view, gateway, mine, Screen(name, path), into, wanted, act)
    print(options.into)


def _take(
    browser: Browser,
    view: View,
    gateway: Gateway,
    cookies: list[Any],
    screen: Screen,
    into: Path,
    wanted: tuple[str, ...],
    act: Callable[[Page], None] = lambda _: None,
) -> None:
    if wanted and not screen.name.startswith(wanted):
        return
    with window(browser, view, cookies, screen) as opened:
        page = opened.new_page()
        show(page, gateway.url, screen)
        act(page)
        settle(page)
        page.screenshot(path=into / f"{screen.name}.png", full_page=not screen.dialog)


if __name__ == "__main__":
    main()
