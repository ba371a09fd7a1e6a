"""One request's life: plan, hold, race, relay, settle. It owns the money and knows no HTTP server.

What is said to the bank is in `holding`; what is to be paid, and when, is decided here.

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

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import trio

from proxy.admission import RepeatedError, ledger_unavailable, repeated
from proxy.bank.ops import Admitted, Repeated
from proxy.bank.outbox import Outbox
from proxy.bank.recorder import Recorder
from proxy.bank.store import StoreError
from proxy.contest import Contest
from proxy.dialects.base import JSON_TYPE, Answer, Bill, Dialect, Encoder
from proxy.holding import Holding
from proxy.policy.estimate import weigh
from proxy.policy.health import Health
from proxy.policy.plan import Candidate, Plan, Terms
from proxy.policy.routing import Router
from proxy.receipt import Outcome, Receipt
from proxy.recording import sizes_of
from proxy.relay import Meter, Relay
from proxy.settings import Settings
from proxy.transcript import Transcript
from proxy.upstream.abandoned import Abandoned
from proxy.upstream.fleet import Fleet, UpstreamStream, hide
from proxy.words.call import Call
from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError, UpstreamError, outward
from proxy.words.idempotency import Asked, Reply
from proxy.words.ids import new_generation_id
from proxy.words.principal import OpenedKey, Principal
from proxy.words.trace import Trace

_UNPAID: Final = frozenset({"insufficient_credits", "token_budget_exceeded", "permission_denied"})
_REPLAYS: Final = 2
"""Times a broken stream is asked for again."""


KeyOpener = Callable[[int, Sequence[int]], Awaitable[Sequence[OpenedKey]]]
"""(account, ids) → those of its own keys, opened; raises StoreError."""


Tracer = Callable[[str, str, Mapping[str, str]], Trace]
"""(method, path, headers) → a request's place in a trace."""


class Replies(Protocol):
    """Where answers are kept that may be asked for again."""

    async def reply(self, account: int, name: str, hold_id: str) -> Reply | None:
        """Return an answer that was kept, if it still is. Raises StoreError."""
        ...


class AnsweredError(Exception):
    """The same was asked before, and answered.

    Attributes:
        reply: the answer.
    """

    def __init__(self, reply: Reply) -> None:
        super().__init__("answered before")
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Core:
    """What every exchange works with; made once, in `app.py`."""

    settings: Settings
    router: Router
    desk: Outbox
    fleet: Fleet
    health: Health
    abandoned: Abandoned
    unix_time: Callable[[], float]
    open_keys: KeyOpener
    replies: Replies
    recorder: Recorder
    observers: Sequence[Callable[[Receipt], None]] = ()
    trace: Tracer | None = None


