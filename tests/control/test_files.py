"""The data directory: its one owner, and the secrets in it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from proxy.control.commands import own_to_serve
from proxy.control.lock import DirectoryInUseError, own
from proxy.control.secrets import WeakSecretError, read_or_make

NOTHING = Path("/nonexistent")


def test_a_directory_has_one_owner_at_a_time(tmp_path: Path) -> None:
    place = tmp_path / "a" / "data"
    with own(place):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        with pytest.raises(DirectoryInUseError, match=str(place)), own(place):
            pass
    with own(place):
        pass


def test_a_gateway_waits_for_a_command_that_has_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.control.commands._PATIENCE", 0.0)
    with own(tmp_path), pytest.raises(DirectoryInUseError), own_to_serve(tmp_path):
        pass
    with own_to_serve(tmp_path), pytest.raises(DirectoryInUseError), own(tmp_path):
        pass


def test_a_secret_is_made_once_and_kept_to_us(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "secrets"
    secret = read_or_make(directory, "pepper", used_by=NOTHING)
    assert len(secret) == 32
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [file.name for file in directory.iterdir()] == ["pepper"]
    assert stat.S_IMODE((directory / "pepper").stat().st_mode) == 0o600
    assert read_or_make(directory, "pepper", used_by=NOTHING) == secret
    assert read_or_make(directory, "other", used_by=NOTHING) != secret


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_secret_that_is_not_ours_alone_is_refused(tmp_path: Path, mode: int) -> None:
    read_or_make(tmp_path, "pepper", used_by=NOTHING)
    (tmp_path / "pepper").chmod(mode)
    with pytest.raises(WeakSecretError, match="its mode must be 0600"):
        read_or_make(tmp_path, "pepper", used_by=NOTHING)


@pytest.mark.parametrize("size", [0, 1, 31])
def test_a_secret_that_is_too_short_is_refused(tmp_path: Path, size: int) -> None:
    read_or_make(tmp_path, "pepper", used_by=NOTHING)
    (tmp_path / "pepper").write_bytes(b"x" * size)
    with pytest.raises(WeakSecretError, match="shorter than 32 bytes"):
        read_or_make(tmp_path, "pepper", used_by=NOTHING)


def test_a_secret_that_is_gone_is_not_made_again_under_a_database_that_rests_on_it(tmp_path: Path) -> None:
    database = tmp_path / "headrace.db"
    database.touch()
    with pytest.raises(WeakSecretError, match="put it back"):
        read_or_make(tmp_path, "pepper", used_by=database)
    assert not (tmp_path / "pepper").exists()
