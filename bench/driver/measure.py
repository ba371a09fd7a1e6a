"""A whole run: every target has its window in each round, in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from bench.driver.crew import Crew
from bench.driver.progress import Progress
from bench.driver.records import Run
from bench.driver.target import Target

Beside = Callable[[Target, int], AbstractContextManager[object]]
"""(target, round) → what has to happen during its window."""


def nothing(_target: Target, _turn: int) -> AbstractContextManager[object]:
    """Have nothing happen."""
    return nullcontext()


def measure(run: Run, targets: Sequence[Target], progress: Progress, beside: Beside = nothing) -> None:
    """Fill `run` with windows. Raises BenchError.

    The targets' order moves on by one each round, so that all take each other's places. Interrupted, it keeps
    the windows that are over and says so in `cut_short`.
    """
    try:
        with Crew(run.load, run.processes) as crew:
            for turn in range(run.load.rounds):
                first = turn % len(targets)
                for target in (*targets[first:], *targets[:first]):
                    progress.begin(target, turn)
                    with beside(target, turn):
                        found = crew.window(target, turn, progress.told)
                    run.windows.append(found)
                    progress.end(target, found)
    except KeyboardInterrupt:
        if not run.windows:
            raise
        run.cut_short = True
    finally:
        progress.close()
