"""What a client of the HTTP/1.1 door may take its time for, and how many there may be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, sizes in bytes.

    Attributes:
        head: from a head's first byte to its last.
        body_grace: before a body's pace is looked at; `body_pace`: bytes a second it must then have had.
        write_stall: without any progress of a send.
        linger: after the last answer, for the client to read it; `linger_bytes`: how much of what it still
            sends is thrown away meanwhile.
        sweep: between two looks at all of these.
        pause: without accepting, where the process has no file descriptors left.
        first: for the first request of a client who has come just before a stop.
        connections: at once.
    """

    head: float = 5.0
    body_grace: float = 10.0
    body_pace: int = 1024
    write_stall: float = 15.0
    linger: float = 2.0
    linger_bytes: int = 32 * 1024 * 1024
    sweep: float = 0.5
    pause: float = 0.1
    first: float = 2.0
    connections: int = 10_000
