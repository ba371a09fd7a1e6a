"""One request's hold: asked for, grown while the answer comes, and ended. What it writes of itself meanwhile.

All that an exchange says to the bank and to the recorder is said here. `admit` waits; what grows and ends a
hold is synchronous: it goes into the desk's outbox there and then, out of reach of any cancellation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, Protocol

import trio

from proxy.admission import admission, admitted, ledger_unavailable, may_be_open, once, refusal
from proxy.bank.desk import Ticket
from proxy.bank.ops import (
    Admitted,
    BankUnavailableError,
    Extend,
    Extended,
    OutcomeUnknownError,
    Refused,
    Result,
    Settle,
    Void,
)
from proxy.bank.outbox import Outbox
from proxy.bank.recorder import Recorder, Slot, Tariff
from proxy.dialects.base import Bill, Funds
from proxy.policy.estimate import Weight
from proxy.policy.plan import Plan
from proxy.receipt import Receipt
from proxy.recording import record_of
from proxy.settings import Settings
from proxy.words.errors import GatewayError
from proxy.words.idempotency import Asked, Reply
from proxy.words.principal import Principal


class Counter(Protocol):
    """Where holds are asked for; the same for every request."""

    @property
    def settings(self) -> Settings:
        """The operator's."""
        ...

    @property
    def desk(self) -> Outbox:
        """The way to the bank."""
        ...

    @property
    def recorder(self) -> Recorder:
        """What outlives this process."""
        ...

    @property
    def unix_time(self) -> Callable[[], float]:
        """The clock, in seconds."""
        ...


