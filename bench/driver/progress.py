"""What is seen of a run while it runs: one line of a terminal, and metrics on a port."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.driver.crew import Found
from bench.driver.load import NEUTRAL, OK, Load
from bench.driver.metrics import Live
from bench.driver.records import Run
from bench.driver.rows import Row, rows_of
from bench.driver.target import Target
from bench.driver.window import News
from bench.process import BenchError

_LINE: Final = 0.25
_LAST: Final = 1000


@dataclass(slots=True)
class Progress:
    """Follows a run of so many windows. `live` is only fed where somebody can see it."""

    load: Load
    objective: Mapping[str, float]
    windows: int
    live: Live | None = None
    done: int = 0
    began: float = field(default_factory=time.monotonic)
    _shown: float = 0.0
    _since: float = 0.0
    _ended: int = 0

    @classmethod
    def on(cls, run: Run, windows: int, port: int | None) -> Progress:
        """Show a run on the terminal and, with a port, to Prometheus. Raises BenchError if it is taken."""
        live = None
        if port is not None:
            live = Live()
            try:
                live.serve(port)
            except OSError as error:
                raise BenchError(f"port {port}: {error.strerror}") from None
            live.set("headrace_bench_info", 1, run.name, "closed" if run.load.closed else "open")
        return cls(run.load, run.objective, windows, live)

    def begin(self, target: Target, turn: int) -> None:
        """A window begins."""
        self._since, self._ended = time.monotonic(), 0
        if self.live is not None:
            self.live.set("headrace_bench_active", 1, target.name)
        self._say(f"round {turn + 1}/{self.load.rounds} {target.name}: starting")

    def end(self, target: Target, found: Found) -> None:
        """A window is over."""
        self.done += 1
        if self.live is not None:
            self.live.count("headrace_bench_process_cpu_seconds", found.cpu_seconds or 0.0, target.name)
            for name in ("active", "in_flight", "intended_rate"):
                self.live.set(f"headrace_bench_{name}", 0, target.name)
            self._gauges()

    def told(self, found: Found, news: News) -> None:
        """There is news of the window under way."""
        if self.live is not None:
            self._feed(self.live, found, news)
        now = time.monotonic()
        self._ended += len(news.batch)
        if now - self._shown < _LINE:
            return
        rate = self._ended / (now - self._since)
        self._shown = self._since = now
        self._ended = 0
        offset = max(now - found.at / 1_000_000, 0.0)
        failed = sum(outcome != OK and outcome not in NEUTRAL for outcome in found.batch.outcome[-_LAST:])
        self._say(
            f"round {found.turn + 1}/{self.load.rounds} {found.target}: "
            f"{offset:.0f}/{self.load.seconds:g} s, {len(found.batch)} ended, {rate:,.0f}/s, "
            f"{news.in_flight} under way, "
            f"{failed} of the last {_LAST} failed; {self._share(offset):.0%}, {self.left(offset):.0f} s to go"
        )

    def left(self, offset: float = 0.0) -> float:
        """Return the seconds the run will still take, by its pace so far and what it has planned."""
        each = self.load.seconds + self.load.warmup + 0.5
        share = self._share(offset)
        if self.done:
            return max((time.monotonic() - self.began) / share * (1 - share), 0.0)
        return max(each * (self.windows - self.done) - offset, 0.0)

    def close(self) -> None:
        """Clear the line."""
        self._say("")

    def _share(self, offset: float) -> float:
        within = min(offset / self.load.seconds, 1.0) if self.load.seconds else 1.0
        return min((self.done + within) / self.windows, 1.0)

    def _gauges(self, offset: float = 0.0) -> None:
        assert self.live is not None  # noqa: S101 - asked only then
        self.live.set("headrace_bench_progress_ratio", self._share(offset))
        self.live.set("headrace_bench_eta_seconds", self.left(offset))

    def _feed(self, live: Live, found: Found, news: News) -> None:
        target = found.target
        offset = time.monotonic() - found.at / 1_000_000
        self._gauges(max(offset, 0.0))
        live.set("headrace_bench_intended_rate", self.load.rate_at(offset), target)
        live.set("headrace_bench_in_flight", news.in_flight, target)
        live.set("headrace_bench_driver_busy_ratio", news.cpu / news.wall if news.wall else 0.0)
        live.count("headrace_bench_due", news.due, target)
        live.count("headrace_bench_late", news.late, target)
        if found.rss_mb:
            live.set("headrace_bench_process_resident_bytes", found.rss_mb[-1][1] * 2**20, target)
        _count(live, target, list(rows_of(news.batch)), self.objective)

    def _say(self, text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _count(live: Live, target: str, rows: Sequence[Row], objective: Mapping[str, float]) -> None:
    """Count requests that ended."""
    for row in rows:
        live.count("headrace_bench_requests", 1, target, row.outcome)
    good = sum(row.outcome == OK and row.keeps(objective) for row in rows)
    live.count("headrace_bench_good", good, target)
    live.count("headrace_bench_chunks", sum(row.chunks for row in rows), target)
    live.count("headrace_bench_prompt_tokens", sum(row.prompt_tokens for row in rows), target)
    live.count("headrace_bench_output_tokens", sum(row.output_tokens for row in rows), target)
    whole = [row for row in rows if row.outcome == OK]
    live.observe("headrace_bench_e2el_seconds", target, [row.e2el / 1000 for row in whole])
    tpots = [row.tpot / 1000 for row in whole if row.tpot is not None]
    live.observe("headrace_bench_tpot_seconds", target, tpots)
    ttfts = [row.ttft / 1000 for row in rows if row.ttft is not None]
    live.observe("headrace_bench_ttft_seconds", target, ttfts)
    live.observe("headrace_bench_itl_seconds", target, [gap / 1_000_000 for row in rows for gap in row.gaps])
    delays = [(row.sent - row.due) / 1_000_000 for row in rows]
    live.observe("headrace_bench_send_delay_seconds", target, delays)
