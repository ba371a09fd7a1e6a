"""One browser for all of these tests, and windows that are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser

from .chromium import View, chromium, context
from .gateway import Gateway, gateway
from .plausible import cookies_of, lived_in
from .watch import Watch

Open = Callable[..., Watch]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="package")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway as it comes, for all who only look or make an account of their own."""
    with gateway(tmp_path_factory.mktemp("plain")) as one:
        yield one


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that was used for some weeks; its tests look, and change nothing."""
    with lived_in(tmp_path_factory.mktemp("house")) as one:
        yield one


@pytest.fixture(scope="package")
def cookies(house: Gateway) -> list[Any]:
    """What makes a window its administrator's."""
    return cookies_of(house)


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Open windows: `opened(view, origin)`. In the end no page may have been in trouble."""
    with ExitStack() as windows:
        watches: list[Watch] = []

        def open_window(view: View, origin: str) -> Watch:
            window = context(browser, view)
            windows.callback(window.close)
            watches.append(Watch(window.new_page(), origin))
            return watches[-1]

        yield open_window
        for watch in watches:
            watch.check()
