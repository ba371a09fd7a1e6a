"""What is looked at is in the address: links lead to it, it stays, back and forward go through it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from .chromium import DESKTOP, PATIENCE
from .gateway import Gateway
from .screens import Screen, settle, window
from .watch import Watch

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def page(browser: Browser, house: Gateway, cookies: list[Any]) -> Iterator[Page]:
    with window(browser, DESKTOP, cookies, Screen("any", "/")) as opened:
        watch = Watch(opened.new_page(), house.url)
        yield watch.page
        watch.check()


def _chosen(page: Page, label: str) -> str:
    return page.get_by_label(label, exact=True).input_value()


def test_a_movement_leads_to_its_request(page: Page, house: Gateway) -> None:
    page.goto(f"{house.url}/credits")
    link = page.get_by_role("link", name=re.compile("^Request gen_")).first
    request = (link.get_attribute("aria-label") or "").removeprefix("Request ")
    link.click()
    for _ in range(2):
        expect(page).to_have_url(f"{house.url}/usage?request={request}")
        settle(page)
        assert _chosen(page, "Request") == request
        expect(page.locator("#requests tbody tr")).to_have_count(1)
        page.reload()


def test_a_project_leads_to_its_requests(page: Page, house: Gateway) -> None:
    page.goto(f"{house.url}/projects")
    page.get_by_role("link", name="Usage of Internal search").click()
    for _ in range(2):
        expect(page).to_have_url(f"{house.url}/usage?project=Internal%20search")
        settle(page)
        assert _chosen(page, "Project") == "Internal search"
        expect(page.locator("#requests")).to_contain_text("No requests")
        page.reload()
    page.get_by_role("link", name="Clear filters").click()
    expect(page).to_have_url(f"{house.url}/usage")
    expect(page.locator("#requests tbody tr")).not_to_have_count(0)
    page.go_back()
    settle(page)
    assert _chosen(page, "Project") == "Internal search"


def test_back_and_forward_go_through_the_filters(page: Page, house: Gateway) -> None:
    page.goto(f"{house.url}/usage?by=key")
    settle(page)
    page.get_by_label("Model", exact=True).select_option("openai/gpt-5")
    page.get_by_role("switch", name="Failed only").check()
    expect(page).to_have_url(f"{house.url}/usage?model=openai%2Fgpt-5&failed=true&by=key")
    settle(page)
    page.go_back()
    settle(page)
    expect(page.get_by_role("switch", name="Failed only")).not_to_be_checked()
    assert _chosen(page, "Model") == "openai/gpt-5"
    page.go_back()
    settle(page)
    expect(page).to_have_url(f"{house.url}/usage?by=key")
    assert _chosen(page, "Model") == ""
    page.go_forward()
    settle(page)
    assert _chosen(page, "Model") == "openai/gpt-5"


def test_back_closes_a_request_and_keeps_the_filters(page: Page, house: Gateway) -> None:
    page.goto(f"{house.url}/usage?model=sim%2Fecho")
    settle(page)
    opener = page.locator("#requests tbody").get_by_role("button").first
    dialog = page.get_by_role("dialog", name="Request")
    opener.click()
    expect(dialog).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?model=sim%2Fecho#gen_"))
    page.go_back()
    expect(dialog).to_be_hidden()
    page.go_forward()
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(page).to_have_url(f"{house.url}/usage?model=sim%2Fecho")
    assert _chosen(page, "Model") == "sim/echo"


def test_back_closes_the_settings(page: Page, house: Gateway) -> None:
    page.goto(f"{house.url}/keys")
    page.get_by_role("button", name="Settings").click()
    dialog = page.get_by_role("dialog", name="Settings", exact=True)
    expect(dialog).to_be_visible()
    page.go_back()
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(f"{house.url}/keys")


def test_models_are_found_again(page: Page, house: Gateway) -> None:
    page.goto(f"{house.url}/models?capability=tools")
    settle(page)
    page.get_by_label("Search", exact=True).fill("gpt")
    page.get_by_label("Sort by", exact=True).select_option("id")
    expect(page).to_have_url(f"{house.url}/models?q=gpt&capability=tools&sort=id")
    page.go_back()
    settle(page)
    assert _chosen(page, "Sort by") == "offered"
    assert _chosen(page, "Capability") == "tools"
