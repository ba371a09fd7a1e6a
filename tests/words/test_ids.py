"""Identifiers sort by time, and a mistyped key is refused without a look-up."""

from __future__ import annotations

import random
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.words import ids
from proxy.words.ids import KEY_PATTERN, KEY_PREFIXES, KeyKind, key_kind, new_key, ulid

KINDS: tuple[KeyKind, ...] = get_args(KeyKind)
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TYPED = BASE62 + "-_ .!\n\u00e9"
moments = st.integers(0, 2**48 - 1)
entropies = st.binary(min_size=10, max_size=10)


def sealed(kind: KeyKind, body: str) -> str:
    """Return the key with that body."""
    head = KEY_PREFIXES[kind] + body
    return head + ids._checksum(head)


DRAWN = "".join(random.Random(62).choices(BASE62, k=32))
SAMPLES = [
    sealed(kind, body)
    for kind in KINDS
    for body in ("0" * 32, "z" * 32, "00000000000000000000000000000001", BASE62[:32], BASE62[-32:], DRAWN)
]


@given(moments, entropies)
def test_a_ulid_holds_its_time_and_entropy(moment: int, entropy: bytes) -> None:
    text = ulid(moment, entropy)
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", text)
    number = 0
    for character in text:
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(character)
    assert number.to_bytes(16, "big") == moment.to_bytes(6, "big") + entropy


@given(moments, entropies, moments, entropies)
def test_ulids_sort_as_their_numbers(moment: int, entropy: bytes, later: int, other: bytes) -> None:
    assert (ulid(moment, entropy) < ulid(later, other)) == ((moment, entropy) < (later, other))


def test_made_ids_have_their_shape_and_differ() -> None:
    made = [ids.new_generation_id() for _ in range(100)]
    assert len(set(made)) == 100
    assert all(re.fullmatch(r"gen_[0-9A-HJKMNP-TV-Z]{26}", one) for one in made)
    assert re.fullmatch(r"req_[0-9A-HJKMNP-TV-Z]{26}", ids.new_request_id())


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_is_of_its_kind(kind: KeyKind) -> None:
    for _ in range(20):
        key = new_key(kind)
        assert key.startswith(KEY_PREFIXES[kind])
        assert len(key) == len(KEY_PREFIXES[kind]) + 38
        assert KEY_PATTERN.fullmatch(key)
        assert key_kind(key) == kind


def test_the_contract_names_the_prefixes() -> None:
    assert KEY_PREFIXES == {"account": "fd_agg_", "gateway": "fk-", "project": "flp_sk_", "mcp": "fd_mcp_"}
    assert set(KEY_PREFIXES) == set(KINDS)


def test_the_checksum_is_crc32_in_base62_zero_padded() -> None:
    """Fixed for ever: keys are in people's hands."""
    assert sealed("gateway", "0" * 32) == "fk-" + "0" * 32 + "2xisxk"
    assert sealed("account", BASE62[:32]) == "fd_agg_" + BASE62[:32] + "2nKLWf"


@pytest.mark.fault("F31")
@pytest.mark.parametrize("key", SAMPLES)
def test_every_wrong_character_is_refused(key: str) -> None:
    for place, right in enumerate(key):
        for wrong in TYPED:
            if wrong != right:
                assert key_kind(key[:place] + wrong + key[place + 1 :]) is None


@pytest.mark.fault("F31")
@pytest.mark.parametrize("key", SAMPLES)
def test_every_swap_of_neighbours_is_refused(key: str) -> None:
    for place in range(len(key) - 1):
        one, other = key[place], key[place + 1]
        if one != other:
            assert key_kind(key[:place] + other + one + key[place + 2 :]) is None


@pytest.mark.fault("F31")
@pytest.mark.parametrize(
    "key",
    [
        *(
            "",
            "fk-",
            "fk",
            "fd_agg_",
            "flp_sk_",
            "fd_mcp_",
            "sk-abc",
            "' OR 1=1 --",
            "\x00",
            "fk-" + "0" * 38,
        ),
        *("x" * 1_000_000, "fk-" + "0" * 1_000_000, "fk-" + "\ud800" * 38, "fk-" + "\u0661" * 38),
        *(SAMPLES[0] + "\n", " " + SAMPLES[0], SAMPLES[0][:-1], SAMPLES[0] + "0", SAMPLES[0].swapcase()),
        sealed("gateway", "!" * 32),
        sealed("gateway", "\n" * 32),
        sealed("gateway", "0" * 31),
    ],
)
def test_what_is_no_key_is_refused(key: str) -> None:
    assert key_kind(key) is None


def test_a_key_of_one_kind_is_not_one_of_another() -> None:
    for kind in KINDS:
        body = new_key(kind).removeprefix(KEY_PREFIXES[kind])
        for other in set(KINDS) - {kind}:
            assert key_kind(KEY_PREFIXES[other] + body) is None


def test_the_digest_needs_the_pepper_and_hides_the_key() -> None:
    key = new_key("account")
    digest = ids.key_digest(b"pepper", key)
    assert len(digest) == 32
    assert digest == ids.key_digest(b"pepper", key)
    assert digest != ids.key_digest(b"salt", key)
    assert digest != ids.key_digest(b"pepper", new_key("account"))


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128))
def test_a_visible_ascii_request_id_is_kept(offered: str) -> None:
    assert ids.request_id(offered) == offered


@pytest.mark.parametrize(
    "offered", [None, "", "a b", "a" * 129, "a\n", "\n", "a\r\nx: y", "\u00e9", "\x7f", "a\t"]
)
def test_any_other_request_id_is_replaced(offered: str | None) -> None:
    made = ids.request_id(offered)
    assert re.fullmatch(r"req_[0-9A-HJKMNP-TV-Z]{26}", made)
    assert made != ids.request_id(offered)
