"""Make a report of saved measurements: text for the terminal, and one page with charts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.driver.records import Run
from bench.report.page import page
from bench.report.text import report


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what `run` has saved")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="where the page goes (beside the first file)"
    )


def run(options: argparse.Namespace) -> int:
    """Read, print, write the page."""
    try:
        runs = [Run.load_file(path) for path in options.files]
    except (OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    for one in runs:
        print(report(one), end="\n\n")
    path = options.html or options.files[0].with_suffix(".html")
    path.write_text(page(runs), encoding="utf-8")
    print(f"report: {path}")
    return 0
