"""A real Prometheus for the length of a block: it scrapes each second, and its rules' times are seconds."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import trio
import yaml

from tests.fakes.client import get
from tests.patience import LONG
from tests.process.place import free_port, wait_until
from tests.tools import tool

from .kit import RULES

WINDOW = "20s"
"""What every window of a rule is cut to, and `$__rate_interval` stands for."""
_LINGER = "2s"
"""What every `for` is cut to."""


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series that an instant query gives. What Prometheus cannot make sense of fails."""
        answer = await get(self.url, f"/api/v1/query?query={quote(filled(expr))}")
        assert answer.status == 200, (expr, answer.body)
        found: list[dict[str, Any]] = answer.json["data"]["result"]
        return found

    async def firing(self) -> dict[str, list[dict[str, Any]]]:
        """Return the alerts that fire now, by name."""
        answer = await get(self.url, "/api/v1/alerts")
        found: dict[str, list[dict[str, Any]]] = {}
        for alert in answer.json["data"]["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert)
        return found

    async def unhealthy(self) -> list[str]:
        """Return the rules that could not be evaluated, and why."""
        groups = (await get(self.url, "/api/v1/rules")).json["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert rules
        return [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] == "err"]

    async def label_values(self, series: str, label: str) -> list[str]:
        """Return what a variable of a dashboard offers."""
        answer = await get(self.url, f"/api/v1/label/{label}/values?match[]={quote(series)}")
        found: list[str] = answer.json["data"]
        return found


def filled(expr: str) -> str:
    """Fill in what Grafana would, everything being chosen."""
    expr = expr.replace("$__rate_interval", WINDOW)
    return re.sub(r"\$(provider|model|target)", ".*", expr)


def _hurried(directory: Path) -> list[str]:
    """Copy the rules, with all times cut to seconds."""
    paths = []
    for path in sorted(RULES.glob("*.yml")):
        told = yaml.safe_load(path.read_text())
        for group in told["groups"]:
            group["interval"] = "1s"
            for rule in group["rules"]:
                rule["expr"] = re.sub(r"\[\d+[smhd]\]", f"[{WINDOW}]", rule["expr"])
                if "for" in rule:
                    rule["for"] = _LINGER
        copy = directory / path.name
        copy.write_text(yaml.safe_dump(told))
        paths.append(str(copy))
    return paths


@asynccontextmanager
async def scraping(directory: Path, jobs: Mapping[str, int]) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that scrapes these ports, by the names of the jobs, in a directory that is there."""
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": _hurried(directory),
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for job, port in jobs.items()
        ],
    }
    file, port = directory / "prometheus.yml", free_port()
    file.write_text(yaml.safe_dump(config))
    command = [
        tool("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    log = directory / "log"
    with log.open("wb") as said:
        process = await trio.lowlevel.open_process(command, stdout=said, stderr=subprocess.STDOUT)
    try:
        found = Prometheus(f"http://127.0.0.1:{port}")
        await wait_until(lambda: process.poll() is not None or _answers(port), 60)
        assert process.poll() is None, log.read_text()
        with trio.fail_after(LONG):
            # It listens before it has opened its database.
            while (await get(found.url, "/-/ready")).status != 200:  # noqa: ASYNC110 - it says nothing by itself
                await trio.sleep(0.05)
        yield found
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
