"""Targets of the house, measured as any URL is."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from bench.driver.ceiling import ceiling
from bench.driver.measure import Beside, measure, nothing
from bench.driver.progress import Progress
from bench.driver.records import Run
from bench.driver.target import Target as Address
from bench.house.targets import Target
from bench.process import Cores, on_core


@dataclass(frozen=True, slots=True)
class Paced:
    """Puts a run's targets together and measures them, with the driver on its own core."""

    run: Run
    addresses: tuple[Address, ...]
    cores: Cores

    def measure(self, metrics: int | None = None, beside: Beside = nothing) -> None:
        """Fill the run. Raises BenchError."""
        self.run.targets = {each.name: each.url for each in self.addresses}
        windows = self.run.load.rounds * len(self.addresses)
        with on_core(self.cores.load):
            self.run.ceiling = self.run.ceiling or asdict(ceiling())
            progress = Progress.on(self.run, windows, metrics)
            measure(self.run, self.addresses, progress, beside)


def address(target: Target) -> Address:
    """Return where a target of the house is."""
    headers = tuple(target.headers.items())
    # Whoever answers there, we have just started it.
    return Address(
        target.name, "127.0.0.1", target.port, target.path, target.tls, headers, target.pids(), insecure=True
    )
