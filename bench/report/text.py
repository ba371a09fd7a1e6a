"""A measurement as text for a terminal."""

from __future__ import annotations

from typing import Any, Final

from bench.driver.load import Ask
from bench.driver.records import Run
from bench.report.figures import COMPARED, LATENCIES, differences, summary
from bench.report.stats import Difference
from bench.report.table import table

_OWN: Final = ("cpu_us_request", "cpu_us_chunk", "cpu_percent", "rss_mb")
_AT: Final = ("mean", "median", "p90", "p95", "p99", "max", "std")


def report(run: Run) -> str:
    """Return everything worth a look; the page has the charts and the definitions."""
    found = summary(run)
    parts = [f"{run.title or run.name}: {describe(run)}", run.about, _rates(run, found), _latencies(found)]
    if run.load.asks[1:]:
        parts += [
            _latencies({target: each["kinds"][ask.name] for target, each in found.items()}, f" of {ask.name}")
            for ask in run.load.asks
        ]
    if len(run.targets) > 1:
        parts.append(_compared(run))
    parts += [table(title, rows[0], rows[1:]) for title, rows in run.more]
    parts.append(verdict(run, found))
    if run.cut_short:
        parts.append("The run was interrupted: these are the windows that were over.")
    return "\n\n".join(part for part in parts if part)


def describe(run: Run) -> str:
    """Say in a line what was asked."""
    load = run.load
    if load.closed:
        how = f"closed loop of {load.concurrency}"
    else:
        rates = ", ".join(_phase(phase.rate, phase.to, phase.seconds) for phase in load.phases)
        how = f"open loop, {load.arrival}, {rates} requests/s, seed {load.seed}"
    kinds = "; ".join(_kind(ask, named=len(load.asks) > 1) for ask in load.asks)
    left = f"; {load.cancel:.0%} of clients leave after {load.cancel_after} chunks" if load.cancel else ""
    return f"{how}; {load.rounds} x {load.seconds:g} s each; {kinds}{left}"


def _kind(ask: Ask, *, named: bool) -> str:
    name = f"{ask.name}: " if named else ""
    return f"{name}{'streamed' if ask.stream else 'whole'}, prompts {ask.prompt}, answers {ask.output} tokens"


def _phase(rate: float, to: float | None, seconds: float) -> str:
    return f"{rate:g}{'' if to is None else f' to {to:g}'} for {seconds:g} s"


def _rates(run: Run, found: dict[str, dict[str, Any]]) -> str:
    head = ["target", "completed", "failed", "req/s", "out tok/s", "chunks/s", "at once", "late"]
    figures = ["request_throughput", "output_throughput", "chunk_throughput"]
    if run.objective:
        head.insert(4, "goodput/s")
        figures.insert(1, "request_goodput")
    known = any("cpu_percent" in each for each in found.values())
    if known:
        head += ["CPU us/req", "CPU us/chunk", "CPU %", "RSS MB"]
    rows = []
    for target, each in found.items():
        row = [target, f"{each['completed']}", _failures(each), *(_number(each[name]) for name in figures)]
        row += [f"{each['max_concurrent_requests']}", f"{each['late']}"]
        if known:
            row += [
                _number(each.get(name))
                for name in ("cpu_us_request", "cpu_us_chunk", "cpu_percent", "rss_mb")
            ]
        rows.append(row)
    return table("rates", head, rows)


def _failures(each: dict[str, Any]) -> str:
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(each["errors"].items()))
    return f"{each['failed']}" + (f" ({kinds})" if kinds else "")


def _latencies(found: dict[str, dict[str, Any]], of: str = "") -> str:
    rows = []
    for name in LATENCIES:
        for target, each in found.items():
            if f"mean_{name}_ms" in each:
                figures = (
                    each[f"{at}_{name}_ms"] for at in ("mean", "median", "p90", "p95", "p99", "max", "std")
                )
                rows.append([f"{name} {target}", *map(_number, figures)])
    head = ["latency", *_AT]
    return table(f"milliseconds{of}", head, rows) if rows else ""


def _compared(run: Run) -> str:
    first = next(iter(run.targets))
    rows = [
        [target, label, f"{signed(told[name].mean)} {unit}", interval(told[name])]
        for target, told in differences(run).items()
        for name, label, unit in COMPARED
        if name in told
    ]
    return table(f"differences from {first}, over rounds", ["target", "of", "mean", "95 % interval"], rows)


def interval(of: Difference) -> str:
    """Return the interval's ends, and whether it tells anything."""
    if of.low is None or of.high is None:
        return "(one round)"
    return f"{signed(of.low)} to {signed(of.high)}{'' if of.certain else ', 0 is inside'}"


def signed(value: float) -> str:
    """Return a difference to three digits."""
    return f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.3g}"


def verdict(run: Run, found: dict[str, dict[str, Any]]) -> str:
    """Say what the driver can do, how busy it was, and where it was the limit."""
    processes = f"{run.processes} process{'es' if run.processes > 1 else ''}"
    lines = [f"driver: {processes}; ceiling of each {ceiling(run)}, on this machine at the time"]
    for target, each in found.items():
        line = f"driver with {target}: {each['driver_busy']:.0%} of a core"
        if each["driver_limited"]:
            line += ": THE DRIVER WAS THE LIMIT, add --processes"
        lines.append(line)
    return "\n".join(lines)


def ceiling(run: Run) -> str:
    """Return what a driving process can do."""
    if not run.ceiling:
        return "not measured"
    return f"{run.ceiling['requests']:,.0f} requests/s or {run.ceiling['chunks']:,.0f} chunks/s"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
