"""Run a scenario against Headrace: its providers and gateways are started, asked, and stopped.

`bench run --scenario NAME URL` puts the same load on a URL of yours.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.driver.records import Run
from bench.driver.scenario import Door, Scenario, find, names
from bench.driver.target import Target as Address
from bench.house import headrace
from bench.house.paced import Paced, address
from bench.house.stand import MEMORY, OUT
from bench.house.targets import answers, serving
from bench.process import BenchError, Cores, free_port, running
from bench.report.saved import save

_LEAD = 0.2
"""Seconds from the begin of a window to that of its warm-up, as the driver has it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME|FILE", help=f"one of {', '.join(names())}, or a file")
    parser.add_argument("--rounds", type=int, metavar="N", help="other than the scenario's")
    parser.add_argument(
        "--share", type=float, default=1.0, metavar="X", help="of its seconds and its warm-up"
    )
    parser.add_argument("--metrics", type=int, metavar="PORT", help="show headrace_bench_* to Prometheus")
    parser.add_argument(
        "--out", type=Path, default=OUT, metavar="DIR", help="results go to DIR/NAME.json and .html"
    )


def run(options: argparse.Namespace) -> int:
    """Start, measure, save, print. Exit status 1 if nothing was answered."""
    try:
        scenario = _shortened(find(options.name), options.share, options.rounds)
    except (OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    made = perform(Path(options.name).stem, scenario, options.metrics)
    return 0 if save(made, options.out) else 1


def perform(name: str, scenario: Scenario, metrics: int | None = None) -> Run:
    """Start all of it, measure, stop, check every ledger. Raises BenchError."""
    cores = Cores.here()
    with contextlib.ExitStack() as stack:
        # A ledger in memory, where there is room: a disk that others use stalls for seconds.
        room = str(MEMORY) if MEMORY.is_dir() else None
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-bench-", dir=room)))
        ports = [
            stack.enter_context(_provider(script, place, cores, directory))
            for place, script in enumerate(scenario.stand.providers)
        ]
        gateways = {door.name: _gateway(door, scenario, ports, directory) for door in scenario.stand.targets}
        doors = {door.name: door for door in scenario.stand.targets}
        addresses = []
        for each, gateway in gateways.items():
            headers = (("Authorization", f"Bearer {gateway.key}"),)
            cold = Address(each, "127.0.0.1", gateway.port, "/v1/chat/completions", headers=headers)
            if not doors[each].cold:
                cold = replace(cold, pids=address(stack.enter_context(serving(gateway, cores))).pids)
            addresses.append(cold)
        made = Run(name, scenario.load, {each.name: each.url for each in addresses}, title=scenario.title)
        made.about, made.objective = scenario.about, scenario.objective

        @contextlib.contextmanager
        def beside(target: Address, _turn: int) -> Iterator[None]:
            with contextlib.ExitStack() as window:
                if doors[target.name].cold:
                    gateway = gateways[target.name]
                    window.enter_context(_started(gateway, cores))
                window.enter_context(_happenings(scenario, ports))
                yield

        Paced(made, tuple(addresses), cores).measure(metrics, beside)
        for gateway in gateways.values():
            gateway.verify()
    return made


@contextlib.contextmanager
def _provider(script: str, place: int, cores: Cores, directory: Path) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "bench", "upstream", "--bind", f"127.0.0.1:{port}"]
    command += ["--script", script, "--seed", str(place + 1)]
    with running(f"provider{place}", command, core=cores.load, logs=directory) as child:
        child.wait_until(lambda: answers(port, "lorem:ttft=0,tps=0"))
        yield port


def _gateway(door: Door, scenario: Scenario, ports: list[int], directory: Path) -> headrace.Gateway:
    models = dict.fromkeys((ask.model for ask in scenario.load.asks), None)
    limits = {"--rpm": door.rpm, "--concurrency": door.concurrency}
    return headrace.prepare(
        directory / door.name,
        upstreams=ports,
        models={model: [model] * len(ports) for model in models},
        strategy=door.strategy,
        synchronous="NORMAL",
        limits=[word for name, value in limits.items() if value for word in (name, str(value))],
    )


@contextlib.contextmanager
def _started(gateway: headrace.Gateway, cores: Cores) -> Iterator[None]:
    """Have it started for the block; nobody waits for it."""
    with running(
        "cold", gateway.command, core=cores.gateway, logs=gateway.directory, env=headrace.environment()
    ):
        yield


@contextlib.contextmanager
def _happenings(scenario: Scenario, ports: list[int]) -> Iterator[None]:
    """Tell providers what to do when it is time, and at the end to do as their scripts say."""
    timers = [
        threading.Timer(_LEAD + scenario.load.warmup + each.at, _tell, (ports[each.provider], each.set))
        for each in scenario.stand.events
    ]
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
            timer.join()
        for port in ports if timers else ():
            _tell(port, "")


def _tell(port: int, options: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", "/script", options)
        reply = connection.getresponse()
        if reply.status != 200:
            raise BenchError(f"a provider does not do {options!r}: {reply.read().decode()}")


def _shortened(scenario: Scenario, share: float, rounds: int | None) -> Scenario:
    load = scenario.load
    phases = tuple(replace(phase, seconds=phase.seconds * share) for phase in load.phases)
    load = replace(load, phases=phases, warmup=load.warmup * share, rounds=rounds or load.rounds)
    events = tuple(replace(each, at=each.at * share) for each in scenario.stand.events)
    return replace(scenario, load=load, stand=replace(scenario.stand, events=events))
