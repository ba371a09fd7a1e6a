"""The metrics of several processes as one: sums that never fall, and gauges of the living."""

from __future__ import annotations

import orjson

from proxy.observe import names
from proxy.observe.merge import Merged
from proxy.observe.tallies import Registry, Told, gauge


class Process:
    """One that counts."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.requests = self.registry.tally(names.ADMISSIONS).amounts
        self.seconds = self.registry.spread(names.ADMIT).cell()
        self.gauges: Told = {}
        self.registry.read(lambda: self.gauges)

    def set(self, name: names.Name, figure: float, *values: str) -> None:
        rows = self.gauges.get(name.name, [])
        self.gauges |= {name.name: [*rows, *gauge(name, figure, *values)[name.name]]}

    def told(self) -> Told:
        found: Told = orjson.loads(orjson.dumps(self.registry.tell()))
        return found


def figures(merged: Merged) -> dict[str, float]:
    lines = merged.render().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_counters_and_histograms_are_summed_and_outlive_their_process() -> None:
    memory = memoryview(bytearray(1 << 20))
    merged = Merged(memory)
    one, other = Process(), Process()
    one.requests[("admitted",)] += 3
    one.seconds.observe(0.0001)
    other.requests[("admitted",)] += 4
    other.requests[("refused",)] += 1
    other.seconds.observe(0.75)
    merged.take(1, one.told())
    merged.take(2, other.told())
    expected = {
        'headrace_admissions_total{code="admitted"}': 7,
        'headrace_admissions_total{code="refused"}': 1,
        'headrace_admit_seconds_bucket{le="5e-05"}': 0,
        'headrace_admit_seconds_bucket{le="0.0001"}': 1,
        'headrace_admit_seconds_bucket{le="0.5"}': 1,
        'headrace_admit_seconds_bucket{le="1.0"}': 2,
        'headrace_admit_seconds_bucket{le="+Inf"}': 2,
        "headrace_admit_seconds_count": 2,
        "headrace_admit_seconds_sum": 0.7501,
    }
    assert figures(merged).items() >= expected.items()
    merged.bury(1)
    merged.bury(1)
    assert figures(merged).items() >= expected.items()
    # Another life of whoever sums goes on from there: 2 lives, 3 died unseen.
    merged.take(3, one.told())
    merged.bury(9)
    anew = Merged(memory, living=[2])
    assert figures(anew)['headrace_admissions_total{code="admitted"}'] == 10
    other.requests[("admitted",)] += 1
    anew.take(2, other.told())
    assert figures(anew)['headrace_admissions_total{code="admitted"}'] == 11


def test_gauges_are_of_the_living() -> None:
    merged = Merged(memoryview(bytearray(1 << 20)))
    one, other = Process(), Process()
    one.set(names.RUNNING, 2)
    other.set(names.RUNNING, 5)
    one.set(names.BREAKER_STATE, 2, "a")
    other.set(names.BREAKER_STATE, 0, "a")
    one.set(names.PULSE_ERRORS, 0.25, "a")
    other.set(names.PULSE_ERRORS, 0.75, "a")
    other.set(names.PULSE_ERRORS, 1, "b")
    merged.take(1, one.told())
    merged.take(2, other.told())
    found = figures(merged)
    assert found["headrace_requests_running"] == 7
    assert found['headrace_breaker_state{deployment="a"}'] == 2
    assert found['headrace_error_rate{deployment="a"}'] == 0.5
    assert found['headrace_error_rate{deployment="b"}'] == 1
    assert [len(rows) for rows in merged.rows("headrace_error_rate")] == [1, 2]
    merged.bury(2)
    assert figures(merged)["headrace_requests_running"] == 2
    merged.bury(1)
    assert "headrace_requests_running" not in figures(merged)


def test_what_somebody_else_counts_for_all_lives_is_not_added_up() -> None:
    memory = memoryview(bytearray(1 << 20))
    merged = Merged(memory)
    for life, restarts in enumerate((1, 4, 5)):
        process = Process()
        process.set(names.RESTARTS, restarts, "edge", "died")
        merged.take(life, process.told())
        assert figures(merged)['headrace_worker_restarts_total{part="edge",why="died"}'] == restarts
        merged.bury(life)
    assert figures(merged)['headrace_worker_restarts_total{part="edge",why="died"}'] == 5


def test_too_little_memory_keeps_nothing_rather_than_a_half() -> None:
    memory = memoryview(bytearray(64))
    merged = Merged(memory)
    merged.take(1, Process().told())
    assert not any(memory)
    assert figures(Merged(memory)) == {}
