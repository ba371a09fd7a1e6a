"""Who can be asked: the mock upstream itself (`direct`), the naive stack, and Headrace as a black box.

Each is a context manager that starts a process and gives a `Target` once it answers chat completions. A
target is only an address, headers and pids, so that any OpenAI-compatible URL can become one.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bench.house import headrace
from bench.house.workload import Workload
from bench.native import tool
from bench.process import Child, Cores, free_port, running

_ROOT = Path(__file__).parents[2]
_PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Target:
    """An address that answers OpenAI's chat completions."""

    name: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = _PATH
    tls: bool = False
    child: Child | None = None  # whose CPU and memory count
    first_answer: float | None = None  # seconds from the start of the process
    first_model: str = ""

    def pids(self) -> tuple[int, ...]:
        """The processes that do the work of this target."""
        return self.child.pids() if self.child else ()


@dataclass(frozen=True, slots=True)
class Bed:
    """What a target is started on: the upstream behind it, the cores, a directory that goes away."""

    upstream: int
    cores: Cores
    directory: Path
    workloads: tuple[Workload, ...]


@contextlib.contextmanager
def upstream(
    cores: Cores, directory: Path, *, seed: int = 1, tls: headrace.Certificates | None = None
) -> Iterator[int]:
    """The mock provider; gives its port. `seed` is of what it leaves to chance."""
    port = free_port()
    command: list[str | Path] = [tool("upstream"), "-p", str(port), "-r", str(seed)]
    if tls is not None:
        command += ["-S", tls.pem]
    with running(
        f"upstream{seed}{'' if tls is None else '-tls'}", command, core=cores.load, logs=directory
    ) as child:
        child.wait_until(lambda: answers(port, "mock", tls=tls is not None))
        yield port


@contextlib.contextmanager
def _direct(bed: Bed) -> Iterator[Target]:
    yield Target("direct", bed.upstream)


@contextlib.contextmanager
def _naive(bed: Bed) -> Iterator[Target]:
    port = free_port()
    command = [sys.executable, "-m", "hypercorn", "--worker-class", "trio", "--bind", f"127.0.0.1:{port}"]
    env = dict(os.environ, BENCH_UPSTREAM=f"http://127.0.0.1:{bed.upstream}", PYTHONPATH=str(_ROOT))
    run = running(
        "naive", [*command, "bench.house.naive:app"], core=bed.cores.gateway, logs=bed.directory, env=env
    )
    with run as child:
        seconds = child.wait_until(lambda: answers(port, "mock"))
        yield Target("naive", port, child=child, first_answer=seconds, first_model="mock")


@contextlib.contextmanager
def _headrace(bed: Bed) -> Iterator[Target]:
    models = {workload.model: [workload.model] for workload in bed.workloads}
    gateway = headrace.prepare(bed.directory / "headrace", upstreams=[bed.upstream], models=models)
    with serving(gateway, bed.cores) as target:
        yield target


@contextlib.contextmanager
def _headrace_tls(bed: Bed) -> Iterator[Target]:
    """The same with TLS on both sides; needs OpenSSL's headers, for the C tools."""
    models = {workload.model: [workload.model] for workload in bed.workloads}
    tls = headrace.Certificates.make(bed.directory)
    with upstream(bed.cores, bed.directory, tls=tls) as port:
        directory = bed.directory / "headrace-tls"
        gateway = headrace.prepare(directory, upstreams=[port], models=models, tls=tls)
        with serving(gateway, bed.cores) as target:
            yield target


@contextlib.contextmanager
def serving(gateway: headrace.Gateway, cores: Cores) -> Iterator[Target]:
    """Headrace, until the end of the block."""
    headers = {"Authorization": f"Bearer {gateway.key}"}
    run = running(
        "headrace", gateway.command, core=cores.gateway, logs=gateway.directory, env=headrace.environment()
    )
    with run as child:
        seconds = child.wait_until(lambda: answers(gateway.port, "sim/echo", headers, tls=gateway.tls))
        child.wait_until(lambda: _status(gateway.port, "GET", "/readyz", tls=gateway.tls) == 200)
        yield Target(
            "headrace-tls" if gateway.tls else "headrace",
            gateway.port,
            tls=gateway.tls,
            headers=headers,
            child=child,
            first_answer=seconds,
            first_model="sim/echo",
        )


TARGETS: dict[str, Callable[[Bed], AbstractContextManager[Target]]] = {
    "direct": _direct,
    "naive": _naive,
    "headrace": _headrace,
    "headrace-tls": _headrace_tls,
}


def answers(port: int, model: str, headers: Mapping[str, str] | None = None, *, tls: bool = False) -> bool:
    """Whether a chat completion succeeds there now."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16})
    return (
        _status(port, "POST", _PATH, body, {"Content-Type": "application/json", **(headers or {})}, tls=tls)
        == 200
    )


def _status(
    port: int,
    method: str,
    path: str,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    tls: bool = False,
) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    if tls:  # whoever answers there, we have just started it
        context = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    with contextlib.closing(connection):
        try:
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            reply.read()
        except (OSError, http.client.HTTPException):
            return 0
        return reply.status
