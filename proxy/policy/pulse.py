"""How fast and how sound each deployment is, over the last five minutes. Pure; time is passed in.

The window is five slices of a minute; a slice that is over is taken away whole, so that memory is fixed
whatever the load. First-token times go into a log-bucket sketch, tokens per second are all tokens over
all seconds (so that a stream weighs as much as it is long), errors are counted.

*What was cancelled* has a first-token time that nobody knows; it is longer than the wait. Where the wait
is already as long as the median we believe in, it counts as a sample of that length. Else it says
nothing we did not expect and is left out. So a slow deployment that always loses gets as slow as the
rivals that beat it (no longer looking faster than they), and a hedge that was called off after a moment
does not make its deployment look fast. It can only err on the fast side: the sample is a lower bound.

*What failed* is counted, but no first-token time: time-outs in the p95 would put off the very hedge that
rescues from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from proxy.words.errors import Trouble

from .sketch import Sketch, bucket_of

SLICE_SECONDS: Final = 60.0
SLICES: Final = 5
_NOT_THE_DEPLOYMENTS: Final = frozenset({"rejected", "unsupported", "auth"})
"""Troubles of the request or of one key, which say nothing of the deployment."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """What is assumed and required. Times are seconds.

    A deployment that is not known is middling: tried first only where the known ones are slower.
    """

    floor: float = 0.25
    """No hedge sooner than this: the delay of a TCP happy eyeball (RFC 8305 section 5)."""
    hedge_delay: float = 2.0
    """While `samples` are wanting."""
    samples: int = 20
    """Below twenty a p95 is nothing but the longest."""
    known: int = 3
    """Samples for a median."""
    first_token: float = 1.0
    tokens_per_second: float = 50.0


class PulseReading(NamedTuple):
    """One deployment's last five minutes, for metrics. None is unknown; times are seconds."""

    deployment: str
    samples: int
    first_token: float | None
    """The median."""
    first_token_p95: float | None
    hedge_delay: float
    tokens_per_second: float | None
    attempts: int
    error_rate: float | None


class _Slice:
    """One minute of a deployment."""

    __slots__ = ("attempts", "buckets", "failures", "seconds", "tokens")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.tokens = 0
        self.seconds = 0.0
        self.attempts = 0
        self.failures = 0