class Exchange:
    """One request.

    Attributes:
        generation_id: identity of the hold and of `/generation`.
        plan, admitted, stream, relay: set as `open` gets that far.
        left: the client went before the bill was final.
        asked: what the request is known by, should it come again; None where it is not to be known.
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
        self.asked: Asked | None = None
        self._whole = self._replayed = False
        self._reply: Reply | None = None
        self._contest: Contest | None = None
        self._transcript: Transcript | None = None
        self._replays = 0
        self._repeatable = False
        self._settled = False
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
            kind=call.kind,
        )
        self._holding = Holding(core, principal, self.receipt)

    async def open(self) -> Relay:
        """Plan, hold and race; return the relay, whose stream has its first event in hand.

        Raises:
            GatewayError: nothing runs any more; `close` still has to be called.
            AnsweredError: nothing is to run, for the same was asked before; as well.
        Cancelling closes the attempt under way; `close` voids the hold.
        """
        core, receipt = self.core, self.receipt
        plan = self._plan()
        contest = self._contest = Contest(
            core.fleet, core.health, core.settings.race, plan, self.call, receipt
        )
        if self.asked is None:
            contest.check()
        try:
            self.admitted = await self._funded(plan, contest)
        except RepeatedError as error:
            raise await self._repeat(error.first) from None
        if self.asked is not None:
            # An answer that was kept is to be had also while no provider is.
            contest.check()
        self._holding.sent()
        winner, self.stream = await contest.run()
        self._won(winner)
        self._repeatable = self._may_repeat(winner.terms)
        self.relay = Relay(
            self.stream.decoder,
            self._encoder(self.stream),
            self._meter(winner.terms),
            self,
            repeatable=self._repeatable,
        )
        return self.relay

    def recording(self) -> Callable[[int, int, float], None] | None:
        """Return what is to be told, before each send, how much of the answer the client will have then.

        In bytes of answer and of reasoning, and by Trio's clock; see `bank.recorder`. None where an answer
        that breaks off costs nothing, so that it does not matter how far it has come. To be asked for again
        where another stream has taken the place of one that broke.
        """
        relay = self.relay
        if relay is None or not self.call.stream or self.call.kind != "chat":
            return None
        return self._holding.streams(relay.meter.tariff)

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
        keys = {} if self._contest is None else self._contest.keys
        for candidate in self.plan.candidates if self.plan is not None else ():
            own = None if candidate.own is None else keys.get(candidate.own.id)
            hide(error, candidate.deployment.provider, own)
        return outward([error])

    def extend(self) -> int | GatewayError | None:
        """Grow the hold as large again, or by all there is left (see `relay.Purse`)."""
        return self._holding.extend()

    async def more(self) -> None:
        """Wait until the extension asked for is decided, or another stream has taken a broken one's place."""
        if self.relay is not None and self.relay.broken is not None:
            await self._replay(self.relay, self.relay.broken)
        else:
            await self._holding.decided()

    def answered(self, reply: Reply | None) -> None:
        """Take note, before it is settled, that the answer is whole; `reply` is all of it, if it fits."""
        self._whole, self._reply = True, reply

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
        if receipt.status is None and not self.left:
            receipt.status = 200 if error is None else self.dialect.status(error)
        bill = self._bill()
        if bill is not None:
            receipt.usage, receipt.cost, receipt.estimated = bill
        if self.relay is not None:
            meter = self.relay.meter
            receipt.relayed_bytes = meter.relayed_bytes
            if receipt.outcome == "ok":
                limited = self.principal.limits.max_output is not None
                receipt.sizes = sizes_of(
                    self.call, meter.answer_bytes, meter.reasoning_bytes, limited=limited
                )
            reported = self.relay.reported
            receipt.usage_distrusted = reported is not None and not reported.trusted
        if self._contest is not None:
            unpaid = self.relay.meter.usage() if self.relay is not None and bill is None else None
            self._contest.close(told, unpaid)
        if self._transcript is not None and isinstance(self.call, ChatRequest) and not self._is_down():
            receipt.texts = self._transcript.texts(self.call)
        whole = self.asked is not None and self._whole and not self.left
        self._holding.end(bill, whole=whole, reply=self._reply)
        for observe in self.core.observers:
            observe(receipt)

    def _is_down(self) -> bool:
        """Tell whether ends wait for the ledger, which must not fill the memory with what was said."""
        return self.core.desk.statistics().down

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
        encoder = self.dialect.encoder(self.call, answer)
        if not (self.principal.keep_texts and isinstance(self.call, ChatRequest)):
            return encoder
        self._transcript = Transcript(encoder)
        return self._transcript

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
            funds=self._holding.funds,
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
                self._won(winner)
                relay.restart(stream.decoder, self._encoder(stream), self._meter(winner.terms), stream.head)

    def _outcome(self, told: GatewayError | None) -> Outcome:
        if self.left:
            return "client_abort"
        if self._replayed:
            return "replayed"
        if told is None:
            return "ok" if self.relay is not None and self.relay.done else "shutdown"
        if told.detail.get("reason") == "draining":
            return "shutdown"
        if told.name == "key_revoked":
            return "revoked"
        if told.name == "internal_error":
            return "internal_error"
        if told.name == "insufficient_credits" or (self.receipt.attempts and told.name in _UNPAID):
            return "insufficient_credits"
        return "upstream_error" if self.receipt.attempts else "refused"

    def _plan(self) -> Plan:
        now = datetime.fromtimestamp(self.core.unix_time(), UTC)
        outlook = self.core.health.outlook(trio.current_time())
        plan = self.plan = self.core.router.plan(self.call, self.principal, now, outlook)
        self._won(plan.candidates[0])
        return plan

    def _won(self, candidate: Candidate) -> None:
        """Take note of whose answer it is, as far as that is known, and who pays for it."""
        receipt, terms = self.receipt, candidate.terms
        receipt.model, receipt.price_version = terms.model, terms.price_version
        receipt.funding = "credits" if candidate.own is None else "byok"

    async def _funded(self, plan: Plan, contest: Contest) -> Admitted:
        """Take the hold, and open the account's own keys. One out of credit is left with those."""
        try:
            answer = await self._holding.admit(plan, weigh(self.call, plan), self.asked)
        except GatewayError as error:
            own = plan.own_alone()
            if error.name != "insufficient_credits" or own is None:
                raise
            contest.plan = self.plan = plan = own
            answer = await self._holding.admit(plan, weigh(self.call, plan), self.asked)
        if self.principal.own_keys and plan.own_keys:
            contest.keys = await self._opened(plan)
        return answer

    async def _opened(self, plan: Plan) -> dict[int, OpenedKey]:
        """Have the plan's own keys opened. From here on nobody keeps them but this request."""
        ids = [key.id for key in plan.own_keys]
        try:
            found = {key.id: key for key in await self.core.open_keys(self.principal.account, ids)}
        except StoreError as error:
            raise ledger_unavailable() from error
        if len(found) < len(ids):
            text = "The account's own key has just been replaced or removed, or cannot be opened."
            raise GatewayError("byok_key_rejected", text)
        return found

    async def _repeat(self, first: Repeated) -> GatewayError | AnsweredError:
        """Return what to tell a client that asks again: no hold was opened, and none is for it."""
        assert self.asked is not None  # noqa: S101 - else nothing is known to repeat
        self.generation_id = first.hold_id
        if first.why == "kept":
            kept = self.core.replies
            try:
                reply = await kept.reply(self.principal.account, self.asked.name, first.hold_id)
            except StoreError:
                return ledger_unavailable()
            if reply is not None:
                self._replayed = True
                self.receipt.status = reply.status
                return AnsweredError(reply)
        return repeated(first, self.core.settings.money.credits_per_usd)

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
