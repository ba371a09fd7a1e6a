"""A stop in the middle of a crowd: SIGTERM while streams run and some clients do not read.

Half of the streams end before the drain does, half never would. Every one must end whole, or by an error that
says so; the process must be gone in time, and its books must agree with what its clients have read.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

from bench.house.stand import OUT, House, connect, house, request, save, show
from bench.process import BenchError

_GAP_MS = 200
_INPUT, _OUTPUT = 150, 600
"""Nano-USD a token, at the prices the gateway is given."""
_USAGE = 100
"""Prompt tokens by the mock's own report; it says as many of the answer as there were chunks."""
_GRACE = 2.0
"""Seconds a stop may take beyond its drain."""


@dataclass(slots=True)
class Stopped:
    """What came of it. `paid` and `read` are nano-USD, of the streams that were read."""

    streams: int
    stalled: int
    drain: float
    twice: bool = False
    seconds: float = 0.0
    whole: int = 0
    told: int = 0
    truncated: int = 0
    open_holds: int = -1
    paid: int = 0
    read: int = 0
    prompt: int = 0

    @property
    def good(self) -> bool:
        """Whether all is as it was promised."""
        exact = self.paid == self.read and self.open_holds == 0 and not self.truncated
        return exact and self.seconds <= _GRACE + (0 if self.twice else self.drain)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--streams", type=int, default=1000, metavar="N")
    parser.add_argument("--stalled", type=int, default=50, metavar="N", help="clients that do not read")
    parser.add_argument("--drain", type=float, default=30, metavar="S")
    parser.add_argument("--twice", action="store_true", help="send a second SIGTERM after a second")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="results go to DIR/stop.json")


def run(options: argparse.Namespace) -> int:
    """Measure, save, print; 1 where a promise was broken."""
    found = measure(Stopped(options.streams, options.stalled, options.drain, options.twice))
    path = options.out / "stop.json"
    save(path, found=asdict(found))
    title = (
        f"SIGTERM among {found.streams} streams and {found.stalled} stalled clients, drain {found.drain:g} s"
    )
    rows = [
        ("exit after", f"{found.seconds:.1f} s"),
        ("whole answers", f"{found.whole}"),
        ("ended by an error in-band", f"{found.told}"),
        ("truncated", f"{found.truncated}"),
        ("open holds", f"{found.open_holds}"),
        ("charged", f"{found.paid} nano-USD"),
        ("for what was read", f"{found.read} nano-USD"),
    ]
    show(title, rows, path)
    return 0 if found.good else 1


def measure(found: Stopped) -> Stopped:
    """Start, fill, stop, and read the ledger. Raises BenchError."""
    # The short ones are begun last and end in the middle of the drain.
    short = max(round(found.drain / 2 * 1000 / _GAP_MS), 1)
    models = [f"mock-n{count}-g{_GAP_MS * 1000}-s300" for count in (short, 1_000_000)]
    flood = "mock-n1000000-s16000"
    with house([*models, flood], drain=found.drain) as place:
        stalled = place.gateway.key_of("stalled@example.com")
        before = place.gateway.spent()
        trio.run(_fill_and_stop, place, found, models, request(stalled, flood, max_tokens=1_000_000))
        found.open_holds = place.gateway.open_holds()
        found.paid = place.gateway.spent() - before
        # The prompts of those that were cut are billed by the gateway's own count, alike for all.
        found.prompt, rest = divmod(found.paid - found.read, max(found.told, 1) * _INPUT)
        found.read = found.paid - rest if 0 <= found.prompt < _USAGE else found.read
    return found


async def _fill_and_stop(place: House, found: Stopped, models: list[str], flood: bytes) -> None:
    begun = trio.Semaphore(0)
    port = place.target.port
    async with trio.open_nursery() as nursery:
        idle = []
        for _ in range(found.stalled):
            idle.append(await connect(port, window=4096))
            await idle[-1].send_all(flood)
        for number in range(found.streams):
            nursery.start_soon(_read, place, found, models[number % 2], begun)
            if number % 10 == 9:  # more at once than there is time for would be refused
                await trio.sleep(0.05)
        with trio.fail_after(120):
            for _ in range(found.streams):
                await begun.acquire()
        assert place.target.child is not None  # noqa: S101 - it was started
        process = place.target.child.process
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        if found.twice:
            await trio.sleep(1)
            asked = time.monotonic()
            process.send_signal(signal.SIGTERM)
        try:
            await trio.to_thread.run_sync(process.wait, found.drain + 20)
        except subprocess.TimeoutExpired as error:
            raise BenchError("it does not stop") from error
        found.seconds = time.monotonic() - asked
        for stream in idle:
            await stream.aclose()


async def _read(place: House, found: Stopped, model: str, begun: trio.Semaphore) -> None:
    """Read an answer to its end, and count how it ended and what it should cost."""
    answer = bytearray()
    stream = await connect(place.target.port)
    async with stream:
        await stream.send_all(request(place.gateway.key, model))
        try:
            async for data in stream:
                if b'"content"' in data and b'"content"' not in answer:
                    begun.release()
                answer += data
                if answer.endswith(b"\r\n0\r\n\r\n"):
                    break
        except trio.BrokenResourceError:
            pass
    ended = answer.endswith(b"\r\n0\r\n\r\n")
    lines = [line[6:] for line in bytes(answer).split(b"\n") if line.startswith(b"data: {")]
    chunks = [json.loads(line) for line in lines]
    texts = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", [])]
    last = chunks[-1] if chunks else {}
    if ended and b"data: [DONE]" in answer:
        found.whole += 1
        found.read += _USAGE * _INPUT + sum(map(bool, texts)) * _OUTPUT
    elif ended and last.get("error", {}).get("reason") == "draining":
        found.told += 1
        found.read += math.ceil(sum(map(len, texts)) / 4) * _OUTPUT
    else:
        found.truncated += 1