class _Beat:
    """One deployment: the slices of its window, the sum of their sketches, and which is the current one."""

    __slots__ = ("_place", "_turn", "sketch", "slice", "slices")

    def __init__(self, now: float) -> None:
        self.slices = [_Slice() for _ in range(SLICES)]
        self.sketch = Sketch()
        self._place = 0
        self.slice = self.slices[0]
        self._turn = now + SLICE_SECONDS

    def at(self, now: float) -> None:
        """Take away the slices that are over."""
        if now < self._turn:
            return
        turns = int((now - self._turn) // SLICE_SECONDS) + 1
        self._turn += turns * SLICE_SECONDS
        for _ in range(min(turns, SLICES)):
            self._place = (self._place + 1) % SLICES
            self.sketch.subtract(self.slices[self._place].buckets)
            self.slice = self.slices[self._place] = _Slice()

    def add(self, bucket: int) -> None:
        """Add a first-token time."""
        self.sketch.add(bucket)
        buckets = self.slice.buckets
        buckets[bucket] = buckets.get(bucket, 0) + 1

    def tokens_per_second(self) -> float | None:
        """Return the rate of all streams together."""
        seconds = sum(part.seconds for part in self.slices)
        return sum(part.tokens for part in self.slices) / seconds if seconds else None

    def attempts(self) -> int:
        """Return how many opened or failed."""
        return sum(part.attempts for part in self.slices)

    def error_rate(self) -> float | None:
        """Return the share of attempts that failed, before or after they opened."""
        attempts = self.attempts()
        # An old attempt may fail when the slice it was counted in is gone.
        return min(sum(part.failures for part in self.slices) / attempts, 1.0) if attempts else None


class Pulse:
    """All deployments by `Deployment.id`, at most `most`: beyond that, the one unheard of longest goes."""

    def __init__(self, tempo: Tempo = Tempo(), *, most: int = 512) -> None:
        self._tempo = tempo
        self._middling = bucket_of(tempo.first_token)
        self._most = most
        self._beats: dict[str, _Beat] = {}

    def __repr__(self) -> str:
        return f"<Pulse of {len(self._beats)} deployments>"

    def opened(self, deployment: str, seconds: float, now: float) -> None:
        """Take note of a first content event, `seconds` after the attempt began."""
        beat = self._hear(deployment, now)
        beat.slice.attempts += 1
        beat.add(bucket_of(seconds))

    def failed(self, deployment: str, trouble: Trouble, now: float, *, opened: bool = False) -> None:
        """Take note of a failure; `opened` where it is of a stream that had begun.

        What a provider says of a client's own key (`rate_limited`) is not to be reported here.
        """
        if trouble in _NOT_THE_DEPLOYMENTS:
            return
        part = self._hear(deployment, now).slice
        part.failures += 1
        part.attempts += not opened

    def cancelled(self, deployment: str, waited: float, now: float, *, hedged: bool = False) -> None:
        """Take note of an attempt given up after `waited` seconds without a content event.

        `hedged`: for a hedge, so that it had waited for the delay, and for its rival's answer: all that is
        known is that it is one of the slow ones. Counted as more, a twentieth of slow ones would make the
        next hedge come later.
        """
        beat = self._hear(deployment, now)
        bucket = bucket_of(waited)
        if hedged and beat.sketch.count >= self._tempo.samples:
            bucket = min(bucket, beat.sketch.p95_bucket)
        known = beat.sketch.count >= self._tempo.known
        if bucket >= (beat.sketch.median_bucket if known else self._middling):
            beat.add(bucket)

    def finished(self, deployment: str, tokens: int, seconds: float, now: float) -> None:
        """Take note of `tokens` that came in `seconds`, from the first to the last of a stream.

        Not to be reported of a stream that waited for its client: that is the client's speed.
        """
        if tokens > 0 and seconds > 0:
            part = self._hear(deployment, now).slice
            part.tokens += tokens
            part.seconds += seconds

    def hedge_delay(self, deployment: str, now: float) -> float:
        """Return the seconds to wait for a first token before a second attempt: the p95, or the floor.

        After the 95th percentile a hedge costs 5 % more calls (Dean and Barroso, The Tail at Scale, 2013).
        """
        beat = self._beats.get(deployment)
        if beat is not None:
            beat.at(now)
        return self._hedge_delay(beat)

    def expected(self, deployment: str, tokens: int, now: float) -> float:
        """Return the seconds an answer of so many tokens should take: the key of the order `fastest`."""
        beat = self._beats.get(deployment)
        if beat is None:
            return self._tempo.first_token + tokens / self._tempo.tokens_per_second
        beat.at(now)
        rate = beat.tokens_per_second() or self._tempo.tokens_per_second
        return self._first_token(beat) + tokens / rate

    def first_token(self, deployment: str, now: float) -> float | None:
        """Return the usual seconds to a first token; None while too few were seen."""
        beat = self._beats.get(deployment)
        if beat is None:
            return None
        beat.at(now)
        return beat.sketch.median if beat.sketch.count >= self._tempo.known else None

    def error_rate(self, deployment: str, now: float) -> float | None:
        """Return the share of attempts that failed; None where there were none."""
        beat = self._beats.get(deployment)
        if beat is None:
            return None
        beat.at(now)
        return beat.error_rate()

    def snapshot(self, now: float) -> list[PulseReading]:
        """Return all deployments. They may bear names a client made up: no labels without a look."""
        return [self._reading(deployment, beat, now) for deployment, beat in self._beats.items()]

    def _reading(self, deployment: str, beat: _Beat, now: float) -> PulseReading:
        beat.at(now)
        sketch = beat.sketch
        return PulseReading(
            deployment,
            sketch.count,
            sketch.median if sketch.count else None,
            sketch.p95 if sketch.count else None,
            self._hedge_delay(beat),
            beat.tokens_per_second(),
            beat.attempts(),
            beat.error_rate(),
        )

    def _hedge_delay(self, beat: _Beat | None) -> float:
        tempo = self._tempo
        known = beat is not None and beat.sketch.count >= tempo.samples
        return max(beat.sketch.p95 if beat is not None and known else tempo.hedge_delay, tempo.floor)

    def _first_token(self, beat: _Beat) -> float:
        return beat.sketch.median if beat.sketch.count >= self._tempo.known else self._tempo.first_token

    def _hear(self, deployment: str, now: float) -> _Beat:
        """Return a deployment's beat at this moment, and put it last in the line of what is forgotten."""
        beat = self._beats.pop(deployment, None)
        if beat is None:
            beat = _Beat(now)
            if len(self._beats) >= self._most:
                del self._beats[next(iter(self._beats))]
        self._beats[deployment] = beat
        beat.at(now)
        return beat
