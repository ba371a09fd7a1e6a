"""S42, S46: what the first start makes, who may read it, and who should not run it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from proxy.observe import log
from proxy.settings import Log, Settings
from tests.process.place import AS_ROOT, Place


async def test_s42_two_first_starts_share_no_secret_and_none_is_a_default(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        place = Place(tmp_path / name)
        async with place.serving() as gateway:
            secrets = {file.name: file.read_bytes() for file in (place.data / "secrets").iterdir()}
            made.append((gateway.password, gateway.starter_key, secrets))
            await gateway.stop()
    (password_1, key_1, secrets_1), (password_2, key_2, secrets_2) = made
    assert password_1 != password_2
    assert key_1 != key_2
    assert secrets_1.keys() == secrets_2.keys() >= {"pepper"}
    for name, secret in secrets_1.items():
        assert secret != secrets_2[name], name
        assert len(secret) >= 32, name
    for weak in ("admin", "changeme", "password", "headrace"):
        assert weak not in password_1.lower()


@pytest.mark.parametrize("weak", [b"", b"changeme", b"x" * 31], ids=["empty", "a default", "too short"])
async def test_s42_a_start_with_a_weak_secret_is_refused(tmp_path: Path, weak: bytes) -> None:
    place = Place(tmp_path)
    secrets = place.data / "secrets"
    secrets.mkdir(parents=True, mode=0o700)
    (secrets / "pepper").write_bytes(weak)
    (secrets / "pepper").chmod(0o600)
    said = (await place.run("serve")).err
    assert "is shorter than 32 bytes" in said
    assert not (place.data / "headrace.db").exists()


async def test_s46_nobody_but_its_user_may_read_what_the_gateway_keeps(tmp_path: Path) -> None:
    place = Place(tmp_path)
    umask = os.umask(0)
    try:
        async with place.serving() as gateway:
            kept = {path: stat.S_IMODE(path.stat().st_mode) for path in (place.data, *place.data.rglob("*"))}
            await gateway.stop()
    finally:
        os.umask(umask)
    assert {path.name for path in kept} >= {"data", "secrets", "pepper", "headrace.db", "control.sock"}
    for path, mode in kept.items():
        assert not mode & 0o077, f"{path} may be opened by others: {mode:o}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be warned of being root")
@pytest.mark.parametrize("workers", [1, 2])
async def test_s46_being_run_by_root_is_warned_of_once(tmp_path: Path, workers: int) -> None:
    place = Place(tmp_path)
    async with place.begun("--workers", str(workers)) as (process, out, err):
        from tests.process.place import served

        gateway = await served(process, out, err)
        await gateway.stop()
        assert AS_ROOT in err.read_text()
        assert err.read_text().count("root") == 1


@pytest.mark.parametrize(("user", "warned"), [(0, True), (1, False), (1000, False), (65_534, False)])
def test_s46_others_are_not(capfd: pytest.CaptureFixture[str], user: int, warned: bool) -> None:
    with log.speaking(Settings(log=Log(format="json"))):
        log.runs_as(user)
    assert (AS_ROOT in capfd.readouterr().err) is warned
