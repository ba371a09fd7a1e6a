"""One self-contained page for one measurement or several: tables, charts, and what every word means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from bench.driver.load import NEUTRAL, OK
from bench.driver.records import Run
from bench.driver.rows import Row, rows_of
from bench.report.charts import Axis, Line, chart, whisker
from bench.report.figures import COMPARED, LATENCIES, Rows, definitions, differences, gather, summary
from bench.report.stats import Difference, percentile
from bench.report.text import describe, signed, verdict

_NAMES: Final = {
    "ttft": "Time to first token",
    "tpot": "Time per output token",
    "itl": "Inter-token latency",
    "e2el": "End-to-end latency",
}
_SLICES: Final = 60
_A_SLICE: Final = 15
"""Requests that are enough for one point over time."""
_TITLE: Final = "Headrace bench"


def page(runs: Sequence[Run]) -> str:
    """Return the page. It loads nothing from anywhere."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    title = escape(runs[0].title or runs[0].name)
    body = "\n".join(_run(run) for run in runs)
    words = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in definitions())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · {_TITLE}</title>
<style>
{style}</style>
</head>
<body><main>
{body}
<h2>What the words mean</h2>
<div class="card"><dl>
{words}
</dl></div>
</main></body>
</html>
"""


def _run(run: Run) -> str:
    found = summary(run)
    parts = [
        f"<h1>{escape(run.title or run.name)}</h1>",
        f'<p class="lead">{escape(run.about)}</p>' if run.about else "",
        f'<p class="about">{escape(describe(run))}.</p>',
        _keys(run.targets, run.targets),
        *_warnings(run, found),
        "<h2>At a glance</h2>",
        _card(_rates(run, found), wide=True),
    ]
    if len(run.targets) > 1 and run.windows:
        parts += [f"<h2>Differences from {escape(next(iter(run.targets)))}</h2>", _cards(_differences(run))]
    groups = _groups(run)
    kinds = _keys(groups, {}) if len(run.load.asks) > 1 else ""
    drawn = [_distribution(name, groups) for name in LATENCIES]
    parts += ["<h2>Latencies</h2>", kinds, _cards(drawn)]
    parts += [f'<div class="next">{_card(_percentiles(groups), wide=True)}</div>']
    parts += ["<h2>Over the windows</h2>", _cards(_over_time(run))]
    if run.more:
        tables = "".join(_card(_table(title, rows)) for title, rows in run.more)
        parts += ["<h2>Measured beside</h2>", f'<div class="stack">{tables}</div>']
    parts += [_footer(run, found)]
    return "\n".join(part for part in parts if part)


def _keys(names: Iterable[str], urls: Mapping[str, str]) -> str:
    """Say which colour is whose."""
    rows = ""
    for place, name in enumerate(names):
        url = f"<code>{escape(urls[name])}</code>" if name in urls else ""
        rows += f'<li><i style="background:var(--c{place % 6})"></i>{escape(name)} {url}</li>'
    return f'<ul class="keys">{rows}</ul>'


def _warnings(run: Run, found: dict[str, dict[str, Any]]) -> list[str]:
    limited = [target for target, each in found.items() if each["driver_limited"]]
    notes = []
    if limited:
        notes.append(
            f"The driver may have been the limit with {', '.join(limited)}: rates are a floor, "
            "latencies a ceiling. Measure again with more --processes."
        )
    if run.cut_short:
        notes.append("The run was interrupted. These are the windows that were over.")
    return [f'<p class="note">{escape(note)}</p>' for note in notes]


def _card(content: str, *, wide: bool = False) -> str:
    return f'<div class="card{" wide" if wide else ""}">{content}</div>' if content else ""


def _cards(contents: Sequence[str]) -> str:
    return f'<div class="cards">{"".join(_card(each) for each in contents if each)}</div>'


def _table(title: str, rows: Sequence[Sequence[str]], colours: Sequence[int] = ()) -> str:
    """Write a table, headings first; a row's name may have its target's colour."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    lines = []
    for place, (name, *cells) in enumerate(rows[1:]):
        mark = f'<i style="background:var(--c{colours[place] % 6})"></i>' if colours else ""
        rest = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        lines.append(f'<tr><td class="name">{mark}{escape(name)}</td>{rest}</tr>')
    heading = f"<h3>{escape(title)}</h3>" if title else ""
    return f'{heading}<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _rates(run: Run, found: dict[str, dict[str, Any]]) -> str:
    columns = [
        ("completed", "completed", 0), ("failed", "failed", 0), ("requests/s", "request_throughput", 1),
        ("goodput/s", "request_goodput", 1), ("output tokens/s", "output_throughput", 0),
        ("ttft p50 ms", "median_ttft_ms", 1), ("ttft p99 ms", "p99_ttft_ms", 1),
        ("itl p99 ms", "p99_itl_ms", 1),
        ("e2el p50 ms", "median_e2el_ms", 1), ("CPU µs/request", "cpu_us_request", 0),
        ("CPU µs/chunk", "cpu_us_chunk", 1), ("RSS MB", "rss_mb", 0),
    ]  # fmt: skip
    columns = [each for each in columns if any(one.get(each[1]) is not None for one in found.values())]
    if not run.objective:
        columns = [each for each in columns if each[1] != "request_goodput"]
    rows = [["target", *(heading for heading, _, _ in columns)]]
    rows += [
        [target, *(_figure(each.get(name), digits) for _, name, digits in columns)]
        for target, each in found.items()
    ]
    table = _table("", rows, range(len(found)))
    kinds = [
        f"{target}: " + ", ".join(f"{kind} {count:,}" for kind, count in sorted(each["errors"].items()))
        for target, each in found.items()
        if each["errors"]
    ]
    told = "".join(f'<p class="quiet">Not completed, {escape(line)}</p>' for line in kinds)
    bounds = ", ".join(f"{name} up to {bound:g} ms" for name, bound in run.objective.items())
    return table + told + (f'<p class="quiet">Goodput: {escape(bounds)}.</p>' if bounds else "")


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _groups(run: Run) -> dict[str, tuple[int, Rows]]:
    """Return the requests of each target, or of each kind of each, with their colours."""
    groups: dict[str, tuple[int, Rows]] = {}
    for target in run.targets:
        windows = [found for found in run.windows if found.target == target]
        if len(run.load.asks) == 1:
            groups[target] = (len(groups), gather(run, windows))
            continue
        for kind, ask in enumerate(run.load.asks):
            groups[f"{target}, {ask.name}"] = (len(groups), gather(run, windows, kind))
    return groups


