"""The dashboards are what their code makes, ask for what there is, and say what they show."""

from __future__ import annotations

import importlib.util
import re

from grafana.build import files
from proxy.observe.names import NAMES

from .kit import DASHBOARDS, ROOT, all_queries, dashboards, panel_queries, rules, series_in, variables

_PROMETHEUS = {"up", "scrape_duration_seconds"}
"""What Prometheus itself adds to every target."""


def _told() -> set[str]:
    """Return every series of the gateway, by the names they are scraped by."""
    found = set(_PROMETHEUS)
    for name in NAMES.values():
        shown = f"{name.name}_total" if name.kind == "counter" else name.name
        tails = ("_bucket", "_count", "_sum") if name.kind == "histogram" else ("",)
        found |= {shown + tail for tail in tails}
    return found


def _bench() -> set[str] | None:
    """Return every series of a running measurement, once there is one that can be scraped."""
    if importlib.util.find_spec("bench.driver") is None:
        return None
    try:
        module = importlib.import_module("bench.driver.metrics")
    except ImportError:
        return None
    found = {f"{name}_total" for name in module.COUNTERS} | set(module.GAUGES)
    return found | {name + tail for name in module.HISTOGRAMS for tail in ("_bucket", "_count", "_sum")}


def test_what_grafana_loads_is_what_the_code_makes() -> None:
    assert {path.name: path.read_text() for path in DASHBOARDS.iterdir()} == files(), "run `make dashboards`"


def test_what_is_asked_for_exists() -> None:
    known = _told() | set(rules("recording"))
    bench = _bench()
    asked = {(query.where, name) for query in all_queries() for name in series_in(query.expr)}
    asked |= {(board, series) for board in dashboards() for series, _ in variables(board)}
    assert len(asked) > 100
    for where, name in asked:
        if not name.startswith("headrace_bench_"):
            assert name in known, where
        elif bench is not None:
            assert name in bench, where


def test_what_is_measured_is_asked_for() -> None:
    """A metric that no panel and no rule shows is one that nobody looks at."""
    asked = {name for query in all_queries() for name in series_in(query.expr)}
    for name in NAMES.values():
        assert any(each.startswith(name.name) for each in asked), name.name


def test_labels_that_are_chosen_or_added_up_by_exist() -> None:
    labels = {label for name in NAMES.values() for label in name.labels} | {"le", "job", "instance"}
    labels |= {"target", "outcome", "run", "loop"}
    for query in all_queries():
        used = re.findall(r"([a-z_]+)(?:=~|!=|!~|=)\"", query.expr)
        for by in re.findall(r"(?:by|on) \(([^)]*)\)", query.expr):
            used += [label.strip() for label in by.split(",")]
        assert set(used) <= labels, query


def test_every_panel_says_what_it_shows_and_in_which_unit() -> None:
    for name, dashboard in dashboards().items():
        panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
        titles = [panel["title"] for panel in panels]
        assert len(titles) == len(set(titles)), name
        for panel in panels:
            assert panel["description"].endswith("."), panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"], panel["title"]


def test_panels_do_not_overlap_and_fill_their_rows() -> None:
    for name, dashboard in dashboards().items():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, (name, panel["title"])
            assert at["x"] + at["w"] <= 24, (name, panel["title"])
            taken |= cells
        rows = {y for _, y in taken}
        assert all(set(range(24)) == {x for x, at in taken if at == y} for y in rows), name


def test_dashboards_can_be_told_apart_and_lead_to_each_other() -> None:
    found = dashboards()
    assert {dashboard["uid"] for dashboard in found.values()} == {f"headrace-{name[:-5]}" for name in found}
    for dashboard in found.values():
        assert dashboard["links"][0]["tags"] == dashboard["tags"] == ["headrace"]
        first, *_ = dashboard["templating"]["list"]
        assert first["type"] == "datasource"
    assert [name for name, _ in variables_of("overview.json")] == ["provider", "model"]
    assert len(list(panel_queries("overview.json"))) < 30, "an overview is few things"


def variables_of(board: str) -> list[tuple[str, str]]:
    """Return the name and the label of each thing that can be chosen."""
    listed = [each for each in dashboards()[board]["templating"]["list"] if each["type"] == "query"]
    return [(each["name"], label) for each, (_, label) in zip(listed, variables(board), strict=True)]


def test_every_alert_has_its_paragraph_and_every_paragraph_its_alert() -> None:
    page = (ROOT / "grafana" / "RUNBOOK.md").read_text()
    headings = re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert headings == list(rules("alerts"))
    for name, alert in rules("alerts").items():
        assert alert["annotations"]["runbook"] == f"grafana/RUNBOOK.md#{name.lower()}"
        assert alert["annotations"]["summary"].endswith(".")
        assert alert["labels"]["severity"] in {"warning", "critical"}
