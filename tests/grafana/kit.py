"""What the dashboards and the rules ask, and the Prometheus to ask it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "grafana" / "rules"
DASHBOARDS = ROOT / "grafana" / "dashboards"
_NAME = re.compile(r"\b((?:gen_ai|headrace|process|scrape)_[a-z0-9_]+|up|headrace:[a-z0-9_:]+)\b(?!\s*=)")


class Asked(NamedTuple):
    """A query, and where it stands."""

    where: str
    expr: str


def dashboards() -> dict[str, dict[str, Any]]:
    """Return every dashboard as Grafana gets it."""
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panel_queries(board: str) -> Iterator[Asked]:
    """Return what a dashboard's panels ask."""
    for panel in dashboards()[board]["panels"]:
        for target in panel.get("targets", ()):
            yield Asked(f"{board}: {panel['title']}", target["expr"])


def variables(board: str) -> Iterator[tuple[str, str]]:
    """Return the series and the label of each of a dashboard's variables."""
    for variable in dashboards()[board]["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
            assert found is not None, variable
            yield found[1], found[2]


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """Return the rules of a file, `recording` or `alerts`, by name."""
    groups = yaml.safe_load((RULES / f"{kind}.yml").read_text())["groups"]
    return {rule.get("record") or rule["alert"]: rule for group in groups for rule in group["rules"]}


def all_queries() -> list[Asked]:
    """Return everything that is asked anywhere."""
    found = [query for board in dashboards() for query in panel_queries(board)]
    return found + [
        Asked(name, rule["expr"]) for kind in ("recording", "alerts") for name, rule in rules(kind).items()
    ]


def series_in(expr: str) -> set[str]:
    """Return the names of the series that a query asks for."""
    return set(_NAME.findall(re.sub(r'"[^"]*"|by \([^)]*\)|on \([^)]*\)', "", expr)))
