"""What it costs to be seen: `make observe-cost`. Figures, not asserts.

CPU of a request's metrics and of its log line, in the loop and in all (the line is written by a thread); and
what a scrape of four processes with ten thousand series each takes, uncached, with all that leads to it.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import orjson
import trio

from proxy.bank.desk import Desk
from proxy.bank.memory import MemoryStore
from proxy.observe import log
from proxy.observe.merge import Merged
from proxy.observe.metrics import Metrics
from proxy.observe.tallies import Told
from proxy.observe.text import render
from proxy.policy.health import Health
from proxy.receipt import Attempt, Receipt
from proxy.settings import Settings
from proxy.words.usage import Usage

REQUESTS, ROUNDS = 2_000, 15
"""No more at once than the log's queue takes."""
PROCESSES, SERIES = 4, 10_000


def receipt(model: str = "m", *, hedged: bool = False) -> Receipt:
    """A stream that came whole."""
    made = Receipt(
        *("gen", "req_0123456789ABCDEFGHJKMNPQRS", 1, 1, None),
        stream=True,
        started_at=10.0,
        started_unix=1.7e9,
        model_asked=model,
    )
    won = Attempt("a", "m", 10.001, accepted=True, first_event_at=10.5, ended_at=12.0, cost=900)
    made.model, made.attempts, made.winner = model, [won], won
    if hedged:
        made.attempts = [Attempt("b", "m", 10.001, cost=300), replace(won, why="hedge")]
        made.winner = made.attempts[1]
    made.admitted, made.held, made.cost = True, 5000, 1200
    made.usage = Usage(input=700, cache_read=100, output=300, reasoning=50)
    made.first_relayed_at, made.ended_at, made.admit_seconds = 10.502, 12.002, 0.001
    return made


def per_call(work: Callable[[], object]) -> tuple[float, float]:
    """Return what a call costs in microseconds of CPU, in this thread and in all; the best of some rounds."""
    found = []
    for _ in range(ROUNDS):
        ours, everywhere = time.thread_time(), time.process_time()
        for _ in range(REQUESTS):
            work()
        ours = time.thread_time() - ours
        time.sleep(0.3)  # whatever thread there is catches up
        found.append((ours, time.process_time() - everywhere))
    best = [min(figures) / REQUESTS * 1e6 for figures in zip(*found, strict=True)]
    return best[0], best[1]


def milliseconds(work: Callable[[], object]) -> float:
    """Return the median time of a call."""
    took = []
    for _ in range(9):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return statistics.median(took) * 1000


def full(process: int) -> Metrics:
    """Return metrics of a process with ten thousand series."""
    models = [f"provider/model-{number}" for number in range(200)]
    metrics = Metrics(Desk(MemoryStore()), Health(), models, models)
    for number, model in enumerate(models):
        if render(metrics.figures.tell()).count(b"\n") >= SERIES:
            break
        for kind in ("chat", "embeddings"):
            made = receipt(model)
            made.kind, made.ended_at = kind, 12.0 + (number + process) % 7
            metrics.observe(made)
    return metrics


def scraped() -> None:
    """Tell what a scrape takes."""
    processes = [full(number) for number in range(PROCESSES)]
    bodies = [orjson.dumps(each.figures.tell()) for each in processes]
    memory = memoryview(bytearray(64 << 20))
    merged = Merged(memory)
    told: list[Told] = [orjson.loads(body) for body in bodies]
    for number, each in enumerate(told):
        merged.take(number, each)
    text = merged.render()
    lines = render(told[0]).count(b"\n")
    print(f"{PROCESSES} processes of {lines:,} lines, {len(bodies[0]) / 1024:.0f} KiB each as told")
    edge = processes[0].figures
    for what, work in (
        ("an edge tells, each second", lambda: orjson.dumps(edge.tell())),
        ("whoever controls takes it in", lambda: orjson.loads(bodies[0])),
        ("and keeps all for its next life", merged._keep),
        (f"a scrape, uncached ({len(text) / 1024:.0f} KiB)", merged.render),
    ):
        print(f"  {what:34} {milliseconds(work):10.2f} ms")


async def main() -> None:
    """Tell everything."""
    metrics = Metrics(Desk(MemoryStore()), Health(), {"m"}, {"m"})
    print("CPU of a request, µs                  in the loop     in all")
    plain, hedged = receipt(), receipt(hedged=True)
    _shown("metrics", per_call(lambda: metrics.observe(plain)))
    _shown("metrics, hedged", per_call(lambda: metrics.observe(hedged)))
    sys.stdout.flush()
    null, saved = os.open(os.devnull, os.O_WRONLY), os.dup(1)
    os.dup2(null, 1)
    with log.speaking(Settings(), "gateway") as spoken:
        found = per_call(lambda: spoken.observe(plain))
        dropped = spoken.dropped
    os.dup2(saved, 1)
    _shown(f"log line ({dropped} dropped)", found)
    scraped()
    await trio.lowlevel.checkpoint()


def _shown(what: str, figures: tuple[float, float]) -> None:
    print(f"  {what:34} {figures[0]:10.2f} {figures[1]:10.2f}")


if __name__ == "__main__":
    trio.run(main)