class Holding:
    """The hold of one request, known by the id of its generation.

    Attributes:
        funds: what the account has beside it, as far as the bank has told.
    """

    __slots__ = (
        "_admission",
        "_ceiling",
        "_counter",
        "_extension",
        "_extensions",
        "_hold_id",
        "_no_more",
        "_principal",
        "_receipt",
        "_slot",
        "funds",
    )

    def __init__(self, counter: Counter, principal: Principal, receipt: Receipt) -> None:
        self._counter = counter
        self._principal = principal
        self._receipt = receipt
        self._hold_id = receipt.generation_id
        self._ceiling: int | None = None
        self._admission: Ticket | None = None
        self._slot: Slot | None = None
        self._extension: Ticket | None = None
        self._extensions = 0
        self._no_more: GatewayError | None = None
        self.funds = Funds()

    async def admit(self, plan: Plan, weight: Weight, asked: Asked | None) -> Admitted:
        """Take the hold. From the moment it is submitted, `end` ends it, answered or not.

        It may be asked for once more where it was refused. Raises and is cancelled as `admission.admitted`.
        """
        counter, receipt = self._counter, self._receipt
        self._ceiling = plan.ceiling
        receipt.held = weight.hold if plan.ceiling is None else min(weight.hold, plan.ceiling)
        if self._slot is None:
            self._slot = counter.recorder.open(self._hold_id, receipt.started_at)
        own = plan.candidates[0].own
        wanted = admission(
            self._hold_id,
            self._principal,
            receipt.request_id,
            self._now(),
            amount=receipt.held,
            tokens=weight.tokens,
            price_version=plan.first.price_version,
            byok_provider=None if own is None else own.provider,
            epoch=counter.recorder.epoch,
            slot=self._slot.number,
        )
        if self._admission is not None:
            wanted = replace(wanted, op_id=f"{wanted.op_id}:again")
        if asked is not None:
            wanted = once(wanted, asked, counter.settings.idempotency.keep)
        self._admission = counter.desk.submit(wanted)
        try:
            answer = await admitted(self._admission, counter.settings.money.credits_per_usd)
        finally:
            receipt.admit_seconds = trio.current_time() - receipt.started_at
        receipt.admitted = True
        self.funds.available, self.funds.held = answer.available, receipt.held
        return answer

    def sent(self) -> None:
        """Note that a provider is about to be asked."""
        if self._slot is not None:
            self._slot.sent(record_of(self._receipt, trio.current_time()))

    def streams(self, tariff: Tariff) -> Callable[[int, int, float], None] | None:
        """Note how the answer is billed; return what is to be told of its progress (see `recorder.Slot`)."""
        if self._slot is None:
            return None
        self._slot.streams(record_of(self._receipt, trio.current_time()), tariff)
        return self._slot.mark

    def extend(self) -> int | GatewayError | None:
        """Grow the hold as large again, or by all there is left (see `relay.Purse`)."""
        if self._no_more is not None:
            return self._no_more
        if self._extension is None:
            return self._ask_for_more()
        result = self._extension.result
        if result is None:
            if self._extension.error is not None:
                self._no_more = ledger_unavailable()
            return self._no_more
        self._extension = None
        return self._extended(result)

    async def decided(self) -> None:
        """Wait until the extension asked for is decided, if there is one."""
        if self._extension is not None:
            try:
                await self._extension.wait()
            except (BankUnavailableError, OutcomeUnknownError):
                self._no_more = ledger_unavailable()

    def end(self, bill: Bill | None, *, whole: bool = False, reply: Reply | None = None) -> None:
        """Settle the hold for a bill, or void it, if it may be there; to be called once.

        `whole`: the request is to be known again by an answer that came whole, of which `reply` is kept.
        """
        slot, admission_ = self._slot, self._admission
        if slot is None or admission_ is None:
            return
        if not may_be_open(admission_):
            slot.free()
            return
        record = record_of(self._receipt)
        slot.done(record, settles=bill is not None)
        # Until the bank has it, the slot says what it would have been sent.
        self._counter.desk.submit(self._end(bill, reply, whole=whole), record).then(slot.free)

    def _end(self, bill: Bill | None, reply: Reply | None, *, whole: bool) -> Settle | Void:
        op_id, hold_id, now = f"{self._hold_id}:end", self._hold_id, self._now()
        epoch = self._counter.recorder.epoch
        if bill is None:
            return Void(op_id, hold_id, now, "failed" if self._receipt.attempts else "unsent", epoch)
        basis: Literal["relayed", "usage"] = "relayed" if bill.estimated else "usage"
        end = Settle(op_id, hold_id, bill.cost, bill.usage.total_tokens, now, basis, epoch)
        if whole:
            end = replace(end, whole=True, reply=reply.packed() if reply else None)
        return end

    def _ask_for_more(self) -> GatewayError | None:
        held, most = self._receipt.held, self._most()
        step = max(held, 1) if most is None else min(max(held, 1), most - held)
        if step <= 0:
            message = "This request would cost more than it may."
            self._no_more = GatewayError("permission_denied", message)
            return self._no_more
        self._submit_extension(step)
        return None

    def _most(self) -> int | None:
        """Return the largest hold this request may have."""
        own = self._ceiling
        limits = [limit for limit in (own, self._principal.limits.max_request) if limit is not None]
        return min(limits, default=None)

    def _submit_extension(self, amount: int) -> None:
        self._extensions += 1
        self._extension = self._counter.desk.submit(
            Extend(
                f"{self._hold_id}:extend{self._extensions}",
                self._hold_id,
                amount,
                self._now(),
                epoch=self._counter.recorder.epoch,
                scopes=self._principal.scopes,
            )
        )

    def _extended(self, result: Result) -> int | GatewayError | None:
        if isinstance(result, Extended):
            self._receipt.held = result.amount
            self.funds.available, self.funds.held = result.available, result.amount
            return result.amount
        if isinstance(result, Refused):
            if result.why == "insufficient_credits":
                self.funds.available = result.available
            if 0 < result.available < result.required:
                self._submit_extension(result.available)
                return None
            self._no_more = refusal(result, self._counter.settings.money.credits_per_usd)
        else:
            self._no_more = ledger_unavailable()
        return self._no_more

    def _now(self) -> int:
        return int(self._counter.unix_time() * 1000)
