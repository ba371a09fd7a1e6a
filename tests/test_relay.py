"""The relay hands out what the hold can pay for, bills what it handed out, and says how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.dialects.base import Answer, Bill
from proxy.dialects.openai import OpenAIDialect
from proxy.policy.plan import Terms
from proxy.relay import Meter, Relay
from proxy.wires.openai_stream import OpenAIDecoder
from proxy.words.chat import (
    MADE_IMAGE_TOKENS,
    Event,
    Finished,
    Frame,
    ImageDelta,
    OpaqueDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from proxy.words.errors import GatewayError, UpstreamError, outward
from proxy.words.money import Price, Rates, cost
from proxy.words.usage import Usage, count

REFUSAL = GatewayError("insufficient_credits", "The credits are used up.")
DOLLAR = 1_000_000_000


def terms(price: Price, markup: Fraction = Fraction(1), ratio: int = 4000) -> Terms:
    return Terms(
        model="sim/lorem",
        price=price,
        markup=markup,
        ratio=ratio,
        output_cap=100,
        price_version="1",
    )


# One nano-USD for each token of prompt, answer and reasoning; four bytes make a token.
PENNY = terms(Price(Rates(input=1_000_000, output=1_000_000, reasoning=1_000_000)))
PROMPT = 10


def meter(hold: int = 1_000) -> Meter:
    return Meter(PENNY, Usage(input=PROMPT), hold)


class ScriptedDecoder:
    """Hands out scripted frames, one list a feed; what it is fed does not matter."""

    def __init__(self, *feeds: Sequence[Frame]) -> None:
        self._feeds = list(feeds)
        self.failure: UpstreamError | None = None
        self.done = False
        self.complete = False

    def feed(self, data: bytes) -> list[Frame]:
        return self._next()

    def close(self) -> list[Frame]:
        return self._next() if self._feeds else []

    def _next(self) -> list[Frame]:
        frames = list(self._feeds.pop(0))
        self.complete = self.complete or any(
            isinstance(event, Finished) for frame in frames for event in frame.events
        )
        return frames


class LedgerEncoder:
    """Writes the text of frames, and keeps a ledger of how it was ended."""

    media_type = "text/plain"

    def __init__(self, *, whole: bool = False) -> None:
        self.whole = whole
        self.events: list[Event] = []
        self.ends: list[str] = []
        self.bill: Bill | None = None

    def feed(self, frames: Sequence[Frame]) -> bytes:
        assert not self.ends
        new = [event for frame in frames for event in frame.events]
        self.events += new
        return b"".join([event.text.encode() for event in new if isinstance(event, TextDelta)])

    def finish(self, bill: Bill) -> bytes:
        self.ends.append("finish")
        self.bill = bill
        return b"[finish]"

    def truncate(self, bill: Bill, error: GatewayError) -> bytes:
        self.ends.append(f"truncate {error.name}")
        self.bill = bill
        return b"[truncate]"

    def fail(self, error: GatewayError) -> bytes:
        if self.whole:
            raise error
        self.ends.append(f"fail {error.name}")
        return b"[fail]"


class ScriptedPurse:
    """Answers `extend` from a script, then says that nothing is decided."""

    def __init__(self, *answers: int | GatewayError | None) -> None:
        self._answers = list(answers)
        self.asked = 0
        self.second_stream = False

    def extend(self) -> int | GatewayError | None:
        self.asked += 1
        return self._answers.pop(0) if self._answers else None

    def replays(self) -> bool:
        return self.second_stream

    def outward(self, error: UpstreamError) -> GatewayError:
        return outward([error])

    def decide(self, *answers: int | GatewayError | None) -> None:
        self._answers = list(answers)


def text(piece: str, *more: Event) -> Frame:
    return Frame((TextDelta(piece), *more))


END = Frame((Finished("stop"),))


def report(usage: Usage, *, trusted: bool = True) -> Frame:
    return Frame((UsageReport(usage, trusted),))


class Scene:
    """A relay and its three partners."""

    def __init__(
        self,
        *feeds: Sequence[Frame],
        hold: int = 1_000,
        purse: ScriptedPurse | None = None,
        whole: bool = False,
        repeatable: bool = False,
    ) -> None:
        self.decoder = ScriptedDecoder(*feeds)
        self.encoder = LedgerEncoder(whole=whole)
        self.purse = purse or ScriptedPurse()
        self.relay = Relay(self.decoder, self.encoder, meter(hold), self.purse, repeatable=repeatable)

    @property
    def state(self) -> str:
        if self.relay.done:
            return "done"
        return "starved" if self.relay.starved else "open"

    def feed(self, times: int = 1) -> bytes:
        return b"".join([self.relay.feed(b"...") for _ in range(times)])


RATES = st.builds(
    Rates,
    input=st.integers(0, 10**11),
    output=st.integers(0, 10**11),
    reasoning=st.integers(0, 10**11),
)
PRICES = st.builds(
    Price,
    RATES,
    tiers=st.lists(st.tuples(st.integers(0, 5000), RATES), max_size=2).map(lambda rows: tuple(sorted(rows))),
    request=st.integers(0, 10**7),
)
PLANS = st.builds(
    terms,
    PRICES,
    markup=st.fractions(0, 5, max_denominator=1000),
    ratio=st.integers(100, 20_000),
)


class TestPayableBytes:
    @given(PLANS, st.integers(0, 10_000), st.integers(0, 10**12), st.floats(0, 1))
    def test_no_split_of_the_limit_costs_more_than_the_hold(
        self, terms: Terms, prompt: int, extra: int, share: float
    ) -> None:
        hold = cost(Usage(input=prompt), terms.price, terms.markup) + extra
        metered = Meter(terms, Usage(input=prompt), hold)
        if metered.limit is None:
            return
        metered.reasoning_bytes = int(metered.limit * share)
        metered.answer_bytes = metered.limit - metered.reasoning_bytes
        assert metered.relayed_bytes == metered.limit
        assert metered.price(metered.usage()) <= hold

    @given(PLANS, st.integers(0, 10_000), st.integers(0, 10**12))
    def test_little_more_than_the_limit_may_cost_more(self, terms: Terms, prompt: int, extra: int) -> None:
        hold = cost(Usage(input=prompt), terms.price, terms.markup) + extra
        metered = Meter(terms, Usage(input=prompt), hold)
        if metered.limit is None:
            return
        rates = terms.price.rates_for(prompt)
        # One token is kept back for the second rounding; one more is too many.
        beyond = metered.limit + 2 * (terms.ratio // 1000 + 1)
        if rates.output >= rates.reasoning:
            metered.answer_bytes = beyond
        else:
            metered.reasoning_bytes = beyond
        assert metered.price(metered.usage()) > hold

    @pytest.mark.parametrize(
        ("price", "markup"),
        [
            (Price(Rates()), Fraction(1)),
            (Price(Rates(input=5_000_000), request=7), Fraction(1)),
            (Price(Rates(output=1_000_000)), Fraction(0)),
        ],
    )
    def test_free_output_has_no_limit(self, price: Price, markup: Fraction) -> None:
        assert Meter(terms(price, markup), Usage(input=PROMPT), 0).limit is None

    @pytest.mark.parametrize(("hold", "limit"), [(0, 0), (10, 0), (11, 0), (12, 4), (13, 8), (110, 396)])
    def test_by_hand(self, hold: int, limit: int) -> None:
        assert meter(hold).limit == limit
        assert meter(hold).low == limit * 3 // 4

    def test_growing_moves_both_marks(self) -> None:
        metered = meter(12)
        metered.grow(111)
        assert (metered.hold, metered.limit, metered.low) == (111, 400, 300)


class TestCounting:
    def test_every_kind_of_content_is_metered_in_utf8_bytes(self) -> None:
        scene = Scene(
            [
                Frame((Started("1", "m", 0), TextDelta("é"), ReasoningDelta("✓✓"))),
                Frame((RefusalDelta("no"), ToolCallDelta(0, "call_1", "name", "{}"))),
                Frame((ToolCallDelta(0, None, None, "[]"), OpaqueDelta(5))),
            ]
        )
        scene.feed()
        metered = scene.relay.meter
        assert metered.reasoning_bytes == 6
        assert metered.answer_bytes == 2 + 2 + len("name{}") + 2 + 5
        assert metered.usage() == Usage(input=PROMPT, output=5, reasoning=2)

    @pytest.mark.parametrize(
        ("output", "image", "tokens"),
        [
            (1_000_000, 1_000_000, MADE_IMAGE_TOKENS),
            (1_000_000, 20_000_000, 20 * MADE_IMAGE_TOKENS),
            (3_000_000, 1_000_000, MADE_IMAGE_TOKENS // 3),
            (1_000_000, 0, 0),
            (0, 1_000_000, MADE_IMAGE_TOKENS),
        ],
    )
    def test_an_image_counts_as_the_text_that_costs_as_much(
        self, output: int, image: int, tokens: int
    ) -> None:
        scene = Scene([Frame((ImageDelta("data:image/png;base64,AAAA"),))])
        price = Price(Rates(output=output, output_image=image))
        scene.relay.meter = Meter(terms(price), Usage(input=PROMPT), 10**9)
        scene.feed()
        assert scene.relay.meter.usage() == Usage(input=PROMPT, output=tokens)

    def test_an_image_the_hold_cannot_pay_for_is_not_handed_out(self) -> None:
        scene = Scene([Frame((ImageDelta("data:image/png;base64,AAAA"),))])
        price = Price(Rates(output=1_000_000, output_image=2_000_000))
        scene.relay.meter = Meter(terms(price), Usage(), 2 * MADE_IMAGE_TOKENS - 1)
        scene.feed()
        assert scene.state == "starved"
        assert scene.encoder.events == []
        assert scene.relay.meter.answer_bytes == 0
        scene.purse.decide(2 * MADE_IMAGE_TOKENS + 1)
        scene.relay.resume()
        assert scene.encoder.events == [ImageDelta("data:image/png;base64,AAAA")]

    def test_how_it_was_cut_does_not_matter(self) -> None:
        one, many = Scene([text("a" * 9)]), Scene([text("a")] * 9)
        one.feed()
        many.feed()
        assert one.relay.meter.usage() == many.relay.meter.usage() == Usage(input=PROMPT, output=3)

    @pytest.mark.fault("F75")
    def test_only_events_are_progress(self) -> None:
        scene = Scene([text("a")], [], [text("b")])
        progress = []
        for _ in range(3):
            scene.feed()
            progress.append(scene.relay.moved)
        assert progress == [1, 0, 1]


class TestEnds:
    @pytest.mark.fault("F58")
    def test_a_finish_and_a_closed_body_are_a_success(self) -> None:
        scene = Scene([text("Hello"), END])
        assert scene.feed() == b"Hello"
        assert (scene.relay.complete, scene.state) == (True, "open")
        assert scene.relay.close() == b"[finish]"
        assert (scene.relay.error, scene.state) == (None, "done")

    def test_done_ends_it_without_waiting_for_the_close(self) -> None:
        scene = Scene([text("Hello"), END])
        scene.decoder.done = True
        assert scene.feed() == b"Hello[finish]"
        assert scene.relay.done
        assert scene.encoder.ends == ["finish"]

    @pytest.mark.fault("F57")
    def test_a_body_that_ends_early_is_truncated(self) -> None:
        scene = Scene([text("Hel")])
        assert scene.feed() + scene.relay.close() == b"Hel[fail]"
        error = scene.relay.error
        assert error is not None
        assert (error.name, error.detail) == ("upstream_error", {"upstream": "truncated"})

    def test_so_is_one_that_is_done_without_a_finish(self) -> None:
        scene = Scene([text("Hel")])
        scene.decoder.done = True
        assert scene.feed() == b"Hel[fail]"

    def test_what_the_end_cut_short_may_still_be_whole(self) -> None:
        scene = Scene([text("Hello")], [END])
        scene.feed()
        assert scene.relay.close() == b"[finish]"

    @pytest.mark.fault("F56")
    def test_a_reset_after_the_finish_is_no_failure(self) -> None:
        scene = Scene([text("Hello"), END, report(Usage(input=9, output=2))])
        scene.feed()
        # A door that meets a reset asks `complete` and then closes.
        assert scene.relay.complete
        assert scene.relay.close() == b"[finish]"
        assert scene.encoder.bill == Bill(Usage(input=9, output=2), 11, estimated=False)

    @pytest.mark.fault("F56")
    def test_a_reset_before_it_is_told_by_the_door(self) -> None:
        scene = Scene([text("Hel")])
        scene.feed()
        assert not scene.relay.complete
        error = GatewayError("upstream_error", "Broken.", detail={"upstream": "reset"})
        assert scene.relay.fail(error) == b"[fail]"
        assert (scene.relay.done, scene.relay.error) == (True, error)

    @pytest.mark.fault("F60", "F65")
    def test_a_failure_comes_after_the_frames_before_it(self) -> None:
        scene = Scene([text("Hel")])
        scene.decoder.failure = UpstreamError("failed", status=500)
        assert scene.feed() == b"Hel[fail]"
        assert scene.encoder.ends == ["fail upstream_error"]
        assert scene.relay.final_bill() == Bill(Usage(input=PROMPT, output=1), 11, estimated=True)

    @pytest.mark.parametrize("how", ["truncated", "failed", "reset"])
    def test_a_whole_answer_that_failed_raises(self, how: str) -> None:
        scene = Scene([text("Hel")], whole=True)
        if how == "failed":
            scene.decoder.failure = UpstreamError("failed")
        with pytest.raises(GatewayError) as caught:
            _ = scene.feed() + (
                scene.relay.close()
                if how == "truncated"
                else scene.relay.fail(GatewayError("upstream_error", "Broken."))
            )
        assert caught.value.name == "upstream_error"
        assert scene.relay.done
        assert scene.relay.error is caught.value

    def test_the_head_is_relayed_like_the_rest(self) -> None:
        scene = Scene()
        scene.decoder.complete = scene.decoder.done = True
        assert scene.relay.begin([text("Hello"), END]) == b"Hello[finish]"


class TestBill:
    USAGE = Usage(input=9, cache_read=1, output=3)

    @pytest.mark.fault("F61")
    def test_without_a_report_it_is_our_count(self) -> None:
        scene = Scene([text("Hello"), END])
        scene.feed()
        scene.relay.close()
        assert scene.relay.bill == Bill(Usage(input=PROMPT, output=2), 12, estimated=True)
        assert scene.encoder.bill == scene.relay.bill

    def test_a_report_counts_once_the_answer_is_whole(self) -> None:
        scene = Scene([text("Hello"), report(self.USAGE)], [END])
        scene.feed()
        assert scene.relay.final_bill().estimated
        scene.feed()
        assert scene.relay.final_bill() == Bill(self.USAGE, 12, estimated=False)

    @pytest.mark.fault("F63")
    def test_one_that_cannot_be_true_does_not(self) -> None:
        scene = Scene([text("Hello"), END, report(Usage(), trusted=False)])
        scene.feed()
        scene.relay.close()
        assert scene.relay.bill == Bill(Usage(input=PROMPT, output=2), 12, estimated=True)
        assert scene.relay.reported == UsageReport(Usage(), trusted=False)

    def test_of_several_the_last_counts(self) -> None:
        scene = Scene([text("a"), report(Usage(input=1)), report(self.USAGE), END])
        scene.feed()
        assert scene.relay.final_bill().usage == self.USAGE

    @pytest.mark.fault("F5", "F6")
    def test_a_client_that_leaves_pays_for_what_was_handed_out(self) -> None:
        scene = Scene([text("Hell")], [text("o, w"), report(self.USAGE)])
        assert scene.relay.final_bill() == Bill(Usage(input=PROMPT), 10, estimated=True)
        scene.feed()
        assert scene.relay.final_bill() == Bill(Usage(input=PROMPT, output=1), 11, estimated=True)
        scene.feed()
        assert scene.relay.final_bill() == Bill(Usage(input=PROMPT, output=2), 12, estimated=True)

    @pytest.mark.fault("F5", "F10")
    @pytest.mark.parametrize(
        ("unsent", "answer"),
        [(0, 16), (1, 12), (4, 12), (5, 8), (8, 8), (9, 4), (12, 4), (10_000, 4)],
    )
    def test_what_the_socket_never_took_is_taken_back_frame_by_frame(self, unsent: int, answer: int) -> None:
        scene = Scene([text("none")], [text("four"), text("more"), text("gone")])
        scene.feed(2)
        scene.relay.take_back(unsent)
        assert scene.relay.meter.answer_bytes == answer
        assert scene.relay.final_bill().usage.output == answer // 4

    def test_the_report_is_not_for_an_answer_of_which_a_part_was_taken_back(self) -> None:
        scene = Scene([text("Hell"), text("o")], [END, report(self.USAGE)])
        scene.feed(2)
        assert not scene.relay.final_bill().estimated
        scene = Scene([text("Hell"), text("o"), END, report(self.USAGE)])
        scene.feed()
        scene.relay.take_back(1)
        assert scene.relay.final_bill() == Bill(Usage(input=PROMPT, output=1), 11, estimated=True)

    def test_frames_that_were_never_paid_for_are_not_taken_back_twice(self) -> None:
        scene = Scene([text("x" * 396), text("yyyy"), text("zzzz")], hold=111)
        scene.feed()
        assert scene.state == "starved"
        scene.relay.take_back(1)
        assert scene.relay.meter.answer_bytes == 396

    def test_a_failure_after_the_finish_still_leaves_the_report_true(self) -> None:
        scene = Scene([text("Hello"), END, report(self.USAGE)])
        scene.decoder.failure = UpstreamError("bad_content")
        scene.feed()
        assert scene.relay.final_bill() == Bill(self.USAGE, 12, estimated=False)


class TestHold:
    """A hold of 111 pays for 400 bytes, 100 tokens; beyond 300 bytes it is low."""

    HOLD = 111

    def scene(
        self, *feeds: Sequence[Frame], purse: ScriptedPurse | None = None, whole: bool = False
    ) -> Scene:
        return Scene(*feeds, hold=self.HOLD, purse=purse, whole=whole)

    def test_up_to_three_quarters_nobody_asks(self) -> None:
        scene = self.scene([text("a" * 300)])
        scene.feed()
        assert scene.purse.asked == 0

    def test_beyond_it_is_asked_and_the_relay_goes_on(self) -> None:
        scene = self.scene([text("a" * 301)], [text("a" * 99)])
        assert len(scene.feed()) == 301
        assert scene.purse.asked == 1
        assert len(scene.feed()) == 99
        assert not scene.relay.starved

    def test_growth_that_suffices_ends_the_asking(self) -> None:
        scene = self.scene([text("a" * 350)], [text("a" * 200)], purse=ScriptedPurse(222))
        scene.feed()
        assert (scene.purse.asked, scene.relay.meter.hold) == (1, 222)
        scene.feed()
        assert scene.purse.asked == 1

    def test_growth_that_does_not_suffice_is_asked_for_again_at_once(self) -> None:
        scene = self.scene([text("a" * 2000)], purse=ScriptedPurse(222, 444, 888))
        assert len(scene.feed()) == 2000
        assert scene.purse.asked == 3
        assert scene.relay.meter.hold == 888

    def test_undecided_and_used_up_it_starves_until_it_is_resumed(self) -> None:
        scene = self.scene([text("a" * 400), text("b"), text("c"), END])
        assert scene.feed() == b"a" * 400
        assert (scene.relay.complete, scene.state) == (False, "starved")
        assert scene.relay.meter.relayed_bytes == 400
        scene.purse.decide(222)
        assert scene.relay.resume() == b"bc"
        assert (scene.relay.complete, scene.state) == (True, "open")
        assert scene.relay.close() == b"[finish]"
        assert scene.relay.meter.relayed_bytes == 402

    def test_resumed_too_early_it_starves_again(self) -> None:
        scene = self.scene([text("a" * 400), text("b"), END])
        scene.feed()
        assert scene.relay.resume() == b""
        assert scene.relay.starved
        scene.purse.decide(222)
        assert scene.relay.resume() == b"b"

    def test_an_end_that_came_meanwhile_is_met_after_the_rest(self) -> None:
        scene = self.scene([text("a" * 400), text("b"), END])
        scene.decoder.done = True
        assert scene.feed() == b"a" * 400
        scene.purse.decide(222)
        assert scene.relay.resume() == b"b[finish]"

    def test_so_is_a_failure(self) -> None:
        scene = self.scene([text("a" * 400), text("b")])
        scene.decoder.failure = UpstreamError("failed")
        assert scene.feed() == b"a" * 400
        scene.purse.decide(222)
        assert scene.relay.resume() == b"b[fail]"

    def test_so_is_a_close_that_starves(self) -> None:
        scene = self.scene([text("a" * 400)], [text("b"), END])
        scene.feed()
        assert scene.relay.close() == b""
        assert scene.relay.starved
        scene.purse.decide(222)
        assert scene.relay.resume() == b"b"
        assert scene.relay.close() == b"[finish]"
        assert scene.encoder.ends == ["finish"]

    @pytest.mark.fault("F39", "F74")
    @pytest.mark.parametrize("whole", [False, True])
    def test_refused_it_relays_to_the_limit_and_is_cut(self, whole: bool) -> None:
        purse = ScriptedPurse(*[REFUSAL] * 9)
        scene = self.scene([text("a" * 350)], [text("b" * 50)], [text("c")], purse=purse, whole=whole)
        assert scene.feed(2) == b"a" * 350 + b"b" * 50
        assert scene.feed() == b"[truncate]"
        assert scene.encoder.ends == ["truncate insufficient_credits"]
        assert scene.relay.done
        assert scene.relay.error is REFUSAL
        assert scene.relay.bill == Bill(Usage(input=PROMPT, output=100), 110, estimated=True)

    def test_refused_after_it_starved_it_is_cut_on_resuming(self) -> None:
        scene = self.scene([text("a" * 400), text("b")])
        scene.feed()
        scene.purse.decide(REFUSAL)
        assert scene.relay.resume() == b"[truncate]"
        assert scene.relay.meter.relayed_bytes == 400

    def test_a_cut_answer_is_billed_as_relayed_whatever_was_reported(self) -> None:
        late = text("b", Finished("stop"), UsageReport(Usage(input=1, output=1)))
        scene = self.scene([text("a" * 400), late], purse=ScriptedPurse(*[REFUSAL] * 2))
        scene.decoder.done = True
        scene.feed()
        assert scene.encoder.ends == ["truncate insufficient_credits"]
        assert scene.relay.bill == Bill(Usage(input=PROMPT, output=100), 110, estimated=True)

    def test_frames_without_content_pass_a_used_up_hold(self) -> None:
        scene = self.scene([text("a" * 400)], [END, report(Usage(input=9, output=100))])
        scene.feed(2)
        assert not scene.relay.starved
        assert scene.relay.close() == b"[finish]"

    def test_a_frame_is_never_cut_in_two(self) -> None:
        scene = self.scene([text("a" * 10)], [text("b" * 391)], purse=ScriptedPurse(*[REFUSAL] * 2))
        assert scene.feed(2) == b"a" * 10 + b"[truncate]"


def sse(frame: dict[str, object]) -> bytes:
    return b"data: " + orjson.dumps({"id": "1", "created": 1, "model": "m", **frame}) + b"\n\n"


@given(
    st.lists(
        st.tuples(st.sampled_from(["content", "reasoning_content", "refusal"]), st.text(max_size=9)),
        max_size=20,
    ),
    st.lists(st.sampled_from([None, REFUSAL, 0, 1, 5, 30]), max_size=20),
    st.integers(10, 40),
    st.integers(1, 400),
)
def test_nothing_beyond_the_hold_is_ever_written(
    pieces: list[tuple[str, str]], answers: list[int | GatewayError | None], hold: int, size: int
) -> None:
    upstream = b"".join([sse({"choices": [{"index": 0, "delta": {name: piece}}]}) for name, piece in pieces])
    upstream += sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n"

    class GrowingPurse:
        held = hold

        def extend(self) -> int | GatewayError | None:
            answer = answers.pop(0) if answers else REFUSAL
            if isinstance(answer, int):
                self.held += answer
                return self.held
            return answer

        def replays(self) -> bool:
            return False

        def outward(self, error: UpstreamError) -> GatewayError:
            return outward([error])

    purse = GrowingPurse()
    dialect = OpenAIDialect("aggregator")
    call = dialect.parse(b'{"messages": [{"role": "user", "content": "Hi"}], "stream": true}')
    encoder = dialect.encoder(call, Answer("gen_1", "openai", 1000, 0, "m"))
    relay = Relay(OpenAIDecoder(), encoder, Meter(PENNY, Usage(input=PROMPT), hold), purse)
    out = b""
    for start in range(0, len(upstream), size):
        out += relay.feed(upstream[start : start + size])
        while relay.starved:
            out += relay.resume()
        if relay.done:
            break
    written = {"content": 0, "reasoning_content": 0, "refusal": 0}
    for payload in out.split(b"\n\n"):
        if payload.startswith(b"data: {"):
            for choice in orjson.loads(payload[6:])["choices"]:
                for name in written:
                    written[name] += len((choice["delta"].get(name) or "").encode())
    assert relay.done
    paid = Usage(
        input=PROMPT,
        output=count(written["content"] + written["refusal"], PENNY.ratio),
        reasoning=count(written["reasoning_content"], PENNY.ratio),
    )
    assert relay.meter.usage() == paid
    assert relay.bill is not None
    assert relay.bill.cost == cost(paid, PENNY.price) <= purse.held
    if relay.error is None:
        assert out.endswith(b"data: [DONE]\n\n")
        assert sum(written.values()) == sum(len(piece.encode()) for _, piece in pieces)
    else:
        assert relay.error is REFUSAL
        assert b"[DONE]" not in out


@given(st.integers(0, 50), st.integers(0, 5))
def test_a_hold_smaller_than_the_prompt_pays_for_no_output(hold: int, rate: int) -> None:
    assume(hold <= 50 * rate)
    dear = terms(Price(Rates(input=rate * 1_000_000, output=1_000_000)))
    assert Meter(dear, Usage(input=50), hold).limit == 0


class TestReplay:
    """A stream broke; another one takes its place, or the client is told."""

    BREAKS: tuple[Sequence[Frame], ...] = ([text("Hello"), text(" the")],)

    def broken(self, **more: bool) -> Scene:
        scene = Scene(*self.BREAKS, **more)  # type: ignore[arg-type]
        scene.purse.second_stream = True
        scene.feed()
        scene.relay.broke(UpstreamError("reset"))
        return scene

    def test_it_starves_until_there_is_another(self) -> None:
        scene = self.broken(repeatable=True)
        assert scene.state == "starved"
        assert scene.relay.broken is not None
        scene.relay.rerun(ScriptedDecoder([text("re"), END]), [text("Hello th"), text("e")])
        assert scene.relay.resume() == b""
        assert scene.state == "open"
        assert scene.relay.meter.answer_bytes == len("Hello the")
        scene.relay.feed(b"...")
        assert [event for event in scene.encoder.events if isinstance(event, TextDelta)] == [
            TextDelta("Hello"),
            TextDelta(" the"),
            TextDelta("re"),
        ]
        assert scene.relay.meter.answer_bytes == len("Hello there")

    def test_another_that_says_something_else_ends_it(self) -> None:
        scene = self.broken(repeatable=True)
        scene.purse.second_stream = False
        scene.relay.rerun(ScriptedDecoder(), [text("Howdy"), text(" partner")])
        scene.relay.resume()
        assert scene.state == "done"
        assert scene.relay.error is not None
        assert scene.relay.error.detail == {"upstream": "truncated"}
        assert scene.relay.meter.answer_bytes == len("Hello the")

    def test_without_another_the_first_end_is_told(self) -> None:
        scene = self.broken(repeatable=True)
        scene.relay.resume()
        assert scene.state == "done"
        assert scene.relay.error is not None
        assert scene.relay.error.detail == {"upstream": "reset"}

    @pytest.mark.parametrize("why", ["not to be had", "not comparable"])
    def test_it_fails_at_once_otherwise(self, why: str) -> None:
        scene = Scene(
            [text("Hello", OpaqueDelta(3))] if why == "not comparable" else [text("Hello")], repeatable=True
        )
        scene.purse.second_stream = why != "not to be had"
        scene.feed()
        scene.relay.broke(UpstreamError("reset"))
        assert scene.state == "done"

    def test_figures_of_the_broken_stream_are_forgotten(self) -> None:
        scene = Scene([text("Hello"), report(Usage(input=99, output=99))], repeatable=True)
        scene.purse.second_stream = True
        scene.feed()
        scene.relay.broke(UpstreamError("reset"))
        second = ScriptedDecoder([END])
        scene.relay.rerun(second, [text("Hello")])
        scene.relay.resume()
        scene.relay.feed(b"...")
        second.complete = True
        assert scene.relay.final_bill().estimated

    def test_one_that_begins_anew_is_another_answer(self) -> None:
        scene = self.broken(whole=True)
        assert scene.state == "starved"
        encoder = LedgerEncoder(whole=True)
        scene.relay.restart(ScriptedDecoder([END]), encoder, meter(), [text("Howdy")])
        scene.relay.resume()
        assert encoder.events == [TextDelta("Howdy")]
        assert scene.relay.meter.answer_bytes == len("Howdy")
