"""Every page and tab: for everybody, in both colours, on a desk and in a hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser

from .axe import faults, pale
from .chromium import DESKTOP, DEVICES, PHONE, View
from .gateway import Gateway
from .measures import beyond, from_afar, moving, shifts, unreached, weighing
from .screens import PAGES, SCREENS, Screen, settle, show, window
from .watch import Watch

HEAVIEST = 150_000
"""Bytes of a page with nothing in the cache."""
SHIFT = 0.02
ROW = 76
"""CSS pixels of two lines, with air around them."""

screens = pytest.mark.parametrize("screen", SCREENS, ids=str)
pages = pytest.mark.parametrize("screen", PAGES, ids=str)


@screens
@DEVICES
def test_nobody_is_shut_out_and_nothing_is_out_of_place(
    browser: Browser, house: Gateway, cookies: list[Any], view: View, screen: Screen
) -> None:
    with window(browser, view, cookies, screen) as opened:
        page = opened.new_page()
        watch = Watch(page, house.url)
        from_afar(page)
        show(page, house.url, screen)
        assert beyond(page) == []
        shifted, what = shifts(page)
        assert shifted < SHIFT, what
        assert faults(page) == []
        page.emulate_media(color_scheme="dark")
        settle(page)
        assert pale(page) == []
        watch.check()


@pages
def test_a_page_is_light(browser: Browser, house: Gateway, cookies: list[Any], screen: Screen) -> None:
    with window(browser, DESKTOP, cookies, screen) as opened:
        page = opened.new_page()
        with weighing(page) as weight:
            show(page, house.url, screen)
        assert 0 < weight.bytes <= HEAVIEST


@screens
def test_the_tab_key_comes_to_everything_and_shows_where_it_is(
    browser: Browser, house: Gateway, cookies: list[Any], screen: Screen
) -> None:
    with window(browser, DESKTOP, cookies, screen) as opened:
        page = opened.new_page()
        show(page, house.url, screen)
        assert unreached(page) == ([], [])


@pytest.mark.parametrize("name", ["usage", "credits"])
def test_a_row_of_a_long_list_is_two_lines_in_a_hand(
    browser: Browser, house: Gateway, cookies: list[Any], name: str
) -> None:
    screen = next(screen for screen in PAGES if screen.name == name)
    with window(browser, PHONE, cookies, screen) as opened:
        page = opened.new_page()
        show(page, house.url, screen)
        rows = page.locator("section:last-of-type tbody tr")
        heights = rows.evaluate_all("(rows) => rows.map((row) => row.getBoundingClientRect().height)")
        assert len(heights) > 20
        assert max(heights) <= ROW


@pages
def test_nothing_moves_where_motion_is_not_wanted(
    browser: Browser, house: Gateway, cookies: list[Any], screen: Screen
) -> None:
    with window(browser, replace(PHONE, still=True), cookies, screen) as opened:
        page = opened.new_page()
        show(page, house.url, screen)
        assert moving(page) == []
