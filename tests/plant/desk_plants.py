"""Bugs in how operations reach the store, are recovered and looked at afterwards: desk, sweep, verify."""

from __future__ import annotations

from typing import Final

from .bank_plants import STORE
from .planting import Plant

DESK: Final = "tests/bank/test_desk.py"
RECORDER: Final = "tests/process/test_recorder.py"
SWEEP: Final = "tests/bank/test_sweep.py"
VERIFY: Final = "tests/bank/test_verify.py"

_DESK: Final = "proxy/bank/desk.py"
_SLOTS: Final = "proxy/bank/slots.py"
_SWEEP: Final = "proxy/bank/sweep.py"
_VERIFY: Final = "proxy/bank/verify.py"

PLANTS: Final = (
    Plant(
        "outbox-drops-ends",
        _DESK,
        "        self._pending = ends\n",
        "        self._pending = deque()\n",
        "a store that fails once loses settles, and their holds leak",
        (f"{DESK}::test_what_no_batch_has_tried_is_refused_at_once",),
    ),
    Plant(
        "decided-batch-taken-for-failed",
        _DESK,
        "(result := known.get(ticket.op.op_id)) is not None",
        "(result := known.get(ticket.op.hold_id)) is not None",
        "a client hears 503 for a hold that was taken",
        (DESK,),
    ),
    Plant(
        "undecided-ends-lose-their-place",
        _DESK,
        "self._pending.extendleft(reversed(undecided))",
        "self._pending.extendleft(undecided)",
        "ends are decided in another order than they were handed in",
        (DESK,),
    ),
    Plant(
        "refused-admit-sent-again",
        _DESK,
        "            elif isinstance(ticket.op, _ENDS):\n",
        "            elif ticket.op.at:\n",
        "a hold is opened for a client that was told there is none",
        (DESK,),
    ),
    Plant(
        "commit-called-back",
        _DESK,
        "if await self._step(shield=True):",
        "if await self._step(shield=False):",
        "a stop in mid-commit takes decided operations for undecided",
        (DESK,),
    ),
    Plant(
        "desk-stops-without-finishing",
        _DESK,
        "                await self._finish()\n",
        "                pass\n",
        "a graceful stop leaves the last settles behind",
        (DESK,),
    ),
    Plant(
        "malformed-operation-fails-the-batch",
        _DESK,
        "        check(op, record)\n",
        "",
        "one caller's mistake fails everyone's operations",
        (DESK,),
    ),
    Plant(
        "closed-desk-takes-admits",
        _DESK,
        "if (self._down or self._closed) and not isinstance(op, _ENDS):",
        "if self._down and not isinstance(op, _ENDS):",
        "a request waits for ever for a desk that has closed",
        (DESK,),
    ),
    Plant(
        "record-left-behind",
        _DESK,
        "[ticket.record for ticket in batch]",
        "[None for ticket in batch]",
        "money is taken and nothing says for what",
        (DESK,),
    ),
    Plant(
        "failing-store-hammered",
        _DESK,
        "min(self._delay * 2, LAST_DELAY)",
        "self._delay",
        "a store in trouble is asked twenty times a second",
        (DESK,),
    ),
    Plant(
        "sweep-ends-the-living",
        _SWEEP,
        " if hold.epoch not in living}",
        "}",
        "one worker's restart voids another's running streams",
        (STORE,),
    ),
    Plant(
        "sweep-without-epoch",
        _SWEEP,
        'how="recovered", epoch=hold.epoch)',
        'how="recovered")',
        "what a later epoch left open is never released",
        (STORE,),
    ),
    Plant(
        "sweep-says-it-released-nothing",
        _SWEEP,
        "        swept.released += result.released\n",
        "",
        "the figures an operator sees after a crash are wrong",
        (STORE,),
    ),
    Plant(
        "sweep-charges-for-nothing",
        _SWEEP,
        "if left.tariff is None or not left.answer_bytes + left.reasoning_bytes:",
        "if left.tariff is None:",
        "a client that was sent nothing pays for its prompt when the process dies",
        (SWEEP,),
    ),
    Plant(
        "sweep-does-not-fence",
        _SWEEP,
        "for epoch in epochs if epoch]",
        "for epoch in epochs if not epoch]",
        "what a dead process had sent arrives after the sweep and charges a client anew",
        (SWEEP, STORE),
    ),
    Plant(
        "torn-mark-believed",
        _SLOTS,
        "if len(check) < CHECK.size or check != CHECK.pack(crc32(body)):",
        "if len(check) < CHECK.size:",
        "half a write is taken for the bill of a killed stream",
        (RECORDER,),
    ),
    Plant(
        "slot-of-another-believed",
        _SLOTS,
        "if whose != hold_id:",
        "if not whose:",
        "a hold is settled by what another request had been sent",
        (RECORDER,),
    ),
    Plant(
        "verify-trusts-sums",
        _VERIFY,
        "        if self._sum:\n",
        "        if self._sum > 1:\n",
        "money made of nothing passes the check",
        (VERIFY,),
    ),
    Plant(
        "verify-trusts-balances",
        _VERIFY,
        "if account.posted != posted:",
        "if account.posted < posted:",
        "a balance written up by hand passes the check",
        (VERIFY,),
    ),
    Plant(
        "verify-trusts-held",
        _VERIFY,
        "if account.held != held:",
        "if account.held < held:",
        "a leaked hold passes the check",
        (VERIFY,),
    ),
    Plant(
        "verify-takes-gaps",
        _VERIFY,
        "if posting.seq != self._last.seq + 1:",
        "if posting.seq <= self._last.seq:",
        "a posting that was taken out passes the check",
        (VERIFY,),
    ),
    Plant(
        "verify-takes-hashes-as-they-are",
        _VERIFY,
        "if chain(self._last.hash, posting[:-1]) != posting.hash:",
        "if not posting.hash:",
        "a posting that was changed passes the check",
        (VERIFY,),
    ),
    Plant(
        "verify-ignores-the-head",
        _VERIFY,
        "if head is not None or sealed != self._last:",
        "if head is not None:",
        "a journal whose end was cut off passes the check",
        (VERIFY,),
    ),
    Plant(
        "verify-counts-one-charge-for-two",
        _VERIFY,
        "for account, key in await self._snapshot.charged_twice():",
        "for account, key in ():",
        "two charges for one idempotency key pass the check",
        (VERIFY,),
    ),
)
