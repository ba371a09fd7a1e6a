"""What an operator is told when the configuration, an address or the data directory cannot be used."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import trio

from proxy.control.secrets import read_or_make

from .place import Place, free_port, wait_until

COMMANDS = (
    ("serve",),
    ("config", "check"),
    ("verify",),
    ("accounts", "create", "a@example.com"),
    ("credits", "balance", "a@example.com"),
)


async def test_every_command_names_file_key_and_what_is_allowed(tmp_path: Path) -> None:
    place = Place(tmp_path, more='workers = "many"\nbnid = 1\n[store]\nsynchronous = "MAYBE"\n')
    for args in COMMANDS:
        done = await place.run(*args)
        assert (done.code, done.out) == (2, ""), args
        first, *lines = done.err.splitlines()
        assert first == "the configuration has 3 problems:"
        assert all(line.startswith(f"{place.config}: ") for line in lines)
        by_key = {line.split(": ")[1]: line for line in lines}
        assert "allowed: a whole number from 1 to 256" in by_key["server.workers"]
        assert 'did you mean "bind"?' in by_key["server.bnid"]
        assert "FULL" in by_key["store.synchronous"]
        assert "NORMAL" in by_key["store.synchronous"]
    assert not place.data.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[server\n", "not TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (None, "No such file"),
    ],
)
async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: bytes | None, said: str) -> None:
    place = Place(tmp_path)
    place.config.unlink()
    if text is not None:
        place.config.write_bytes(text)
    done = await place.run("config", "check")
    assert done.code == 2
    assert str(place.config) in done.err
    assert said in done.err
    assert "Traceback" not in done.err


async def test_the_environment_is_named_where_it_is_to_blame(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.environ["HEADRACE_SERVER__DRAIN"] = "soon"
    done = await place.run("serve")
    assert done.code == 2
    assert "HEADRACE_SERVER__DRAIN" in done.err
    assert "server.drain" in done.err


async def test_a_good_configuration_is_told_without_its_secrets(tmp_path: Path) -> None:
    place = Place(tmp_path, upstream="http://127.0.0.1:1/v1")
    done = await place.run("config", "check")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{place.config}: good\n")
    assert "provider up: openai, key set" in done.out
    assert "CANARY" not in done.out
    assert not place.data.exists()


ODD = """
[[providers]]
name = "openai"
[[models]]
id = "mine"
deployments = [{provider = "openai", model = "my-own-tuning"}]
[[models]]
id = "play"
deployments = [{provider = "sim", model = "echo"}]
strategy = "hedge"
[aliases]
smart = {models = ["mine", "play"], strategy = "quality"}
fast = "play"
[plans.default]
rpm = 60
max_request = "0.5"
allow_race = true
[plans.other]
"""
REMARKS = (
    "provider openai: OPENAI_API_KEY is not set, so only customers' own keys are served",
    "model mine: has no price, so it is refused (404); set its price, or money.allow_unpriced",
)


async def test_what_is_good_but_odd_is_said_by_check_and_at_the_start(tmp_path: Path) -> None:
    place = Place(tmp_path, more='[metrics]\nbind = ""\n' + ODD)
    done = await place.run("config", "check")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[1:] == [
        "  provider openai: openai, no key",
        "  provider sim: sim, no key",
        "  model mine: openai/my-own-tuning (failover)",
        "  model play: sim/echo (hedge)",
        "  alias smart: mine, play (quality)",
        "  alias fast: play",
        "  plan default: rpm 60, max_request 0.5, allow_race true",
        "  plan other: unlimited",
        *(f"warning: {remark}" for remark in REMARKS),
    ]
    async with place.serving() as gateway:
        await wait_until(lambda: gateway.err.count("\n") == len(REMARKS))
        said = [json.loads(line) for line in gateway.err.splitlines()]
        assert [line["event"] for line in said if line["logger"] == "headrace.settings"] == list(REMARKS)
        assert await gateway.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("args", [("--bind", "nonsense"), ("--bind", "127.0.0.1:99999"), ("--nonsense",)])
async def test_wrong_arguments_end_with_2(tmp_path: Path, args: tuple[str, ...]) -> None:
    done = await Place(tmp_path).run("serve", *args)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    async with Place(here).serving() as gateway:
        bind = gateway.url.removeprefix("http://")
        done = await Place(there).run("serve", "--bind", bind)
        assert done.refused() == f"headrace: cannot listen on {bind}: Address already in use"
        done = await Place(there, more=f'[metrics]\nbind = "{bind}"\n').run("serve")
        assert done.refused() == f"headrace: cannot listen on {bind}: Address already in use"
        await gateway.stop()


async def test_a_directory_has_one_gateway(tmp_path: Path) -> None:
    place = Place(tmp_path)
    async with place.serving() as gateway:
        done = await place.run("serve")
        assert done.refused() == f"headrace: another process is using {place.data}"
        # The one that was refused took nothing from the one that serves.
        await place.verified()
        await gateway.stop()


async def test_a_store_that_is_none_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.data.mkdir()
    read_or_make(place.data / "secrets", "pepper", used_by=place.data / "headrace.db")
    database = place.data / "headrace.db"
    database.write_bytes(b"not a database, however long one looks at it" * 100)
    for args in (("serve",), ("verify",)):
        refusal = (await place.run(*args)).refused(3 if args == ("serve",) else 1)
        assert refusal == f"headrace: {database}: file is not a database"


async def test_another_programs_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.data.mkdir()
    read_or_make(place.data / "secrets", "pepper", used_by=place.data / "headrace.db")
    place.write("CREATE TABLE recipe (name TEXT)")
    assert "another program's" in (await place.run("verify")).refused()
    assert place.rows("SELECT name FROM sqlite_schema WHERE type = 'table'") == [("recipe",)]


async def test_a_newer_programs_store_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.run("accounts", "create", "a@example.com")
    place.write("INSERT INTO migration (version, name) VALUES (999, 'to_come')")
    assert "schema version 999" in (await place.run("verify")).refused()


async def test_a_secret_that_others_may_read_or_that_is_too_short_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.run("accounts", "create", "a@example.com")
    pepper = place.data / "secrets" / "pepper"
    pepper.chmod(0o644)
    for args in (("serve",), ("verify",)):
        line = (await place.run(*args)).refused()
        assert line == f"headrace: {pepper} may be read by others; its mode must be 0600"
    pepper.chmod(0o600)
    pepper.write_bytes(b"short")
    assert (await place.run("verify")).refused() == f"headrace: {pepper} is shorter than 32 bytes"


async def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.data.write_text("a file")
    assert str(place.data) in (await place.run("serve")).refused()


async def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "server.pem").write_text("nothing")
    place = Place(tmp_path, more='tls_cert = "server.pem"\ntls_key = "server.pem"\n')
    assert "server.pem" in (await place.run("serve")).refused()


async def test_over_tls_the_printed_address_says_so(tmp_path: Path) -> None:
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", "server.key", "-out", "server.pem", "-days", "2"]
    await trio.run_process([*make, *files, *subject], cwd=tmp_path, capture_stderr=True)
    place = Place(tmp_path, more='tls_cert = "server.pem"\ntls_key = "server.key"\n')
    async with place.serving("--bind", f"127.0.0.1:{free_port()}") as gateway:
        assert gateway.url.startswith("https://127.0.0.1:")
        ask = ["curl", "--silent", "--cacert", "server.pem", f"{gateway.url}/healthz"]
        done = await trio.run_process(ask, cwd=tmp_path, capture_stdout=True)
        assert done.stdout == b'{"status":"ok"}\n'
        await gateway.stop()
