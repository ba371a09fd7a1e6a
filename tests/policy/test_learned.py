"""What is learnt of models from finished requests: how near it comes, and how little one account moves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from random import Random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.bank.record import Record
from proxy.policy.estimate import weigh
from proxy.policy.learned import (
    ENOUGH,
    EVERY,
    FLOOR,
    FULL,
    LEAST,
    MODELS,
    MOST,
    SAMPLES,
    SHARE,
    STEP,
    UNKNOWN,
    Learned,
    Lesson,
    Told,
    lesson,
)
from proxy.policy.prices import PriceBook
from proxy.policy.routing import Router
from proxy.relay import Meter
from proxy.settings import Deployment, Model, Money, Provider, Settings
from proxy.words.chat import ChatRequest, Message, Origin, TextPart
from proxy.words.ids import KeyKind
from proxy.words.money import Price, Rates, cost
from proxy.words.principal import Limits, Principal
from proxy.words.spoken import Sizes
from proxy.words.usage import DEFAULT_RATIO, MAX_TOKENS, Usage, count
from tests.bank.kit import record

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KIND: KeyKind = "account"
PRICE = Price(Rates(*[1_000_000_000] * 6, *[4_000_000_000] * 4))
M = Model("m", (Deployment(Provider("p", "openai", "http://p", api_key="k"), "m"),), price=PRICE)


def sizes(prompt: int = 4000, answer: int = 2000, **more: object) -> Sizes:
    fields = {"turns": 1, "plain": True, "reasoning_bytes": 0, "choices": 1, "open_ended": True, **more}
    return Sizes(prompt_bytes=prompt, answer_bytes=answer, **fields)  # type: ignore[arg-type]


def chat(prompt_bytes: int = 4000, max_tokens: int | None = None, **more: object) -> ChatRequest:
    messages = (Message("user", (TextPart("x"),)),)
    origin = Origin("openai", {})
    return ChatRequest("m", messages, origin, prompt_bytes, max_tokens=max_tokens, **more)  # type: ignore[arg-type]


def router(learned: Learned | None, model: Model = M, money: Money = Money()) -> Router:
    settings = Settings(providers=(model.deployments[0].provider,), models=(model,), money=money)
    return Router(settings, PriceBook.load(settings.providers), learned=learned)


def taught(lessons: Sequence[Lesson], *, accounts: int = 1) -> Learned:
    learned = Learned()
    for number, each in enumerate(lessons):
        learned.learn("m", number % accounts + 1, each)
    return learned


@pytest.mark.parametrize(
    ("measured", "usage", "found"),
    [
        (sizes(), Usage(input=1004, output=500), Lesson(4000, 4000, 500)),
        (sizes(), Usage(input=4, cache_read=1000, output=500), Lesson(4000, 4000, 500)),
        (sizes(prompt=399), Usage(input=104, output=500), Lesson(None, 4000, 500)),
        (sizes(answer=160), Usage(input=1004, output=40), Lesson(4000, None, 40)),
        (sizes(plain=False), Usage(input=1004, output=500), Lesson(None, None, 500)),
        (sizes(open_ended=False), Usage(input=1004, output=500), Lesson(4000, 4000, None)),
        (sizes(choices=4), Usage(input=1004, output=401), Lesson(4000, 4987, 101)),
        (sizes(), Usage(input=100_000, output=10), Lesson(None, None, 10)),  # no text has ratios like this
        (sizes(), Usage(input=2, output=10), Lesson(None, None, 10)),
        (sizes(reasoning_bytes=400), Usage(input=1004, output=500, reasoning=100), Lesson(4000, None, 600)),
        (sizes(), Usage(input=1004, output=500, reasoning=900), Lesson(4000, None, MAX_TOKENS)),
        (sizes(), Usage(input=1004, output=500, output_audio=1), Lesson(4000, None, 501)),
        (sizes(answer=0), Usage(input=1004), Lesson(4000, None, 0)),
    ],
)
def test_what_a_request_teaches(measured: Sizes, usage: Usage, found: Lesson) -> None:
    assert lesson(measured, usage) == found


def finished(**more: object) -> Record:
    known = {"sizes": sizes(), "usage": Usage(input=1004, output=500), "estimated": False, "outcome": "ok"}
    return replace(record("gen_1"), model="m", **(known | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "poor", [{"outcome": "client_abort"}, {"estimated": True}, {"sizes": None}, {"usage": Usage()}]
)
def test_only_whole_answers_with_figures_that_are_believed_teach(poor: dict[str, object]) -> None:
    learned = Learned()
    for _ in range(ENOUGH):
        learned.observe(finished(**poor))
    assert learned.figures("m").answer is None
    for _ in range(ENOUGH):
        learned.observe(finished())
    assert learned.figures("m").answer == 4000


def test_nothing_is_used_before_there_is_enough_of_it() -> None:
    learned = taught([Lesson(3000, 3500, 100)] * (ENOUGH - EVERY))
    assert learned.figures("m") == learned.figures("other") == UNKNOWN
    for _ in range(EVERY):
        learned.learn("m", 1, Lesson(3000, 3500, 100))
    assert learned.figures("m") == (3000, 3500, 125)


def test_an_answers_ratio_a_hair_below_the_truth_does_not_count_one_token_as_two() -> None:
    learned = taught([Lesson(3983, 3983, 100)] * ENOUGH)
    figures = learned.figures("m")
    assert figures.prompt == 3983
    assert figures.answer is not None
    assert count(len(b"word"), figures.answer) == 1


def test_an_hour_of_one_kind_is_forgotten_after_as_much_of_another() -> None:
    learned = taught([Lesson(3000, 3000, 100)] * SAMPLES)
    for _ in range(SHARE):
        learned.learn("m", 1, Lesson(5000, 5000, 1000))
    assert learned.figures("m") == (5000, 5000, 1250)


@given(
    honest=st.lists(st.integers(2000, 6000), min_size=80, max_size=200),
    evil=st.integers(1, 300),
    lie=st.sampled_from([1000, 8000]),
)
def test_one_account_moves_a_median_no_further_than_the_others_middle_half(
    honest: list[int], evil: int, lie: int
) -> None:
    learned = Learned()
    for number, ratio in enumerate(honest):
        learned.learn("m", 1 + number % 4, Lesson(ratio, ratio, None))
    for _ in range(evil):
        learned.learn("m", 9, Lesson(lie, lie, None))
    found = learned.figures("m").prompt
    # The fullest account gives way, so what is left of the others is at least their last samples.
    kept = sorted(honest[-min(len(honest), SAMPLES - SHARE) :])
    assert found is not None
    assert kept[len(kept) // 8] <= found <= kept[-1 - len(kept) // 8]


def test_many_short_answers_of_one_account_leave_the_others_their_length() -> None:
    random = Random(5)
    honest = [random.randint(200, 1000) for _ in range(128)]
    learned = taught([Lesson(None, None, each) for each in honest], accounts=2)
    before = learned.figures("m").output
    for _ in range(10_000):
        learned.learn("m", 9, Lesson(None, None, 1))
    after = learned.figures("m").output
    assert before is not None
    assert after is not None
    assert after >= sorted(honest)[int(0.9 * len(honest))] * 5 // 4
    assert before * 9 // 10 <= after <= before


def test_an_account_weighs_little_before_it_has_asked_a_few_times() -> None:
    learned = taught([Lesson(4000, 4000, 100)] * 40)
    for _ in range(FULL):
        learned.learn("m", 2, Lesson(1000, 1000, 1))
    assert learned.figures("m").prompt in {4000, LEAST}
    learned.learn("m", 3, Lesson(4000, 4000, 100))
    for _ in range(EVERY):
        learned.learn("m", 1, Lesson(4000, 4000, 100))
    assert learned.figures("m").prompt == 4000


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1000, 8000), st.integers(0, MAX_TOKENS)), min_size=64)
)
def test_figures_stay_within_their_bounds_whatever_is_taught(taught_so: list[tuple[int, int, int]]) -> None:
    learned = Learned()
    for account, ratio, output in taught_so:
        learned.learn("m", account, Lesson(ratio, ratio, output))
    prompt, answer, held = learned.figures("m")
    assert prompt is not None
    assert answer is not None
    assert held is not None
    assert LEAST <= prompt <= MOST
    assert LEAST <= answer <= MOST
    assert held >= FLOOR
    plan = router(learned).plan(chat(), Principal(1, 1, KIND), NOW)
    assert FLOOR <= plan.first.output_cap <= Money().default_output_cap


def test_what_is_kept_is_bounded_and_the_least_used_model_goes_first() -> None:
    learned = Learned()
    for account in range(1000):
        for _ in range(3):
            learned.learn("often", account, Lesson(4000, 4000, 10))
    (text,) = learned.changes().values()
    assert len(text) < 3 * SAMPLES * 20
    for number in range(MODELS + 9):
        learned.learn(f"m{number}", 1, Lesson(4000, 4000, 10))
        learned.learn("often", 1, Lesson(4000, 4000, 10))
    assert len(learned.names()) == MODELS
    assert "often" in learned.names()
    assert "m0" not in learned.names()


def test_what_was_learnt_outlives_the_process() -> None:
    learned = taught([Lesson(3000, 3500, each) for each in range(96)], accounts=3)
    changes = learned.changes()
    assert learned.changes() == {}
    learned.unsaved(changes)
    assert learned.changes() == changes
    heir = Learned()
    heir.restore("m", changes["m"])
    assert heir.figures("m") == learned.figures("m") != UNKNOWN
    assert heir.changes() == {}
    told = Told()
    told.take(orjson.loads(orjson.dumps(learned.table())))
    assert told.figures("m") == learned.figures("m")
    assert told.figures("other") == UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "[[],[]]", "[[],[],[],[]]", "[1,2,3]", "[[[1]],[],[]]", "[[[1,2]],[],[]]"),
        *('[[["1",[4000]]],[],[]]', "[[[1,[true]]],[],[]]", "[[[1,[-1]]],[],[]]", "[[[1,[4000.5]]],[],[]]"),
        *("[[[1,[99999]]],[],[]]", "[[],[],[[1,[10000001]]]]"),
    ],
)
def test_what_was_tampered_with_is_refused(text: str) -> None:
    learned = Learned()
    with pytest.raises(ValueError):
        learned.restore("m", text)
    assert learned.names() == []


WISE = [Lesson(3000, 3500, 100)] * 64


@pytest.mark.parametrize(
    ("call", "limits", "cap"),
    [
        (chat(), Limits(), 125),
        (chat(max_tokens=50), Limits(), 50),
        (chat(max_tokens=500), Limits(), 500),
        (chat(), Limits(max_output=70), 70),
        (chat(reasoning_effort="high"), Limits(), 4096),
        (chat(reasoning_effort="none"), Limits(), 125),
        (chat(extra={"thinking": {"type": "enabled"}}), Limits(), 4096),
    ],
)
def test_a_plan_holds_for_what_answers_come_to(call: ChatRequest, limits: Limits, cap: int) -> None:
    terms = router(taught(WISE)).plan(call, Principal(1, 1, KIND, limits=limits), NOW).first
    assert (terms.ratio, terms.counted, terms.output_cap) == (3000, 3500, cap)
    usual = router(None).plan(call, Principal(1, 1, KIND, limits=limits), NOW).first
    assert (usual.ratio, usual.counted) == (DEFAULT_RATIO, DEFAULT_RATIO)
    assert usual.output_cap >= cap


def test_a_plan_is_frozen_while_more_is_learnt() -> None:
    learned = taught(WISE)
    plan = router(learned).plan(chat(), Principal(1, 1, KIND), NOW)
    before = (plan.first.ratio, plan.first.counted, plan.first.output_cap)
    for _ in range(SAMPLES):
        learned.learn("m", 1, Lesson(6000, 6000, 4000))
    assert (plan.first.ratio, plan.first.counted, plan.first.output_cap) == before


def replayed(seed: int, number: int = 600) -> Iterator[tuple[int, ChatRequest, Sizes, Usage]]:
    """Chats as they come: most answers of a few hundred tokens, a long tail, 3 to 5 bytes of text a token.

    Lengths are log-normal about the mean of LMSYS-Chat-1M (arXiv 2309.11998: some 215 tokens a reply).
    """
    random = Random(seed)
    for _ in range(number):
        prompt = int(random.lognormvariate(7.2, 1.0)) + 20
        output = min(int(random.lognormvariate(5.0, 0.9)) + 1, 4000)
        said = Usage(input=int(prompt / random.gauss(3.6, 0.15)) + 4, output=output)
        answer = int(output * random.gauss(4.6, 0.2))
        yield random.randint(1, 5), chat(prompt), sizes(prompt, answer), said


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_learnt_hold_is_several_times_nearer_to_the_cost(seed: int) -> None:
    learned = Learned()
    asked = Principal(1, 1, KIND)
    misses: dict[str, list[int]] = {"default": [], "learnt": []}
    short = {"default": 0, "learnt": 0}
    for number, (account, call, measured, usage) in enumerate(replayed(seed)):
        charged = cost(usage, PRICE, Fraction(1))
        if number >= 100:
            for name, one in (("default", None), ("learnt", learned)):
                held = weigh(call, router(one).plan(call, asked, NOW)).hold
                misses[name].append(abs(held - charged))
                short[name] += held < charged
        learned.learn("m", account, lesson(measured, usage))
    default, learnt = (sum(each) for each in misses.values())
    assert learnt * 4 < default
    assert short["learnt"] <= 500 * 6 // 100


@given(
    ratios=st.tuples(st.integers(LEAST, MOST), st.integers(LEAST, MOST)),
    pieces=st.lists(st.integers(1, 200), min_size=1, max_size=200),
)
def test_what_the_meter_lets_through_never_costs_more_than_a_learnt_hold(
    ratios: tuple[int, int], pieces: list[int]
) -> None:
    learned = taught([Lesson(*ratios, 64)] * 64)
    call = chat()
    plan = router(learned).plan(call, Principal(1, 1, KIND), NOW)
    hold = weigh(call, plan).hold
    meter = Meter(plan.first, call.forecast(plan.first.ratio, plan.first.output_cap), hold)
    assert meter.limit is not None
    for size in pieces:
        if meter.answer_bytes + size > meter.limit:
            break
        meter.answer_bytes += size
    answer = -(-ratios[1] // STEP) * STEP
    assert meter.usage().output == count(meter.answer_bytes, answer)
    assert meter.price(meter.usage()) <= hold
