"""Sealing: what opens, and all that does not (S24, S25)."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from proxy.control.bank import open_bank
from proxy.control.seal import OVERHEAD, Keyring, SealError, make_master, master_of, open_keyring
from proxy.control.secrets import WeakSecretError
from proxy.settings import SettingsError, load
from tests.e2e.harness import settings_for

ONE, TWO = bytes(range(32)), bytes(range(32, 64))


@pytest.mark.parametrize("size", [0, 1, 51, 16_384, 1024 * 1024])
def test_s24_what_is_sealed_opens_in_its_context_alone(size: int) -> None:
    ring = Keyring({1: ONE})
    secret = os.urandom(size)
    sealed = ring.seal(secret, b"7|openai|a|1")
    assert len(sealed) == size + OVERHEAD
    assert ring.open(sealed, b"7|openai|a|1") == secret
    for other in (b"8|openai|a|1", b"7|openai|b|1", b"7|openai|a|2", b"7|openrouter|a|1", b""):
        with pytest.raises(SealError):
            ring.open(sealed, other)


def test_s24_no_bit_of_it_can_be_changed() -> None:
    ring = Keyring({1: ONE, 3: TWO})
    sealed = ring.seal(b"sk-secret", b"context")
    for place in range(len(sealed)):
        for bit in (1, 2, 128):
            changed = bytearray(sealed)
            changed[place] ^= bit
            with pytest.raises(SealError):
                ring.open(bytes(changed), b"context")
    for cut in range(len(sealed)):
        with pytest.raises(SealError):
            ring.open(sealed[:cut], b"context")


def test_s24_the_two_layers_of_two_secrets_cannot_be_exchanged() -> None:
    ring = Keyring({1: ONE})
    first, second = (ring.seal(secret, b"context") for secret in (b"one secret", b"another"))
    wrapped = OVERHEAD - 12 - 16
    with pytest.raises(SealError):
        ring.open(first[:wrapped] + second[wrapped:], b"context")


def test_s24_nothing_is_sealed_twice_with_the_same_key_or_nonce() -> None:
    ring = Keyring({1: ONE})
    sealed = [ring.seal(b"the same", b"context") for _ in range(256)]
    for part in (slice(5, 17), slice(17, 65), slice(65, 77), slice(77, None)):
        assert len({each[part] for each in sealed}) == len(sealed)


def test_s25_the_newest_master_key_seals_and_all_open() -> None:
    old = Keyring({1: ONE})
    sealed = old.seal(b"secret", b"context")
    ring = Keyring({1: ONE, 2: TWO})
    assert ring.open(sealed, b"context") == b"secret"
    rewrapped = ring.rewrap(sealed, b"context")
    assert (master_of(sealed), master_of(rewrapped)) == (1, 2)
    assert Keyring({2: TWO}).open(rewrapped, b"context") == b"secret"
    assert rewrapped[65:] == sealed[65:]
    for stranger in (Keyring({2: TWO}), Keyring({1: TWO})):
        with pytest.raises(SealError):
            stranger.open(sealed, b"context")
    with pytest.raises(SealError):
        ring.rewrap(sealed, b"another")


def test_a_ring_shows_no_key() -> None:
    assert repr(Keyring({1: ONE, 2: TWO})) == "<Keyring [1, 2]>"


def test_s25_master_keys_are_files_made_once_and_kept_to_us(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    ring = open_keyring(directory)
    assert [(file.name, file.stat().st_mode & 0o777) for file in directory.iterdir()] == [("master-1", 0o600)]
    assert open_keyring(directory).marks() == ring.marks()
    assert make_master(directory, ring) == ring.newest == 2
    assert open_keyring(directory).marks() == ring.marks()
    (directory / "master-2").chmod(0o640)
    with pytest.raises(WeakSecretError, match="its mode must be 0600"):
        open_keyring(directory)


def test_s25_master_keys_may_come_from_elsewhere(tmp_path: Path) -> None:
    text = f"7:{base64.b64encode(ONE).decode()}, 8:{base64.b64encode(TWO).decode()}"
    given = load(None, {"HEADRACE_SECRETS__MASTER_KEYS": text}, here=tmp_path).secrets
    assert given.master_keys == ((7, ONE), (8, TWO))
    assert repr(ONE) not in repr(given)
    ring = open_keyring(tmp_path / "none", given=given.master_keys)
    assert ring.newest == 8
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("text", ["", "1", "1:", "0:" + "QUFB" * 11, "x:" + "QUFB" * 11, "1:QUFB", "1:***"])
def test_s25_a_master_key_from_elsewhere_that_is_none_is_refused_unseen(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, {"HEADRACE_SECRETS__MASTER_KEYS": text}, here=Path())
    assert "QUFB" not in str(caught.value)


async def test_s25_a_lost_or_exchanged_master_key_is_told_at_start(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, [])
    async with open_bank(settings) as bank:
        assert bank.keyring.newest == 1
    path = settings.secrets.dir / "master-1"
    kept = path.read_bytes()
    path.write_bytes(TWO)
    with pytest.raises(WeakSecretError, match="master-1 is not the master key 1"):
        async with open_bank(settings):
            pass
    path.unlink()
    with pytest.raises(WeakSecretError, match="master-1 is gone"):
        async with open_bank(settings):
            pass
    path.write_bytes(kept)
    path.chmod(0o600)
    async with open_bank(settings) as bank:
        assert bank.keyring.marks() == Keyring({1: kept}).marks()


async def test_s25_a_master_key_is_not_in_the_database(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, [])
    async with open_bank(settings) as bank:
        ((mark,),) = await bank.store.read("SELECT mark FROM master_key")
        assert {1: mark} == bank.keyring.marks()
    key = (settings.secrets.dir / "master-1").read_bytes()
    database = settings.store.path
    assert not any(key in file.read_bytes() for file in sorted(database.parent.glob(f"{database.name}*")))
