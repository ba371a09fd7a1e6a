"""Runs `load`, the closed-loop driver in C, against one target and reads its one line of JSON."""

from __future__ import annotations

import subprocess
from typing import Any

import orjson

from bench.house.results import Latency, Sample
from bench.house.targets import Target
from bench.house.workload import Workload
from bench.native import tool
from bench.process import BenchError, Cores, core_ticks, on_core


def measure(target: Target, workload: Workload, *, seconds: float, cores: Cores, turn: int = 0) -> Sample:
    """One timed window. Raises BenchError when the driver fails."""
    command = _command(target, workload, seconds)
    before = core_ticks(cores.load)
    with on_core(cores.load):
        limit = seconds + workload.warmup + 30
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    busy, total = (after - then for after, then in zip(core_ticks(cores.load), before, strict=True))
    if done.returncode != 0:
        raise BenchError(f"load ended with {done.returncode}: {done.stderr.strip()}")
    return read(
        orjson.loads(done.stdout),
        target=target.name,
        workload=workload.name,
        turn=turn,
        load_core_percent=round(100 * busy / total, 1) if total else None,
    )


def _command(target: Target, workload: Workload, seconds: float) -> list[str]:
    command = [str(tool("load")), "-p", str(target.port), "-u", target.path, "-B", workload.body()]
    command += ["-c", str(workload.connections), "-R", str(workload.ramp_ms)]
    command += ["-d", str(seconds), "-w", str(workload.warmup), "-l", target.name]
    if workload.rate:
        command += ["-r", str(workload.rate)]
    if target.tls:
        command += ["-S"]
    for name, value in target.headers.items():
        command += ["-A", f"{name}: {value}"]
    if pids := target.pids():
        command += ["-P", ",".join(map(str, pids))]
    return command


def read(
    line: dict[str, Any], *, target: str, workload: str, turn: int, load_core_percent: float | None
) -> Sample:
    """The driver's words in ours; its microseconds become milliseconds."""
    return Sample(
        target=target,
        workload=workload,
        round=turn,
        duration=line["secs"],
        completed=line["ok"],
        failed=line["bad"] + line["errs"],
        shed_throughput=line.get("shed_s"),
        request_throughput=line["rps"],
        chunk_throughput=line.get("chunks_s"),
        cpu_us_request=line.get("cpu_us_req"),
        cpu_us_chunk=line.get("cpu_us_chunk"),
        cpu_percent=line.get("cpu_pct"),
        rss_mb=line.get("rss_mb"),
        load_core_percent=load_core_percent,
        e2el_ms=_milliseconds(line.get("lat")),
        ttft_ms=_milliseconds(line.get("ttfb")),
        itl_ms=_milliseconds(line.get("itl")),
        hop_ms=_milliseconds(line.get("hop")),
        shed_ms=_milliseconds(line.get("shed")),
    )


def _milliseconds(latency: Latency | None) -> Latency:
    return {name: value / 1000 for name, value in (latency or {}).items()}