def _distribution(name: str, groups: dict[str, tuple[int, Rows]]) -> str:
    """Draw what share of requests was no slower than so many milliseconds."""
    lines, low, high = [], float("inf"), 0.0
    for group, (place, rows) in groups.items():
        values: list[float] = getattr(rows, name)
        if not values:
            continue
        shares = [*range(100), 99.5, 99.9, 100]
        lines.append(Line(group, [(percentile(values, share), share) for share in shares], place))
        low, high = min(low, percentile(values, 5)), max(high, percentile(values, 99.9))
    if not lines:
        return ""
    y = Axis(0, 100, (0, 25, 50, 75, 90, 100))
    x = Axis.logarithmic(max(low, high / 1000), high)
    drawing = chart(lines, x, y, across="milliseconds", up="% of requests within", label=_NAMES[name])
    return f"<h3>{_NAMES[name]} ({name})</h3>{drawing}"


def _percentiles(groups: dict[str, tuple[int, Rows]]) -> str:
    rows = [["milliseconds", "mean", "p50", "p90", "p95", "p99", "max"]]
    colours = []
    for name in LATENCIES:
        for group, (place, found) in groups.items():
            values: list[float] = getattr(found, name)
            if values:
                figures = [
                    sum(values) / len(values),
                    *(percentile(values, at) for at in (50, 90, 95, 99, 100)),
                ]
                rows.append(
                    [f"{name} {group}", *(_figure(value, 1 if value >= 10 else 2) for value in figures)]
                )
                colours.append(place)
    return _table("", rows, colours) if colours else ""


