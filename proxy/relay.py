"""The relay: upstream bytes in, client bytes out, every frame metered against the hold.

It is synchronous. A door owns the I/O around it and drives it in its own way: read, `feed`, send. Once
`done` is set there is nothing more to read. While `starved` is set the hold is used up and its extension
undecided: the door waits for `more`, calls `resume`, and reads on.

What was handed out for sending is what a client that leaves is billed for, so a frame is metered before
its bytes exist, and one the hold cannot pay for is never encoded. What the client's socket never took of
the last bytes handed out is given back by `take_back`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from operator import mul
from typing import Protocol

from proxy.bank.recorder import Tariff
from proxy.dialects.base import Bill, Encoder
from proxy.policy.plan import Terms
from proxy.rerun import Rerun, Said
from proxy.wires.base import Decoder
from proxy.words.chat import (
    MADE_IMAGE_TOKENS,
    Event,
    Frame,
    ImageDelta,
    OpaqueDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from proxy.words.errors import GatewayError, UpstreamError, outward
from proxy.words.money import cost
from proxy.words.usage import Usage, count, text_size

_TEXT = (TextDelta, RefusalDelta)


class Meter:
    """Counts what was relayed, beside what the question costs, and knows how much more the hold can pay for.

    Attributes:
        answer_bytes, reasoning_bytes: UTF-8 bytes relayed, all that is not reasoning being answer.
        image_bytes: what one image of the answer counts as: the text that costs as much.
        hold: nano-USD held now.
        limit: bytes the hold pays for in all; None where output is free.
        low: bytes beyond which the hold should be extended: three quarters of them, but never before the
            answer is longer than the hold was made for.
    """

    __slots__ = (
        "_asked",
        "_expected",
        "_rates",
        "_terms",
        "answer_bytes",
        "hold",
        "image_bytes",
        "limit",
        "low",
        "reasoning_bytes",
    )

    def __init__(self, terms: Terms, forecast: Usage, hold: int) -> None:
        self._terms = terms
        self._asked = forecast.asked
        self._rates = terms.price.rates_for(self._asked.prompt_tokens)
        self._expected = forecast.completion_tokens * terms.counted // 1000
        self.answer_bytes = 0
        self.reasoning_bytes = 0
        self.image_bytes = self._worth_of_an_image()
        self.hold = hold
        self.limit: int | None = None
        self.low: int | None = None
        self.grow(hold)

    def grow(self, hold: int) -> None:
        """Take note of the hold's new size, in nano-USD."""
        self.hold = hold
        self.limit = self._payable_bytes(hold)
        self.low = None if self.limit is None else min(self.limit, max(self.limit * 3 // 4, self._expected))

    @property
    def relayed_bytes(self) -> int:
        """All text relayed, in bytes."""
        return self.answer_bytes + self.reasoning_bytes

    @property
    def tariff(self) -> Tariff:
        """What makes a bill of our own count, wherever it has to be made."""
        terms = self._terms
        return Tariff(self._asked, self._rates, terms.price.request, terms.markup, terms.counted)

    def usage(self) -> Usage:
        """Return our own count of what was relayed, and of the prompt that led to it."""
        ratio = self._terms.counted
        return self._asked._replace(
            output=count(self.answer_bytes, ratio), reasoning=count(self.reasoning_bytes, ratio)
        )

    def price(self, usage: Usage) -> int:
        """Return what the client pays for `usage`, in nano-USD."""
        return cost(usage, self._terms.price, self._terms.markup)

    def _worth_of_an_image(self) -> int:
        """Return the bytes of text that cost as much as an image, so that one limit is for both."""
        rates = self._rates
        size = MADE_IMAGE_TOKENS * self._terms.counted // 1000
        return -(-size * rates.output_image // rates.output) if rates.output else size

    def _payable_bytes(self, hold: int) -> int | None:
        """Invert the price: the most bytes whose cost, counted as tokens and rounded up, fits the hold.

        Two counts (answer and reasoning) round up separately, so one token is kept back.
        """
        terms, rates = self._terms, self._rates
        dearest = max(rates.output, rates.reasoning)
        if dearest == 0 or terms.markup == 0:
            return None
        payable = hold * terms.markup.denominator * 1_000_000 // terms.markup.numerator
        asked: int = sum(map(mul, self._asked, rates)) + terms.price.request * 1_000_000
        tokens = max((payable - asked) // dearest - 1, 0)
        return tokens * terms.counted // 1000


class Purse(Protocol):
    """Where more hold comes from, and a second stream where the first broke; the exchange."""

    def extend(self) -> int | GatewayError | None:
        """Ask for more, or learn how the asking went.

        Returns:
            The hold's size in nano-USD; the refusal; or None while it is undecided.
        """
        ...

    def replays(self) -> bool:
        """Tell whether another stream may take the place of one that broke."""
        ...

    def outward(self, error: UpstreamError) -> GatewayError:
        """Return what the client is told of a stream that an error ended."""
        ...


class _Empty:
    """A purse from which nothing comes."""

    def extend(self) -> None:
        return

    def replays(self) -> bool:
        return False

    def outward(self, error: UpstreamError) -> GatewayError:
        return outward([error])


_EMPTY = _Empty()


class Relay:
    """One answer under way.

    Attributes:
        done: nothing more is to be read.
        starved: the door must wait for the purse before it reads on, and then from the exchange's stream.
        broken: what ended a stream that is to be replaced.
        error: what the client was told, or would have been.
        moved: frames that the last `feed` held; comments are none.
    """

    __slots__ = (
        "_decoder",
        "_encoder",
        "_marks",
        "_purse",
        "_said",
        "_sent",
        "_sizes",
        "_taken_back",
        "_waiting",
        "bill",
        "broken",
        "done",
        "error",
        "meter",
        "moved",
        "reported",
        "starved",
    )

    def __init__(
        self, decoder: Decoder, encoder: Encoder, meter: Meter, purse: Purse, *, repeatable: bool = False
    ) -> None:
        """`repeatable` keeps what is relayed, so that a second stream can be compared with it."""
        self._decoder = decoder
        self._encoder = encoder
        self._purse = purse
        self._waiting: deque[Frame] = deque()
        self._marks: list[tuple[int, int]] = []
        """What the meter showed before each of the frames encoded last."""
        self._sent: list[Frame] = []
        self._sizes: list[int] = []
        """Bytes that each of them became."""
        self._taken_back = False
        self.meter = meter
        self.bill: Bill | None = None
        self.reported: UsageReport | None = None
        self.done = False
        self.starved = False
        self.moved = 0
        self.error: GatewayError | None = None
        self.broken: UpstreamError | None = None
        self._said = Said() if repeatable else None

    @property
    def media_type(self) -> str:
        """What the client is sent."""
        return self._encoder.media_type

    @property
    def complete(self) -> bool:
        """Whether the upstream's answer came whole and all of it was relayed."""
        return self._decoder.complete and not self._waiting and not self._taken_back

    def begin(self, frames: Iterable[Frame]) -> bytes:
        """Relay what was read while the attempt was opened."""
        return self._advance(list(frames))

    def feed(self, data: bytes) -> bytes:
        """Take upstream bytes; return bytes for the client, which may be none."""
        return self._advance(self._decoder.feed(data))

    def close(self) -> bytes:
        """Take the upstream's clean end of body."""
        out = self._advance(self._decoder.close())
        if self.done or self.starved:
            return out
        return out + self._end()

    def broke(self, error: UpstreamError) -> bytes:
        """Take the upstream's failure: a stream that is to be replaced starves until it is."""
        comparable = self._said is None or self._said.repeatable
        if not (comparable and error.fails_over and self._purse.replays()):
            return self.fail(self._purse.outward(error))
        self.broken = error
        self.starved = True
        return b""

    def rerun(self, decoder: Decoder, head: Iterable[Frame]) -> None:
        """Go on, from `resume` on, with a second stream, of which `head` has been read."""
        assert self._said is not None  # noqa: S101 - it broke, so it is kept
        rerun = Rerun(decoder, self._said)
        self._decoder = rerun
        self._waiting = deque(rerun.beyond(head))
        self.reported = None
        self.broken = None

    def restart(self, decoder: Decoder, encoder: Encoder, meter: Meter, head: Iterable[Frame]) -> None:
        """Begin anew, from `resume` on, with another answer: the client has nothing of the first one."""
        self._decoder = decoder
        self._encoder = encoder
        self.meter = meter
        self._waiting = deque(head)
        self.reported = None
        self.broken = None

    def resume(self) -> bytes:
        """Go on after the purse has decided."""
        self.starved = False
        if self.broken is not None:
            return self.fail(self._purse.outward(self.broken))
        frames = list(self._waiting)
        self._waiting.clear()
        return self._advance(frames)

    def fail(self, error: GatewayError) -> bytes:
        """End the answer with a failure. Raises `error` where nothing was sent and no status either."""
        self.done = True
        self.error = error
        return self._encoder.fail(error)

    def take_back(self, unsent: int) -> None:
        """Uncount the frames that the last `unsent` bytes handed out hold any part of; they never went out.

        To be called where the answer goes no further, before it is billed.
        """
        meter = self.meter
        while unsent > 0 and self._sizes:
            size, run = self._sizes.pop(), self._sent.pop().run
            meter.answer_bytes, meter.reasoning_bytes = self._marks.pop()
            if run is not None and size > unsent:
                meter.answer_bytes += run.within(size, size - unsent)
            unsent -= size
            self._taken_back = True

    def retire(self) -> None:
        """Let go of the purse, which holds on to this relay in turn: nothing more will be bought."""
        self._purse = _EMPTY

    def final_bill(self) -> Bill:
        """Return what the client pays if the answer ends as it stands.

        The upstream's figures count where they are believable and the answer is whole: only then are
        they the figures for exactly what was relayed.
        """
        reported = self.reported
        if reported is not None and reported.trusted and self.complete:
            return Bill(reported.usage, self.meter.price(reported.usage), estimated=False)
        usage = self.meter.usage()
        return Bill(usage, self.meter.price(usage), estimated=True)

    def _advance(self, frames: list[Frame]) -> bytes:
        self.moved = len(frames)
        payable = self._meter(frames)
        if self._said is not None:
            self._said.add(payable)
        self._sent = payable
        self._sizes = []
        out = self._encode(payable) if payable else b""
        if self.done or self.starved:
            return out
        if self.error is not None:
            return out + self._cut(self.error)
        if self._decoder.failure is not None and not self._decoder.complete:
            return out + self.broke(self._decoder.failure)
        if self._decoder.done or self._decoder.failure is not None:
            return out + self._end()
        return out

    def _encode(self, frames: list[Frame]) -> bytes:
        if len(frames) == 1:
            out = self._encoder.feed(frames)
            self._sizes = [len(out)]
            return out
        pieces = [self._encoder.feed((each,)) for each in frames]
        self._sizes = [len(piece) for piece in pieces]
        return b"".join(pieces)

    def _meter(self, frames: list[Frame]) -> list[Frame]:
        """Count frames until one that the hold cannot pay for; the rest waits."""
        meter = self.meter
        marks: list[tuple[int, int]] = []
        self._marks = marks
        for index, each in enumerate(frames):
            marks.append((meter.answer_bytes, meter.reasoning_bytes))
            for event in each.events:
                if type(event) is TextDelta:  # by far the most; the rest of them in `_count`
                    text = event.text
                    meter.answer_bytes += len(text) if text.isascii() else text_size(text)
                else:
                    self._count(event)
            low = meter.low
            if low is None or meter.answer_bytes + meter.reasoning_bytes <= low:
                continue
            if each.run is not None and len(each.run.texts) > 1:
                meter.answer_bytes, meter.reasoning_bytes = marks.pop()
                payable = self._meter([*each.run.apart(), *frames[index + 1 :]])
                self._marks = marks + self._marks
                return frames[:index] + payable
            if not self._afford(each):
                self._waiting.extend(frames[index:])
                marks.pop()
                return frames[:index]
        return frames

    def _count(self, event: Event, sign: int = 1) -> None:
        if isinstance(event, _TEXT):
            self.meter.answer_bytes += sign * text_size(event.text)
        elif isinstance(event, ReasoningDelta):
            self.meter.reasoning_bytes += sign * text_size(event.text)
        elif isinstance(event, ToolCallDelta):
            size = text_size(event.arguments) + text_size(event.name or "")
            self.meter.answer_bytes += sign * size
        elif isinstance(event, OpaqueDelta):
            self.meter.answer_bytes += sign * event.size
        elif isinstance(event, ImageDelta):
            self.meter.answer_bytes += sign * self.meter.image_bytes
        elif isinstance(event, UsageReport):
            self.reported = event

    def _afford(self, each: Frame) -> bool:
        """Extend a hold that runs low; a frame beyond its limit is taken back until it is larger."""
        meter = self.meter
        answer = self._purse.extend()
        while isinstance(answer, int):
            meter.grow(answer)
            if meter.low is None or meter.relayed_bytes <= meter.low:
                return True
            answer = self._purse.extend()
        if meter.limit is None or meter.relayed_bytes <= meter.limit:
            return True
        for event in each.events:
            self._count(event, -1)
        if isinstance(answer, GatewayError):
            self.error = answer
        else:
            self.starved = True
        return False

    def _cut(self, error: GatewayError) -> bytes:
        self.done = True
        bill = self.final_bill()
        out = self._encoder.truncate(bill, error)
        self.bill = bill
        return out

    def _end(self) -> bytes:
        if self._decoder.complete:
            return self._finish()
        return self.broke(UpstreamError("truncated"))

    def _finish(self) -> bytes:
        bill = self.final_bill()
        out = self._encoder.finish(bill)
        # Only now: an answer that cannot be written is not one to charge for.
        self.done = True
        self.bill = bill
        return out
