"""One request's life: plan, hold, race, relay, settle. It owns the money and knows no HTTP server.

A door makes an `Exchange`, awaits `open`, drives `relay` with what `stream.read` gives, calls `settle`
once the relay is done, `leave` if the client goes, and `close` at the end, whatever happened. All three
are synchronous: the end of the hold goes into the desk's outbox there and then, out of reach of any
cancellation, and the client does not wait for it.

Who pays what (contract 8): a failure before output costs nothing; a client that leaves pays for the
prompt, once an upstream took it, and for exactly what was relayed; a whole answer that failed was never
delivered, so it costs nothing either. What is asked for may be all there is to pay: the characters of a
speech, the seconds of a recording, the text of an embedding are owed once an upstream has taken them and the
client leaves, whatever it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import trio

from proxy.bank.desk import Desk, Ticket
from proxy.bank.ops import (
    Admit,
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
from proxy.contest import Contest
from proxy.dialects.base import JSON_TYPE, Answer, Bill, Dialect, Encoder, Funds
from proxy.policy.estimate import Weight, weigh
from proxy.policy.health import Health
from proxy.policy.plan import Plan, Terms
from proxy.policy.routing import Router
from proxy.receipt import Outcome, Receipt
from proxy.recording import record_of
from proxy.relay import Meter, Relay
from proxy.settings import Settings
from proxy.upstream.abandoned import Abandoned
from proxy.upstream.fleet import Fleet, UpstreamStream, hide
from proxy.words.call import Call
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError, UpstreamError, Window, outward
from proxy.words.ids import new_generation_id
from proxy.words.money import credits_json, credits_text
from proxy.words.principal import Principal

_UNPAID: Final = frozenset({"insufficient_credits", "permission_denied"})
_REPLAYS: Final = 2
"""Times a broken stream is asked for again."""


@dataclass(frozen=True, slots=True)
class Core:
    """What every exchange works with; made once, in `app.py`."""

    settings: Settings
    router: Router
    desk: Desk
    fleet: Fleet
    health: Health
    abandoned: Abandoned
    unix_time: Callable[[], float]
    observers: Sequence[Callable[[Receipt], None]] = ()


class Exchange:
    """One request.

    Attributes:
        generation_id: identity of the hold and of `/generation`.
        plan, admitted, stream, relay: set as `open` gets that far.
        left: the client went before the bill was final.
    """

    def __init__(
        self, core: Core, dialect: Dialect, call: Call, principal: Principal, request_id: str, model: str
    ) -> None:
        self.core = core
        self.dialect = dialect
        self.call = call
        self.principal = principal
        self.generation_id = new_generation_id()
        self.plan: Plan | None = None
        self.admitted: Admitted | None = None
        self.stream: UpstreamStream | None = None
        self.relay: Relay | None = None
        self.left = False
        self._contest: Contest | None = None
        self._admission: Ticket | None = None
        self._extension: Ticket | None = None
        self._extensions = 0
        self._replays = 0
        self._repeatable = False
        self._no_more: GatewayError | None = None
        self._settled = False
        self._funds = Funds()
        self.receipt = Receipt(
            generation_id=self.generation_id,
            request_id=request_id,
            account=principal.account,
            key_id=principal.key_id,
            project=principal.project,
            stream=call.stream,
            started_at=trio.current_time(),
            started_unix=core.unix_time(),
            model_asked=model,
        )

    async def open(self) -> Relay:
        """Plan, hold and race; return the relay, whose stream has its first event in hand.

        Raises:
            GatewayError: nothing runs any more; `close` still has to be called.
        Cancelling closes the attempt under way; `close` voids the hold.
        """
        core, receipt = self.core, self.receipt
        plan = self._plan()
        contest = self._contest = Contest(
            core.fleet, core.health, core.settings.race, plan, self.call, receipt
        )
        contest.check()
        self.admitted = await self._admit(plan, weigh(self.call, plan))
        winner, self.stream = await contest.run()
        receipt.model, receipt.price_version = winner.terms.model, winner.terms.price_version
        self._repeatable = self._may_repeat(winner.terms)
        self.relay = Relay(
            self.stream.decoder,
            self._encoder(self.stream),
            self._meter(winner.terms),
            self,
            repeatable=self._repeatable,
        )
        return self.relay

    def replays(self) -> bool:
        """Tell whether another stream may take the place of one that broke (see `relay.Purse`).

        A client that has nothing of its answer yet gets one from another deployment, as before the first
        event; one that has, only where the operator wants it.
        """
        contest = self._contest
        if contest is None or self.left or self._replays >= _REPLAYS:
            return False
        return self._repeatable or (not self.call.stream and bool(contest.others()))

    def outward(self, error: UpstreamError) -> GatewayError:
        """Say what ended a stream, without its provider's secrets (see `relay.Purse`)."""
        for candidate in self.plan.candidates if self.plan is not None else ():
            hide(error, candidate.deployment.provider)
        return outward([error])

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

    async def more(self) -> None:
        """Wait until the extension asked for is decided, or another stream has taken a broken one's place."""
        if self.relay is not None and self.relay.broken is not None:
            await self._replay(self.relay, self.relay.broken)
        elif self._extension is not None:
            try:
                await self._extension.wait()
            except (BankUnavailableError, OutcomeUnknownError):
                self._no_more = ledger_unavailable()

    def leave(self) -> None:
        """Take note that the client has gone, and stop everything now, whoever is waiting for what."""
        self.left = self.left or not self._settled
        self.settle()
        if self.stream is not None and not self._reads_on(self.stream):
            self.stream.close()

    def close(self, error: GatewayError | None = None) -> None:
        """Settle, and stop the upstream, when nobody reads its stream any more; once."""
        self.settle(error)
        if self.stream is not None:
            if self._reads_on(self.stream):
                self.core.abandoned.take(self.stream)
            else:
                self.stream.close()
        if self.relay is not None:
            self.relay.retire()

    def _reads_on(self, stream: UpstreamStream) -> bool:
        """Tell whether an answer is read to its end although the client has gone."""
        provider = stream.deployment.provider
        unfinished = self.relay is not None and not self.relay.done
        return (
            self.left and unfinished and provider.drain_after_abort > 0 and not provider.cancel_stops_billing
        )

    def settle(self, error: GatewayError | None = None) -> None:
        """End the hold and tell the observers. Only the first call counts.

        To be called as soon as the bill is final: the client need not have taken the last bytes.
        `error` is what the client is told, where that is not already the relay's own.
        """
        if self._settled:
            return
        self._settled = True
        receipt = self.receipt
        receipt.ended_at = trio.current_time()
        told = error or (self.relay.error if self.relay else None)
        receipt.error = told.name if told is not None else None
        receipt.outcome = self._outcome(told)
        bill = self._bill()
        if bill is not None:
            receipt.usage, receipt.cost, receipt.estimated = bill
        if self.relay is not None:
            receipt.relayed_bytes = self.relay.meter.relayed_bytes
            reported = self.relay.reported
            receipt.usage_distrusted = reported is not None and not reported.trusted
        if self._contest is not None:
            unpaid = self.relay.meter.usage() if self.relay is not None and bill is None else None
            self._contest.close(told, unpaid)
        self._end_hold(bill)
        for observe in self.core.observers:
            observe(receipt)

    def late_failure(self, error: GatewayError) -> bytes:
        """Write a failure for a client that got its 200 before there was an answer."""
        return self.dialect.encoder(self.call, self._answer("openai", self.receipt.model)).fail(error)

    def _encoder(self, stream: UpstreamStream) -> Encoder:
        deployment = stream.deployment
        answer = self._answer(
            self.core.fleet.language(deployment),
            deployment.model,
            provider=deployment.provider.name,
            media_type=stream.media_type,
        )
        return self.dialect.encoder(self.call, answer)

    def _answer(
        self, language: str, model: str, *, provider: str = "", media_type: str = JSON_TYPE
    ) -> Answer:
        return Answer(
            generation_id=self.generation_id,
            language=language,
            credits_per_usd=self.core.settings.money.credits_per_usd,
            created=int(self.receipt.started_unix),
            model=model,
            media_type=media_type,
            provider=provider,
            request_id=self.receipt.request_id,
            funds=self._funds,
        )

    def _may_repeat(self, terms: Terms) -> bool:
        """Tell whether a broken stream is asked for again; log probabilities are never the same twice."""
        call = self.call
        plain = isinstance(call, ChatRequest) and not call.sampling.logprobs
        return plain and terms.on_cut == "replay"

    async def _replay(self, relay: Relay, error: UpstreamError) -> None:
        """Open another stream; where none can be had, the client is told of the first one's end."""
        assert self._contest is not None  # noqa: S101 - there was a stream
        assert self.stream is not None  # noqa: S101
        self._replays += 1
        broken, self.stream = self.stream, None
        broken.close()
        with suppress(GatewayError):
            winner, stream = await self._contest.again(error, relay.meter.usage(), anew=not self._repeatable)
            self.stream = stream
            if self._repeatable:
                relay.rerun(stream.decoder, stream.head)
            else:
                self.receipt.model, self.receipt.price_version = (
                    winner.terms.model,
                    winner.terms.price_version,
                )
                relay.restart(stream.decoder, self._encoder(stream), self._meter(winner.terms), stream.head)

    def _outcome(self, told: GatewayError | None) -> Outcome:
        if self.left:
            return "client_abort"
        if told is None:
            return "ok" if self.relay is not None and self.relay.done else "shutdown"
        if told.detail.get("reason") == "draining":
            return "shutdown"
        if told.name == "insufficient_credits" or told.name == "internal_error":  # noqa: PLR1714 - mypy narrows
            return told.name
        return "upstream_error" if self.receipt.attempts else "refused"

    def _plan(self) -> Plan:
        receipt = self.receipt
        now = datetime.fromtimestamp(self.core.unix_time(), UTC)
        outlook = self.core.health.outlook(trio.current_time())
        plan = self.plan = self.core.router.plan(self.call, self.principal, now, outlook)
        receipt.model, receipt.price_version = plan.first.model, plan.first.price_version
        return plan

    async def _admit(self, plan: Plan, weight: Weight) -> Admitted:
        """Take the hold. From the moment it is submitted, `close` ends it, answered or not."""
        receipt, principal = self.receipt, self.principal
        receipt.held = weight.hold if plan.ceiling is None else min(weight.hold, plan.ceiling)
        self._admission = self.core.desk.submit(
            Admit(
                op_id=f"{self.generation_id}:admit",
                hold_id=self.generation_id,
                account=principal.account,
                key_id=principal.key_id,
                project=principal.project,
                amount=receipt.held,
                tokens=weight.tokens,
                at=self._now(),
                limits=principal.limits,
                request_id=receipt.request_id,
                price_version=plan.first.price_version,
            )
        )
        try:
            result = await self._admission.wait()
        except (BankUnavailableError, OutcomeUnknownError) as error:
            raise ledger_unavailable() from error
        finally:
            receipt.admit_seconds = trio.current_time() - receipt.started_at
        if isinstance(result, Admitted):
            self._funds.available, self._funds.held = result.available, receipt.held
            return result
        self._admission = None
        if isinstance(result, Refused):
            raise refusal(result, self.core.settings.money.credits_per_usd)
        raise ledger_unavailable()

    def _ask_for_more(self) -> GatewayError | None:
        held, most = self.receipt.held, self._most()
        step = max(held, 1) if most is None else min(max(held, 1), most - held)
        if step <= 0:
            message = "This request would cost more than it may."
            self._no_more = GatewayError("permission_denied", message)
            return self._no_more
        self._submit_extension(step)
        return None

    def _most(self) -> int | None:
        """Return the largest hold this request may have."""
        own = None if self.plan is None else self.plan.ceiling
        limits = [limit for limit in (own, self.principal.limits.max_request) if limit is not None]
        return min(limits, default=None)

    def _submit_extension(self, amount: int) -> None:
        self._extensions += 1
        self._extension = self.core.desk.submit(
            Extend(f"{self.generation_id}:extend{self._extensions}", self.generation_id, amount, self._now())
        )

    def _extended(self, result: Result) -> int | GatewayError | None:
        if isinstance(result, Extended):
            self.receipt.held = result.amount
            self._funds.available, self._funds.held = result.available, result.amount
            return result.amount
        if isinstance(result, Refused):
            if result.why == "insufficient_credits":
                self._funds.available = result.available
            if 0 < result.available < result.required:
                self._submit_extension(result.available)
                return None
            self._no_more = refusal(result, self.core.settings.money.credits_per_usd)
        else:
            self._no_more = ledger_unavailable()
        return self._no_more

    def _bill(self) -> Bill | None:
        """Return what the client pays; None is nothing, so that the hold is voided."""
        relay = self.relay
        if relay is None:
            return self._prompt_bill() if self.left else None
        if relay.bill is not None:
            return relay.bill
        if not self.left and not self._is_worth_a_part(relay):
            return None
        return relay.final_bill()

    def _is_worth_a_part(self, relay: Relay) -> bool:
        """Tell whether an answer that broke off has a price.

        Half a sentence has, as far as it was sent. Half a recording has none, unless it is the client who
        could not pay for the rest, or let the time run out: it might take all but the end at its own pace.
        """
        error, sent = relay.error, relay.meter.relayed_bytes > 0
        if self.call.kind == "chat" or error is None:
            return self.call.stream and sent and self.call.kind == "chat"
        late = error.detail.get("reason") == "total"
        return self.call.stream and (late or (sent and error.name in _UNPAID))

    def _meter(self, terms: Terms) -> Meter:
        return Meter(terms, self.call.forecast(terms.ratio, terms.output_cap), self.receipt.held)

    def _prompt_bill(self) -> Bill | None:
        """A client that left between the upstream's 200 and its first token pays for the prompt."""
        terms = self._contest.accepted() if self._contest is not None else None
        if terms is None:
            return None
        self.receipt.model, self.receipt.price_version = terms.model, terms.price_version
        meter = self._meter(terms)
        return Bill(meter.usage(), meter.price(meter.usage()), estimated=True)

    def _end_hold(self, bill: Bill | None) -> None:
        if self._admission is None or isinstance(self._admission.error, BankUnavailableError):
            return
        op_id, hold_id, now = f"{self.generation_id}:end", self.generation_id, self._now()
        if bill is None:
            end: Settle | Void = Void(op_id, hold_id, now, "failed" if self.receipt.attempts else "unsent")
        else:
            basis: Literal["relayed", "usage"] = "relayed" if bill.estimated else "usage"
            end = Settle(op_id, hold_id, bill.cost, bill.usage.total_tokens, now, basis)
        self.core.desk.submit(end, record_of(self.receipt))

    def _now(self) -> int:
        return int(self.core.unix_time() * 1000)


