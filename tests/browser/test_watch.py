"""The watch sees what it is there to see."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Browser

from .axe import faults, pale
from .chromium import DESKTOP, context
from .conftest import Open
from .gateway import Gateway
from .watch import Watch

_SHORTEN = """() => document.querySelectorAll("nav > :nth-child(n+10), section:nth-of-type(n+3)")
    .forEach((each) => each.remove())"""
_HEAD = '<!doctype html><html lang="en"><title>x</title>'
BAD = {
    "/console": (200, "<script>console.error('oh')</script>", "console: oh"),
    "/thrown": (200, "<script>nothing.at.all</script>", "uncaught: ReferenceError"),
    "/foreign": (
        200,
        "<img alt='' src='http://elsewhere.example/x.png'>",
        "somebody else is asked: http://else",
    ),
    "/missing": (200, "<img alt='' src='/none.png'>", "refused: GET"),
    "/refused": (500, "", "refused: GET"),
    "/policy": (200, "<p style='color: red'>x", "console: Applying inline style violates"),
}


class _Bad(BaseHTTPRequestHandler):
    """Pages with one fault each."""

    def do_GET(self) -> None:
        status, body, _ = BAD.get(self.path, (404, "", ""))
        policy = "style-src 'none'" if self.path == "/policy" else "default-src * 'unsafe-inline'"
        content = f"{_HEAD}{body}".encode()
        self.send_response(status)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(content)))
        self.send_header("content-security-policy", policy)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def bad() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Bad) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", sorted(BAD))
def test_a_fault_is_seen(browser: Browser, bad: str, path: str) -> None:
    window = context(browser, DESKTOP)
    watch = Watch(window.new_page(), bad)
    watch.page.goto(bad + path, wait_until="networkidle")
    assert len(watch.trouble) in {1, 2}, watch.trouble
    assert watch.trouble[0].startswith(BAD[path][2])
    with pytest.raises(AssertionError):
        watch.check()
    window.close()


def test_a_refusal_that_is_expected_is_none_and_one_that_does_not_come_is_told(
    browser: Browser, bad: str
) -> None:
    window = context(browser, DESKTOP)
    watch = Watch(window.new_page(), bad)
    with watch.expecting(500, "/refused"):
        watch.page.goto(f"{bad}/refused")
    watch.check()
    with pytest.raises(AssertionError, match="was not refused"), watch.expecting(500, "/refused"):
        watch.page.goto("about:blank")
    window.close()


def test_what_cannot_be_read_is_a_fault(browser: Browser) -> None:
    window = context(browser, DESKTOP)
    page = window.new_page()
    page.set_content(f"{_HEAD}<main><h1>x</h1><button></button><p style='color: #eee'>pale</p></main>")
    assert {fault.partition(" ")[0] for fault in faults(page)} == {"button-name", "color-contrast"}
    window.close()


def test_the_documentation_is_a_page_without_fault(plain: Gateway, opened: Open) -> None:
    watch = opened(DESKTOP, plain.url)
    page = watch.page
    page.goto(f"{plain.url}/docs")
    assert "Headrace" in page.title()
    # All of it would take half a minute; the others are of the same make.
    page.evaluate(_SHORTEN)
    assert page.locator("nav > *").count() == 9
    assert page.locator("section").count() == 2
    assert faults(page) == []
    page.emulate_media(color_scheme="dark")
    assert pale(page) == []
