"""Which upstream may be tried now: one circuit for each deployment and key. Pure; time is passed in.

    closed ------------- excess, wait, auth ------------> open
    open ---------------------- due --------------------> half_open
    half_open -- failure, wait, auth, cancelled --------> open
    half_open ------------ success, rejected -----------> closed

*Opening.* Five failures in a row (Envoy's `consecutive_5xx`), or half of at least twenty requests in the
last 10 to 20 s, open a circuit; so does the upstream's own word: a `Retry-After`, or the refusal of a key
it never accepted.

*Coming back.* An open circuit lets one request through, a probe, when its cool-down is over, and the next
one 2 s later, then every 3 s, whether the one before failed or still hangs: an upstream that swallows
requests must not keep its cure from being noticed. So a cured one is tried within 3 s, which leaves 2 s
of the promised five for the probe's first token. Probes are never less than a second apart.

*Old news.* A request that waited 30 s for nothing says how its upstream was 30 s ago. A success counts
only if its attempt began after the circuit last opened, a failure only if it began with the newest probe
or after the circuit closed. What an upstream says in words (`wait`, `auth`) is of now and always counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from proxy.words.errors import Trouble
from proxy.words.retry_after import LONGEST

State = Literal["closed", "open", "half_open"]
Event = Literal["success", "failure", "excess", "wait", "auth", "rejected", "cancelled", "due"]
"""What happens to a circuit. `excess`: the failure that was one too many. `due`: a request wants through
and the cool-down is over."""

Key = tuple[str, int | None]
"""`Deployment.id`, and the id of a client's own key; None is the operator's."""


@dataclass(frozen=True, slots=True)
class Fuse:
    """When a circuit opens and for how long. Times are seconds, shares per mille."""

    failures: int = 5
    share: int = 500
    volume: int = 20
    window: float = 10.0
    """Of the half of the rolling window that runs; the half before it counts too."""
    cooldown: float = 1.0
    """The first one, and the least time between two probes."""
    cooldown_max: float = 3.0
    auth_cooldown: float = 60.0
    longest: float = float(LONGEST)
    """The most an upstream's `Retry-After` can ask for."""


class CircuitReading(NamedTuple):
    """One circuit, for metrics. `until` is the seconds until it may be tried; `openings` are counted."""

    deployment: str
    key_id: int | None
    state: State
    failures: int
    until: float
    openings: int


_EVENTS: Final[Mapping[Trouble, Event]] = {
    "unreachable": "failure",
    "dns": "failure",
    "tls": "failure",
    "auth": "auth",
    "bad_content": "failure",
    "protocol": "failure",
    "redirect": "failure",
    "truncated": "failure",
    "reset": "failure",
    "failed": "failure",
    "gone": "failure",
    "rate_limited": "failure",
    "rejected": "rejected",
    "unsupported": "cancelled",
    "connect": "failure",
    "first_byte": "failure",
    "idle": "failure",
}


class Tally:
    """Successes and failures of a rolling window: in the half that runs until `turn`, and the one before."""

    __slots__ = ("bad", "bad_before", "good", "good_before", "turn")

    def __init__(self, turn: float) -> None:
        self.turn = turn
        self.good = self.bad = self.good_before = self.bad_before = 0

    def roll(self, window: float, now: float) -> bool:
        """Begin the next half where it is time; tell whether it was."""
        if now < self.turn:
            return False
        recent = now < self.turn + window
        self.good_before, self.bad_before = (self.good, self.bad) if recent else (0, 0)
        self.good = self.bad = 0
        self.turn = now + window
        return True

    def exceeds(self, volume: int, share: int) -> bool:
        """Tell whether at least `share` per mille of at least `volume` requests failed."""
        bad = self.bad + self.bad_before
        total = bad + self.good + self.good_before
        return total >= volume and bad * 1000 >= share * total


