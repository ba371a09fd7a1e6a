"""What is shipped for operators, as far as it can be judged without running it (`make rehearse` runs it)."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

from proxy.settings import Settings, load

from .dockerfile import command_of, read, variables

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BUILD, FINAL = read((DEPLOY / "Dockerfile").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
UNIT = (DEPLOY / "headrace.service").read_text()


def test_the_image_has_the_locked_packages_and_no_other() -> None:
    pip = [step.text for step in BUILD.all("RUN") if " pip " in step.text]
    locked, ours = pip
    assert "--require-hashes --only-binary :all: -r" in locked
    assert "--no-deps --no-build-isolation ." in ours
    for lock in BUILD.all("COPY")[0].items[:-1]:
        pins = [line for line in (ROOT / lock).read_text().splitlines() if re.match(r"[a-z0-9]", line)]
        assert all("==" in line for line in pins)


def test_the_image_is_run_by_nobody_of_note_and_says_how_it_is() -> None:
    assert FINAL.last("USER").text == "10001:10001"
    assert command_of(FINAL.last("HEALTHCHECK"))[0] == "python3"
    assert FINAL.last("ENTRYPOINT").items + FINAL.last("CMD").items == ["headrace", "serve"]
    assert not FINAL.all("ARG"), "what is given to a build may be read in the image"
    (volume,) = FINAL.last("VOLUME").items
    assert FINAL.last("WORKDIR").text == volume, "data is relative to the current directory"


def test_what_the_image_sets_are_settings(tmp_path: Path) -> None:
    environ = {name: value for name, value in variables(FINAL).items() if name.startswith("HEADRACE_")}
    settings = load(None, environ, here=tmp_path)
    assert {settings.server.bind, settings.metrics.bind} == {"0.0.0.0:8000", "0.0.0.0:9464"}
    assert FINAL.last("EXPOSE").text.split() == ["8000", "9464"]


def test_only_what_the_image_is_made_of_is_sent_to_the_builder() -> None:
    first, *others = (
        line
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert first == "*"
    sent = {line.removeprefix("!") for line in others if line.startswith("!")}
    assert sent == {each for step in BUILD.all("COPY") for each in step.items[:-1]}
    assert all((ROOT / each).exists() for each in sent)


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_service_has_as_little_as_it_can_do_with(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for volume in service["volumes"]:
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
            assert rest.endswith(":ro"), "the host's files are only read"
        else:
            assert source in COMPOSE["volumes"]


def test_the_services_find_each_other() -> None:
    scraped = yaml.safe_load((DEPLOY / "compose/prometheus.yml").read_text())
    alone = yaml.safe_load((ROOT / "grafana/prometheus.yml").read_text())
    assert scraped["scrape_configs"][0]["static_configs"] == [{"targets": ["gateway:9464"]}]
    assert scraped["rule_files"] == alone["rule_files"]
    assert all((ROOT / "grafana" / each).exists() for each in scraped["rule_files"])
    (source,) = yaml.safe_load((DEPLOY / "compose/datasources/prometheus.yaml").read_text())["datasources"]
    (other,) = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source == {**other, "url": "http://prometheus:9090"}
    (boards,) = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/headrace.yaml").read_text())[
        "providers"
    ]
    mounted = [each.split(":")[1] for each in COMPOSE["services"]["grafana"]["volumes"]]
    assert boards["options"]["path"] in mounted


def test_the_gateway_has_the_time_it_takes_to_stop() -> None:
    grace = int(COMPOSE["services"]["gateway"]["stop_grace_period"].removesuffix("s"))
    stop = int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[0])
    assert min(grace, stop) > Settings().server.drain + 5


def test_what_compose_sets_are_settings(tmp_path: Path) -> None:
    environment = COMPOSE["services"]["gateway"]["environment"]
    environ = {
        name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", str(value))
        for name, value in environment.items()
        if name.startswith("HEADRACE_")
    }
    assert load(ROOT / "config/headrace.toml", environ, here=tmp_path).log.format == "json"


def test_the_unit_is_one_and_leaves_little_open() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[method-assign, assignment]
    unit.read_string(UNIT)
    service = unit["Service"]
    assert service["CapabilityBoundingSet"] == ""
    for name in ("NoNewPrivileges", "DynamicUser", "MemoryDenyWriteExecute", "PrivateUsers"):
        assert service[name] == "yes"
    assert service["ProtectSystem"] == "strict"
    if which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    file = str(DEPLOY / "headrace.service")
    found = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    said = [line for line in found.stderr.splitlines() if "headrace.service" in line]
    assert [line for line in said if "is not executable" not in line] == [], "where it is not installed"
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rated.returncode == 0, rated.stdout[-300:]
