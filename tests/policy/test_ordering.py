"""Who may serve a request, and in what order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest

from proxy.policy.ordering import Outlook, arrange
from proxy.policy.plan import Candidate, Terms
from proxy.policy.routing import STEADY
from proxy.settings import Deployment, Provider
from proxy.words.chat import ChatRequest, Message, Origin, TextPart
from proxy.words.money import Price, Rates
from proxy.words.wishes import NO_WISHES, Strategy, Wishes

DOLLAR = 10**9
CALL = ChatRequest(
    "m", (Message("user", (TextPart("hi"),)),), Origin("openai", {}), prompt_bytes=4000, max_tokens=100
)


def price(dollars: int) -> Price:
    return Price(Rates(*[dollars * DOLLAR] * 10))


def candidate(provider: str, cost: int, *, model: str = "m", charged: int = 5, **terms: object) -> Candidate:
    known = Terms(model, price(charged), Fraction(1), 4000, 100, "1")
    deployment = Deployment(Provider(provider, "openai", "http://x"), "m")
    return Candidate(deployment, replace(known, **terms), price(cost))  # type: ignore[arg-type]


A, B, C = candidate("a", 3), candidate("b", 1), candidate("c", 2)
ABC = (A, B, C)


def order(
    strategy: Strategy = "failover",
    wishes: Wishes = NO_WISHES,
    candidates: tuple[Candidate, ...] = ABC,
    outlook: Outlook = STEADY,
    seed: int = 1,
) -> str:
    found = arrange(candidates, strategy, CALL, wishes, outlook, Random(seed))
    return "".join(each.deployment.provider.name for each in found)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("failover", "abc"), ("hedge", "abc"), ("race", "abc"), ("single", "a"), ("cheapest", "bca")],
)
def test_a_strategy_is_an_order(strategy: Strategy, expected: str) -> None:
    assert order(strategy) == expected


def test_cheapest_is_what_the_client_pays_then_what_we_do() -> None:
    models = (
        candidate("a", 1, charged=9, model="x"),
        candidate("b", 8, charged=4),
        candidate("c", 7, charged=4),
    )
    assert order("cheapest", candidates=models) == "cba"
    unknown = (replace(A, cost=None), B)
    assert order("cheapest", candidates=unknown) == "ba", "an unknown cost is taken to be the price"


def test_quality_is_the_operators_rank() -> None:
    ranked = (candidate("a", 1), candidate("b", 1, quality=9), candidate("c", 1, quality=5))
    assert order("quality", candidates=ranked) == "bca"


def test_fastest_is_by_what_is_expected_of_the_whole_answer() -> None:
    asked = []

    def expected(deployment: str, tokens: int) -> float:
        asked.append(tokens)
        return {"a/m": 3.0, "b/m": 2.0, "c/m": 1.0}[deployment]

    assert order("fastest", outlook=Outlook(expected, lambda _: True)) == "cba"
    assert set(asked) == {100}


def test_balanced_draws_by_the_inverse_square_of_the_price() -> None:
    firsts = Counter(order("balanced", seed=seed)[0] for seed in range(4000))
    total = 1 / 9 + 1 + 1 / 4
    for name, weight in (("a", 1 / 9), ("b", 1), ("c", 1 / 4)):
        assert firsts[name] / 4000 == pytest.approx(weight / total, abs=0.03)
    assert all(sorted(order("balanced", seed=seed)) == ["a", "b", "c"] for seed in range(50))


def test_balanced_keeps_the_unstable_for_last() -> None:
    shaky = Outlook(STEADY.expected, lambda deployment: deployment != "b/m")
    assert {order("balanced", outlook=shaky, seed=seed)[-1] for seed in range(50)} == {"b"}


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        (Wishes(only=("c", "a")), "ac"),
        (Wishes(ignore=("a",)), "bc"),
        (Wishes(only=("a",), ignore=("a",)), ""),
        (Wishes(order=("c",)), "cab"),
        (Wishes(order=("c", "b")), "cba"),
        (Wishes(order=("c", "x"), allow_fallbacks=False), "c"),
        (Wishes(allow_fallbacks=False), "a"),
        (Wishes(max_prompt_price=5 * DOLLAR, max_completion_price=5 * DOLLAR), "abc"),
        (Wishes(max_prompt_price=5 * DOLLAR - 1), ""),
        (Wishes(max_completion_price=5 * DOLLAR - 1), ""),
    ],
)
def test_wishes_narrow_and_order(wishes: Wishes, expected: str) -> None:
    assert order(wishes=wishes) == expected


def test_a_ceiling_is_of_the_price_with_its_markup() -> None:
    marked = (candidate("a", 1, markup=Fraction(3, 2)),)
    assert order(wishes=Wishes(max_prompt_price=7 * DOLLAR), candidates=marked) == ""
    assert order(wishes=Wishes(max_prompt_price=8 * DOLLAR), candidates=marked) == "a"


def test_order_wins_over_every_strategy() -> None:
    assert order("cheapest", Wishes(order=("a",))) == "abc"


class TestSticky:
    STICKY = tuple(replace(each, terms=replace(each.terms, sticky=True)) for each in ABC)

    def test_a_session_stays_where_it_is(self) -> None:
        homes = {
            f"s{number}": order(wishes=Wishes(session=f"s{number}"), candidates=self.STICKY)[0]
            for number in range(90)
        }
        assert set(homes.values()) == {"a", "b", "c"}
        for strategy in ("failover", "hedge", "balanced"):
            for session, home in homes.items():
                found = order(strategy, Wishes(session=session), self.STICKY)
                assert found[0] == home
                assert sorted(found) == ["a", "b", "c"]

    def test_one_that_goes_moves_no_session_of_the_others(self) -> None:
        for number in range(50):
            wishes = Wishes(session=f"s{number}")
            home = order(wishes=wishes, candidates=self.STICKY)[0]
            if home != "c":
                assert order(wishes=wishes, candidates=self.STICKY[:2])[0] == home

    def test_it_is_asked_for_by_the_model(self) -> None:
        assert all(order(wishes=Wishes(session=f"s{number}")) == "abc" for number in range(20))

    def test_it_never_changes_the_model(self) -> None:
        other = candidate("z", 1, model="other")
        for number in range(30):
            assert order(wishes=Wishes(session=f"s{number}"), candidates=(*self.STICKY, other))[-1] == "z"

    def test_an_order_by_merit_stands(self) -> None:
        assert {order("cheapest", Wishes(session=f"s{n}"), self.STICKY) for n in range(20)} == {"bca"}