class Circuit:
    """What is remembered of one key.

    Attributes:
        since: a success of an attempt begun before this is old news.
        probed_at: a failure of an attempt begun before this is old news; when the newest probe left.
        until: when an open circuit is due.
        pace: seconds from the newest probe to the next.
        failures: in a row.
        proven: the key has been accepted.
    """

    __slots__ = ("failures", "openings", "pace", "probed_at", "proven", "since", "state", "tally", "until")

    def __init__(self, fuse: Fuse, now: float) -> None:
        self.state: State = "closed"
        self.since = self.probed_at = float("-inf")
        self.until = 0.0
        self.pace = fuse.cooldown
        self.failures = 0
        self.proven = False
        self.openings = 0
        self.tally = Tally(now + fuse.window)

    def good(self) -> None:
        """Count a success."""
        self.failures = 0
        self.proven = True
        self.tally.good += 1

    def bad(self, fuse: Fuse) -> bool:
        """Count a failure; tell whether it is one too many."""
        self.failures += 1
        self.tally.bad += 1
        return self.failures >= fuse.failures or self.tally.exceeds(fuse.volume, fuse.share)

    def park(self, fuse: Fuse, now: float, seconds: float) -> None:
        """Open for `seconds`, and for no less than the first cool-down or what is left already."""
        if self.state == "closed":
            self.pace = fuse.cooldown
        self.openings += self.state != "open"
        self.since = now
        self.until = max(self.until, now + max(seconds, fuse.cooldown))

    def probe(self, fuse: Fuse, now: float, seconds: float) -> None:
        """Let one request through, and say when the next may go, whatever becomes of this one."""
        self.probed_at = now
        self.pace = min(self.pace * 2, fuse.cooldown_max)
        self.until = now + self.pace

    def give_back(self, fuse: Fuse, now: float, seconds: float) -> None:
        """Undo the newest probe, but for the second there must be between two."""
        self.pace = max(self.pace / 2, fuse.cooldown)
        self.until = self.probed_at + fuse.cooldown

    def heal(self, fuse: Fuse, now: float, seconds: float) -> None:
        """Close, as if nothing had been before."""
        self.since = self.probed_at = self.until = now
        self.tally = Tally(now + fuse.window)
        self.good()

    def reopen(self, fuse: Fuse, now: float, seconds: float) -> None:
        """Open again, with the next probe due as it was."""
        self.openings += 1
        self.since = now

    def stay(self, fuse: Fuse, now: float, seconds: float) -> None:
        """Do nothing."""


Action = Callable[[Circuit, Fuse, float, float], None]

TRANSITIONS: Final[Mapping[tuple[State, Event], tuple[State, Action]]] = {
    ("closed", "success"): ("closed", Circuit.stay),
    ("closed", "failure"): ("closed", Circuit.stay),
    ("closed", "excess"): ("open", Circuit.park),
    ("closed", "wait"): ("open", Circuit.park),
    ("closed", "auth"): ("open", Circuit.park),
    ("closed", "rejected"): ("closed", Circuit.stay),
    ("closed", "cancelled"): ("closed", Circuit.stay),
    ("open", "success"): ("open", Circuit.stay),
    ("open", "failure"): ("open", Circuit.stay),
    ("open", "wait"): ("open", Circuit.park),
    ("open", "auth"): ("open", Circuit.park),
    ("open", "rejected"): ("open", Circuit.stay),
    ("open", "cancelled"): ("open", Circuit.stay),
    ("open", "due"): ("half_open", Circuit.probe),
    ("half_open", "success"): ("closed", Circuit.heal),
    ("half_open", "failure"): ("open", Circuit.reopen),
    ("half_open", "wait"): ("open", Circuit.park),
    ("half_open", "auth"): ("open", Circuit.park),
    # An upstream that judges a request is alive; were this nothing, bad requests could eat every probe.
    ("half_open", "rejected"): ("closed", Circuit.heal),
    ("half_open", "cancelled"): ("open", Circuit.give_back),
    ("half_open", "due"): ("half_open", Circuit.probe),
}
"""The state machine. Counting comes before it, where a circuit is closed; a closed one is never `due`."""


