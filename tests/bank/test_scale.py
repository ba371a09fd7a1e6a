"""The rules are the same for the poorest and the richest: nobody is trusted for having much."""

from __future__ import annotations

import pytest

from proxy.bank.ops import Admitted, Extend, Extended, Refused, Settled
from proxy.words.money import MAX_NANO

from .kit import NOON, admit, bank, decide, settle

BALANCES = [*(10**digits for digits in range(1, 19)), MAX_NANO]


@pytest.mark.fault("F37", "F38")
@pytest.mark.parametrize("balance", BALANCES)
def test_a_hold_is_taken_whatever_the_balance(balance: int) -> None:
    store = bank(balance)
    held, over = decide(store, [admit("a", balance - 1), admit("b", 2)])
    assert held == Admitted(1)
    assert over == Refused("insufficient_credits", 2, 1, balance - 1, 1)
    last, more = decide(store, [Extend("x", "a", 1, NOON), Extend("y", "a", 1, NOON)])
    assert last == Extended(balance, 0)
    assert more == Refused("insufficient_credits", 1, 0, balance, 1)
    (ended,) = decide(store, [settle("a", balance)])
    assert ended == Settled(balance, 0, 0, 0, 0)
