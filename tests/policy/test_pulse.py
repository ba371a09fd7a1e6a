"""The pulse: hedge delays, the order `fastest`, error rates, and what a lost race may teach."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.pulse import SLICE_SECONDS, SLICES, Pulse, PulseReading, Tempo
from proxy.policy.sketch import ERROR
from proxy.words.errors import Trouble

TEMPO = Tempo(floor=0.25, hedge_delay=2.0, samples=20, known=3, first_token=1.0, tokens_per_second=50.0)
WINDOW = SLICES * SLICE_SECONDS
A, B = "openai/gpt-4o", "azure/gpt-4o"


def about(seconds: float) -> object:
    return pytest.approx(seconds, rel=ERROR * 1.0001)


def pulse(*samples: float, deployment: str = A, now: float = 0.0) -> Pulse:
    made = Pulse(TEMPO)
    for sample in samples:
        made.opened(deployment, sample, now)
    return made


def reading(made: Pulse, deployment: str = A, now: float = 0.0) -> PulseReading:
    return next(row for row in made.snapshot(now) if row.deployment == deployment)


DELAYS = [
    ([], 2.0),
    ([0.5] * 19, 2.0),
    ([0.5] * 20, 0.5),
    ([0.01] * 20, 0.25),
    ([0.5] * 19 + [9.0], 0.5),
    ([0.5] * 18 + [9.0] * 2, 9.0),
    ([0.5] * 95 + [9.0] * 5, 0.5),
    ([0.5] * 94 + [9.0] * 6, 9.0),
    ([step / 100 for step in range(1, 101)], 0.95),
]


@pytest.mark.fault("F54")
@pytest.mark.parametrize(("samples", "delay"), DELAYS)
def test_a_hedge_waits_for_the_p95(samples: list[float], delay: float) -> None:
    assert pulse(*samples).hedge_delay(A, 0) == about(delay)


def test_the_floor_is_a_floor_for_the_default_too() -> None:
    assert Pulse(Tempo(floor=3.0, hedge_delay=2.0)).hedge_delay(A, 0) == 3.0


def test_deployments_do_not_mix() -> None:
    made = pulse(*[0.5] * 20)
    for _ in range(20):
        made.opened(B, 4.0, 0)
    assert (made.hedge_delay(A, 0), made.hedge_delay(B, 0)) == (about(0.5), about(4.0))


def test_what_is_older_than_the_window_is_gone() -> None:
    made = pulse(*[9.0] * 20)
    last = WINDOW - SLICE_SECONDS - 1
    assert made.hedge_delay(A, last) == about(9.0)
    for _ in range(100):
        made.opened(A, 0.5, last)
    assert made.hedge_delay(A, last) == about(9.0)
    assert made.hedge_delay(A, WINDOW) == about(0.5)
    assert made.hedge_delay(A, last + WINDOW) == 2.0
    assert reading(made, now=last + WINDOW) == PulseReading(A, 0, None, None, 2.0, None, 0, None)


@given(
    st.lists(
        st.tuples(st.floats(0, 400, allow_nan=False), st.floats(0.3, 60, allow_nan=False)),
        min_size=1,
        max_size=60,
    )
)
def test_the_window_holds_the_last_four_to_five_minutes(story: list[tuple[float, float]]) -> None:
    made, now = Pulse(Tempo(samples=1)), 0.0
    seen: list[tuple[float, float]] = []
    for passing, sample in story:
        now += passing
        made.opened(A, sample, now)
        seen.append((now, sample))
        row = reading(made, now=now)
        surely = sum(at > now - WINDOW + SLICE_SECONDS for at, _ in seen)
        maybe = sum(at > now - WINDOW for at, _ in seen)
        assert surely <= row.samples <= maybe
        kept = sorted(sample for _, sample in seen[-row.samples :])
        assert row.hedge_delay == about(kept[-(-len(kept) * 950 // 1000) - 1])
        assert row.attempts == row.samples


# What was seen of a deployment, and how long an attempt waited that was given up -> does it count?
LOST = [
    ([0.3] * 20, 0.28, False),
    ([0.3] * 20, 0.3, True),
    ([0.3] * 20, 0.4, True),
    ([0.3] * 3, 0.4, True),
    ([0.3] * 2, 0.4, False),
    ([], 0.4, False),
    ([], 1.1, True),
    ([0.2] * 12 + [5.0] * 8, 0.4, True),
]


@pytest.mark.fault("F80")
@pytest.mark.parametrize(("samples", "waited", "counts"), LOST)
def test_what_was_given_up_counts_once_it_is_as_long_as_the_median(
    samples: list[float], waited: float, counts: bool
) -> None:
    made = pulse(*samples)
    made.cancelled(A, waited, 0)
    row = reading(made)
    assert row.samples == len(samples) + counts
    assert row.attempts == len(samples)


@pytest.mark.fault("F80")
def test_a_deployment_that_always_loses_does_not_go_on_looking_fast() -> None:
    """It was fast, and turned slow: its rival, which answers in 0.4 s, beats it in every race."""
    made = pulse(*[0.1] * 100)
    for second in range(600):
        made.opened(B, 0.4, second)
        made.cancelled(A, 0.41, second)
    assert made.expected(A, 100, 600) > made.expected(B, 100, 600)
    assert made.hedge_delay(A, 600) == about(0.41)


@pytest.mark.fault("F80")
def test_a_hedge_called_off_after_a_moment_makes_nobody_look_fast() -> None:
    made = Pulse(TEMPO)
    for _ in range(100):
        made.cancelled(A, 0.01, 0)
    assert made.expected(A, 0, 0) == TEMPO.first_token


def test_hedging_a_slow_deployment_finds_its_true_p95() -> None:
    """It answers in 10 s, its hedge 0.4 s after the delay; a twentieth of the calls is hedged."""
    made = pulse(*[0.5] * 20)
    for call in range(1000):
        now = call / 10
        delay = made.hedge_delay(A, now)
        if call % 20 == 0:
            made.cancelled(A, min(delay + 0.4, 10), now)
        else:
            made.opened(A, 10.0, now)
    assert made.hedge_delay(A, 100) == about(10)


def test_a_twentieth_of_slow_ones_does_not_put_off_the_hedges_against_them() -> None:
    """The p95 is at a cliff: whoever counts how long the hedges took falls down it."""
    made = pulse(*[0.5] * 20)
    for call in range(1000):
        if call % 18 == 0:
            made.cancelled(A, made.hedge_delay(A, 0) + 0.5, 0, hedged=True)
        else:
            made.opened(A, 0.5, 0)
    assert made.hedge_delay(A, 0) == about(0.5)


def test_failures_are_no_first_token_times() -> None:
    """Time-outs in the p95 would put off the hedge that rescues from them."""
    made = pulse(*[0.5] * 20)
    for _ in range(20):
        made.failed(A, "first_byte", 0)
    assert made.hedge_delay(A, 0) == about(0.5)
    assert made.error_rate(A, 0) == 0.5


ERRORS: list[tuple[Trouble, float]] = [
    *[(trouble, 0.25) for trouble in ("failed", "rate_limited", "reset", "first_byte", "bad_content", "dns")],
    ("rejected", 0.0),
    ("auth", 0.0),
]


@pytest.mark.fault("F69", "F70")
@pytest.mark.parametrize(("trouble", "rate"), ERRORS)
def test_the_error_rate_leaves_out_what_is_the_requests_or_the_keys(trouble: Trouble, rate: float) -> None:
    made = pulse(*[0.5] * 3)
    made.failed(A, trouble, 0)
    assert made.error_rate(A, 0) == rate


@pytest.mark.fault("F56")
def test_a_stream_that_breaks_is_one_attempt_and_one_failure() -> None:
    made = pulse(0.5, 0.5)
    made.failed(A, "reset", 0, opened=True)
    assert made.error_rate(A, 0) == 0.5


def test_the_error_rate_is_of_the_window_and_never_above_one() -> None:
    made = pulse(0.5)
    assert made.error_rate(B, 0) is None
    assert made.error_rate(A, WINDOW) is None
    made.failed(A, "reset", WINDOW, opened=True)
    made.failed(A, "reset", WINDOW, opened=True)
    assert made.error_rate(A, WINDOW) is None
    made.opened(A, 0.5, WINDOW)
    assert made.error_rate(A, WINDOW) == 1.0


# First-token times, (tokens, seconds) of streams -> expected seconds of 100 tokens.
EXPECTED = [
    ([], [], 3.0),
    ([0.5, 0.5], [], 3.0),
    ([0.5] * 3, [], 2.5),
    ([0.5] * 3, [(200, 1.0)], 1.0),
    ([0.5] * 3, [(1000, 10.0), (1, 0.0), (0, 5.0)], 1.5),
    ([0.5] * 3, [(10, 1.0), (990, 9.0)], 1.5),
    ([], [(200, 1.0)], 1.5),
]


@pytest.mark.parametrize(("samples", "streams", "seconds"), EXPECTED)
def test_expected_is_first_token_and_tokens_at_the_rate(
    samples: list[float], streams: list[tuple[int, float]], seconds: float
) -> None:
    made = pulse(*samples)
    for tokens, lasting in streams:
        made.finished(A, tokens, lasting, 0)
    assert made.expected(A, 100, 0) == about(seconds)


def test_the_fastest_depends_on_how_much_is_asked() -> None:
    made = pulse(*[0.2] * 5)
    made.finished(A, 100, 2.0, 0)
    for _ in range(5):
        made.opened(B, 1.0, 0)
    made.finished(B, 400, 2.0, 0)
    assert sorted([B, A], key=lambda name: made.expected(name, 10, 0)) == [A, B]
    assert sorted([A, B], key=lambda name: made.expected(name, 1000, 0)) == [B, A]


def test_a_snapshot_tells_all() -> None:
    made = pulse(*[0.5] * 19, 9.0, now=7)
    made.finished(A, 300, 4.0, 7)
    made.failed(A, "failed", 7)
    made.failed(B, "dns", 7)
    assert made.snapshot(7) == [
        PulseReading(A, 20, about(0.5), about(0.5), about(0.5), 75.0, 21, 1 / 21),  # type: ignore[arg-type]
        PulseReading(B, 0, None, None, 2.0, None, 1, 1.0),
    ]
    assert repr(made) == "<Pulse of 2 deployments>"


def test_the_one_unheard_of_longest_is_forgotten() -> None:
    made = Pulse(TEMPO, most=2)
    for name in ("a", "b", "a", "c"):
        made.opened(name, 0.5, 0)
    assert [row.deployment for row in made.snapshot(0)] == ["a", "c"]


def test_memory_is_bounded_whatever_the_load() -> None:
    random = Random(1)
    made = Pulse(TEMPO, most=8)
    tracemalloc.start()
    for call in range(10_000):
        name = f"made-up-{random.randrange(20)}"
        made.opened(name, random.lognormvariate(0, 3), call / 20)
        made.finished(name, random.randrange(1000), random.random(), call / 20)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 8 * 80_000