def ledger_unavailable() -> GatewayError:
    """Return the failure of a request that could not be held for."""
    return GatewayError(
        "service_unavailable",
        "The ledger is not available.",
        retry_after=1,
        detail={"reason": "ledger"},
    )


def refusal(refused: Refused, credits_per_usd: int) -> GatewayError:
    """Say to a client why the bank refused."""
    error = _refusal(refused, credits_per_usd)
    error.window = window_of(refused)
    return error


def window_of(answer: Admitted | Refused) -> Window | None:
    """Return where the key stands in its requests per minute, if it has such a limit."""
    if answer.limit is None or answer.limit_left is None or answer.limit_reset is None:
        return None
    return Window(answer.limit, answer.limit_left, answer.limit_reset)


def _refusal(refused: Refused, credits_per_usd: int) -> GatewayError:
    wait = refused.retry_after
    match refused.why:
        case "insufficient_credits":
            return _insufficient(refused, credits_per_usd)
        case "rate_limit_exceeded":
            message = "The key's requests per minute are used up."
            return GatewayError("rate_limit_exceeded", message, retry_after=wait)
        case "token_budget_exceeded":
            message = "The key's tokens for today are used up, or would be by this request."
            return GatewayError("token_budget_exceeded", message, retry_after=wait)
        case "concurrency_exceeded":
            message = "The key has as many requests running as it may."
            return GatewayError("rate_limit_exceeded", message, retry_after=wait or 1)
        case "request_too_expensive":
            message = "This request may cost more than the key allows for one."
            return GatewayError("permission_denied", message)
        case "permission_denied":
            return GatewayError("permission_denied", "This account may not spend.")


def _insufficient(refused: Refused, credits_per_usd: int) -> GatewayError:
    amounts = {"required": refused.required, "available": refused.available, "held": refused.held}
    message = (
        f"This request needs {credits_text(refused.required, credits_per_usd)} credits "
        f"(its estimated cost plus 20 %); {credits_text(refused.available, credits_per_usd)} are available."
    )
    detail = {name: credits_json(amount, credits_per_usd) for name, amount in amounts.items()}
    return GatewayError("insufficient_credits", message, retry_after=refused.retry_after, detail=detail)
