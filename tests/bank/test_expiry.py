"""A code is void from the very millisecond it says; one that was refused can still be redeemed in time."""

from __future__ import annotations

import pytest

from proxy.bank.ops import Granted, Redeem, Refused, Result
from proxy.bank.rows import Code

from .kit import NOON, bank, decide

DIGEST = bytes(32)


@pytest.mark.parametrize(
    ("at", "result"),
    [
        (NOON - 1, Granted(1500, 1500)),
        (NOON, Refused("code_expired")),
        (NOON + 1, Refused("code_expired")),
    ],
)
def test_a_code_pays_before_its_end_alone(at: int, result: Result) -> None:
    store = bank()
    store.codes[DIGEST] = Code(DIGEST, 500, NOON - 1000, expires_at=NOON)
    assert decide(store, [Redeem("late", 1, DIGEST, at)]) == [result]
    assert store.accounts[1].posted == (1500 if at < NOON else 1000)


def test_who_cannot_be_paid_uses_up_no_code() -> None:
    store = bank()
    store.codes[DIGEST] = Code(DIGEST, 500, NOON - 1000)
    nobody, paid = decide(store, [Redeem("nobody", 9, DIGEST, NOON), Redeem("one", 1, DIGEST, NOON)])
    assert nobody == Refused("permission_denied")
    assert paid == Granted(1500, 1500)
