"""What each page costs with nothing in the cache, bytes and time: `make pages-cost`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .chromium import DESKTOP, chromium
from .measures import from_afar, shifts, weighing
from .plausible import cookies_of, lived_in
from .screens import PAGES, show, window

ROUNDS = 5


def main() -> None:
    """Load each page some times; print a row for each."""
    print("page            requests    bytes   interactive ms, least of", ROUNDS, "  shifted")
    with tempfile.TemporaryDirectory() as place, chromium() as browser, lived_in(Path(place)) as gateway:
        cookies = cookies_of(gateway)
        for screen in PAGES:
            times = []
            for _ in range(ROUNDS):
                with window(browser, DESKTOP, cookies, screen) as opened:
                    page = opened.new_page()
                    with weighing(page) as weight:
                        show(page, gateway.url, screen)
                        times.append(page.evaluate("performance.now()"))
            with window(browser, DESKTOP, cookies, screen) as opened:
                page = opened.new_page()
                from_afar(page)
                show(page, gateway.url, screen)
                shifted, _ = shifts(page)
            print(f"{screen.name:15} {weight.requests:8} {weight.bytes:8} {min(times):16.0f} {shifted:22.4f}")


if __name__ == "__main__":
    main()
