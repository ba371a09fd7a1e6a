"""Writes a measurement's files, and prints it."""

from __future__ import annotations

from pathlib import Path

from bench.driver.records import Run
from bench.report.figures import summary
from bench.report.page import page
from bench.report.text import report


def save(run: Run, directory: Path) -> int:
    """Write NAME.json and NAME.html, print the rest; return how many requests were answered."""
    found = summary(run)
    raw, shown = directory / f"{run.name}.json", directory / f"{run.name}.html"
    run.save(raw, found)
    shown.write_text(page([run]), encoding="utf-8")
    print(report(run))
    print(f"\nrequests: {raw}\nreport:   {shown}")
    return sum(each["completed"] for each in found.values())
