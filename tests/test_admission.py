"""Which holds have to be ended: those that may be open, and no others."""

from __future__ import annotations

import pytest

from proxy.admission import may_be_open
from proxy.bank.desk import Ticket
from proxy.bank.ops import Admitted, BankUnavailableError, Missed, OutcomeUnknownError, Refused, Result
from tests.bank.kit import admit


@pytest.mark.parametrize(
    ("result", "error", "open_"),
    [
        (None, None, True),
        (Admitted(5), None, True),
        (Refused("insufficient_credits"), None, False),
        (Missed("ended"), None, False),
        (None, OutcomeUnknownError("closed"), True),
        (None, BankUnavailableError("down"), False),
    ],
)
def test_a_hold_is_ended_unless_there_can_be_none(
    result: Result | None, error: BankUnavailableError | OutcomeUnknownError | None, open_: bool
) -> None:
    ticket = Ticket(admit("a"), None)
    ticket.result, ticket.error = result, error
    assert may_be_open(ticket) is open_