class Breaker:
    """All circuits, at most `most` of them: beyond that, what was not used for the longest time is forgotten.

    `started` is when an attempt began, by the clock of `now`. Report every attempt that `allows` let
    through exactly once up to its first content event (`succeeded`, `failed`, or `cancelled`, also where it
    never began), and `failed` once more where the stream breaks later.
    """

    def __init__(
        self,
        fuse: Fuse = Fuse(),
        *,
        most: int = 4096,
        told: Callable[[Key, Trouble | None], None] = lambda _key, _trouble: None,
    ) -> None:
        """`told` hears of each circuit that opens after having been closed (at what), or closes (None)."""
        self._fuse = fuse
        self._told = told
        self._most = most
        self._circuits: dict[Key, Circuit] = {}

    def __repr__(self) -> str:
        shut = sum(circuit.state == "closed" for circuit in self._circuits.values())
        return f"<Breaker {len(self._circuits)} circuits, {shut} closed>"

    def allows(self, key: Key, now: float) -> bool:
        """Tell whether an attempt may begin now; where the circuit is not closed, that is its probe."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.state == "closed":
            return True
        self._touch(key, circuit)
        if now < circuit.until:
            return False
        self._happen(key, circuit, "due", now)
        return True

    def until(self, key: Key, now: float) -> float:
        """Return the seconds until an attempt may begin, 0.0 where it may now. Uses up nothing."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.state == "closed":
            return 0.0
        return max(circuit.until - now, 0.0)

    def succeeded(self, key: Key, now: float, *, started: float) -> None:
        """Take note of an attempt's first content event."""
        circuit = self._circuits.get(key) or self._add(key, now)
        if started < circuit.since:
            return
        if circuit.state == "closed":
            if circuit.tally.roll(self._fuse.window, now):
                self._touch(key, circuit)
            circuit.good()
        else:
            self._happen(key, circuit, "success", now)

    def failed(
        self, key: Key, trouble: Trouble, now: float, *, started: float, retry_after: float | None = None
    ) -> None:
        """Take note of a failure, before or after the first event; `retry_after` is in seconds."""
        circuit = self._circuits.get(key) or self._add(key, now)
        self._touch(key, circuit)
        circuit.tally.roll(self._fuse.window, now)
        event = _EVENTS[trouble]
        if event == "failure" and retry_after is not None:
            self._happen(key, circuit, "wait", now, min(retry_after, self._fuse.longest), trouble)
        elif event == "auth":
            self._happen(key, circuit, self._refused(circuit), now, self._fuse.auth_cooldown, trouble)
        elif event == "rejected" and started >= circuit.since:
            self._happen(key, circuit, event, now)
        elif event == "failure" and started >= circuit.probed_at:
            self._happen(key, circuit, self._counted(circuit), now, trouble=trouble)
        elif event == "cancelled":
            self.cancelled(key, now, started=started)

    def cancelled(self, key: Key, now: float, *, started: float) -> None:
        """Take note of an attempt that was given up, by the client or for a faster one: it says nothing."""
        circuit = self._circuits.get(key)
        if circuit is not None and started >= circuit.probed_at:
            self._happen(key, circuit, "cancelled", now)

    def snapshot(self, now: float) -> list[CircuitReading]:
        """Return all circuits. Deployments may bear names a client made up: no labels without a look."""
        return [
            CircuitReading(*key, circuit.state, circuit.failures, self.until(key, now), circuit.openings)
            for key, circuit in self._circuits.items()
        ]

    def _happen(
        self,
        key: Key,
        circuit: Circuit,
        event: Event,
        now: float,
        seconds: float = 0.0,
        trouble: Trouble | None = None,
    ) -> None:
        before = circuit.state
        state, action = TRANSITIONS[before, event]
        action(circuit, self._fuse, now, seconds)
        circuit.state = state
        if state != before and "closed" in {state, before}:
            self._told(key, None if state == "closed" else trouble)

    def _counted(self, circuit: Circuit) -> Event:
        """Count a failure, where that is of use; say whether it is one too many."""
        return "excess" if circuit.state == "closed" and circuit.bad(self._fuse) else "failure"

    def _refused(self, circuit: Circuit) -> Event:
        """Say what a refused key amounts to: at once the end, but for one that was accepted before.

        Some providers answer 403 to a prompt they do not like, and not all in a form we know. Were a key
        that works shut out at once, one client could take it from all; so it falls by five in a row.
        """
        if circuit.state == "closed" and circuit.proven and self._counted(circuit) == "failure":
            return "failure"
        return "auth"

    def _add(self, key: Key, now: float) -> Circuit:
        if len(self._circuits) >= self._most:
            del self._circuits[next(iter(self._circuits))]
        circuit = self._circuits[key] = Circuit(self._fuse, now)
        return circuit

    def _touch(self, key: Key, circuit: Circuit) -> None:
        """Put a circuit last in the line of what is forgotten first."""
        del self._circuits[key]
        self._circuits[key] = circuit