def _differences(run: Run) -> list[str]:
    """Write a table for each target, with a picture of each interval."""
    found = []
    for target, told in differences(run).items():
        lines = []
        for name, label, unit in COMPARED:
            if name in told:
                one = told[name]
                cells = f"<td>{escape(signed(one.mean))} {unit}</td>"
                cells += f"<td>{whisker(one.mean, one.low, one.high)}</td>"
                sure = "" if one.certain else ' class="unsure"'
                cells += f"<td>{escape(_ends(one))}</td>"
                lines.append(f"<tr{sure}><td>{label}</td>{cells}</tr>")
        head = "<tr><th></th><th>mean</th><th></th><th>95 % interval</th></tr>"
        table = f'<div class="scroll"><table>{head}{"".join(lines)}</table></div>'
        found.append(f"<h3>{escape(target)}</h3>{table}" if lines else "")
    return found


def _ends(of: Difference) -> str:
    return "one round" if of.low is None or of.high is None else f"{signed(of.low)} to {signed(of.high)}"


def _over_time(run: Run) -> list[str]:
    """Draw what happened in the course of a window, all rounds put over each other."""
    seconds = run.load.seconds
    ended_all = sum(len(found.batch) for found in run.windows) / max(len(run.targets), 1)
    each = seconds / min(max(int(ended_all / _A_SLICE), 10), _SLICES)
    ended: list[Line] = []
    first: list[Line] = []
    wrong: list[Line] = []
    for place, target in enumerate(run.targets):
        windows = [found for found in run.windows if found.target == target]
        rows = [row for found in windows for row in rows_of(found.batch)]
        if not windows:
            continue
        span = len(windows) * each
        ok = _counts([row.end for row in rows if row.outcome == OK], each, seconds)
        failed = [row.end for row in rows if row.outcome != OK and row.outcome not in NEUTRAL]
        bad = _counts(failed, each, seconds)
        ended.append(
            Line(target, [((place + 0.5) * each, count / span) for place, count in enumerate(ok)], place)
        )
        wrong.append(
            Line(target, [((place + 0.5) * each, count / span) for place, count in enumerate(bad)], place)
        )
        first.append(Line(target, _medians(rows, each), place))
    x = Axis.linear(seconds)
    drawn = [
        _drawn("Completed a second", ended, x, "a second"),
        _drawn("Median time to first token, by when it was due", first, x, "ms"),
    ]
    if any(count for line in wrong for _, count in line.points):
        drawn.append(_drawn("Failed a second", wrong, x, "a second"))
    memory = [
        Line(
            target, [pair for found in run.windows if found.target == target for pair in found.rss_mb], place
        )
        for place, target in enumerate(run.targets)
    ]
    if any(line.points for line in memory):
        drawn.append(
            _drawn("Resident memory", [Line(m.name, sorted(m.points), m.place) for m in memory], x, "MB")
        )
    return drawn


def _drawn(title: str, lines: Sequence[Line], x: Axis, up: str) -> str:
    top = max((value for line in lines for _, value in line.points), default=0.0)
    if not top:
        return ""
    drawing = chart(lines, x, Axis.linear(top), across="seconds of the window", up=up, label=title)
    return f"<h3>{title}</h3>{drawing}"


def _counts(ends: Sequence[int], each: float, seconds: float) -> list[int]:
    counts = [0] * round(seconds / each)
    for end in ends:
        place = int(end / 1_000_000 / each)
        if place < len(counts):
            counts[place] += 1
    return counts


def _medians(rows: Sequence[Row], each: float) -> list[tuple[float, float]]:
    slices: list[list[float]] = [[] for _ in range(_SLICES)]
    for row in rows:
        place = int(row.due / 1_000_000 / each)
        if row.ttft is not None and place < _SLICES:
            slices[place].append(row.ttft)
    return [
        ((place + 0.5) * each, percentile(sorted(values), 50))
        for place, values in enumerate(slices)
        if values
    ]


def _footer(run: Run, found: dict[str, dict[str, Any]]) -> str:
    machine = run.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.get("packages", {}).items())
    lines = verdict(run, found).split("\n")
    lines.append(
        f"{run.began}, {machine.get('cores')} cores, Linux {machine.get('kernel')}, "
        f"Python {machine.get('python')}, {packages}."
    )
    told = "".join(f'<p class="quiet">{escape(line)}</p>' for line in lines)
    return f'<div class="next">{told}</div>'
