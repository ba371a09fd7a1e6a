"""axe-core, which looks at a page as an assistive technology would: https://github.com/dequelabs/axe-core."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final

from playwright.sync_api import Page

GRAVE: Final = frozenset({"serious", "critical"})
_RUN: Final = "([parts, rules]) => axe.run({include: parts}, {resultTypes: ['violations'], ...rules})"


@cache
def source() -> str:
    """Return the script."""
    return (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


def faults(page: Page, *parts: str) -> list[str]:
    """Return a line for each grave fault of a page, or of some of its parts, by their selectors."""
    return _faults(page, parts or ("html",), {})


def pale(page: Page) -> list[str]:
    """Return a line for each text that cannot be read well for its colours."""
    return _faults(page, ("html",), {"runOnly": ["color-contrast"]})


def _faults(page: Page, parts: tuple[str, ...], rules: dict[str, Any]) -> list[str]:
    # Evaluated by the debugger, to which the page's content security policy does not apply.
    if page.evaluate("typeof axe") == "undefined":
        page.evaluate(source())
    found: dict[str, Any] = page.evaluate(_RUN, [list(parts), rules])
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:160]}: {_summary(node)}"
        for rule in found["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


def _summary(node: dict[str, Any]) -> str:
    return " ".join(str(node.get("failureSummary", "")).split())[:240]
