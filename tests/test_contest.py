"""One request's race, in virtual time: who starts when, who pays, and what is learnt from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import trio

from proxy.contest import ALL_OPEN_SECONDS, Contest, loss
from proxy.policy.budgets import Shares
from proxy.policy.health import Health
from proxy.policy.plan import Candidate, Plan
from proxy.policy.prices import PriceBook
from proxy.policy.pulse import Tempo
from proxy.policy.routing import Router
from proxy.receipt import Receipt
from proxy.settings import Deployment, Model, Provider, Race, Settings
from proxy.upstream.fleet import Fleet
from proxy.upstream.sim import SimLine
from proxy.wires.openai import OpenAIWire
from proxy.words.chat import ChatRequest, Message, Origin, TextPart
from proxy.words.errors import GatewayError, Trouble, UpstreamError
from proxy.words.money import Price, Rates
from proxy.words.principal import Principal
from proxy.words.usage import Usage
from proxy.words.wishes import Strategy

PRICE = Price(Rates(*[1_000_000_000] * 6, *[2_000_000_000] * 4))
BODY = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
MESSAGE = Message("user", (TextPart("hi"),))


@dataclass
class Scene:
    """Deployments by their scripts, one provider each, in order; `strategy` over them."""

    scripts: list[str]
    strategy: Strategy = "failover"
    race: Race = field(default_factory=Race)
    health: Health = field(default_factory=lambda: Health(Tempo(floor=0.1, hedge_delay=2.0)))
    max_tokens: int | None = 8
    providers: dict[str, Any] = field(default_factory=dict)
    """Members of all providers."""

    def __post_init__(self) -> None:
        names = [f"p{place}" for place in range(len(self.scripts))]
        providers = [Provider(name, "sim", **self.providers) for name in names]
        pairs = zip(providers, self.scripts, strict=True)
        deployments = tuple(Deployment(provider, script) for provider, script in pairs)
        model = Model("m", deployments, self.strategy, PRICE)
        self.settings = Settings(providers=tuple(providers), models=(model,), race=self.race)
        self.fleet = Fleet(dict.fromkeys(names, SimLine()), {"sim": OpenAIWire()}, unix_time=lambda: 0.0)

    def contest(self) -> Contest:
        self.call = ChatRequest(
            "m", (MESSAGE,), Origin("openai", BODY), prompt_bytes=40, stream=True, max_tokens=self.max_tokens
        )
        self.plan: Plan = Router(self.settings, PriceBook.load(())).plan(
            self.call, Principal(1, 1, "account"), datetime(2026, 11, 21, tzinfo=UTC)
        )
        self.receipt = Receipt(
            "g", "r", 1, 1, None, stream=True, started_at=0.0, started_unix=0.0, model_asked="m"
        )
        return Contest(self.fleet, self.health, self.race, self.plan, self.call, self.receipt)

    async def run(self) -> str:
        """Race once; return who won, and when, and who started when."""
        begun = trio.current_time()
        contest = self.contest()
        contest.check()
        try:
            winner, stream = await contest.run()
        except GatewayError as error:
            told: str = error.name
            contest.close(error)
        else:
            stream.close()
            told = winner.deployment.provider.name
            self.receipt.usage = Usage(input=14, output=8)
            contest.close(None)
        starts = sorted((round(each.started_at - begun, 3), each.provider) for each in self.receipt.attempts)
        shown = " ".join(f"{name}@{at:g}" for at, name in starts)
        return f"{told} at {round(trio.current_time() - begun, 3):g}: {shown}"


FAIL, SLOW, QUICK, STUCK = "lorem:fail=503", "lorem:ttft=5", "lorem:ttft=0.5", "lorem:ttft=9999"
STORIES: list[tuple[Strategy, list[str], str]] = [
    ("failover", [QUICK, QUICK], "p0 at 0.5: p0@0"),
    ("failover", [FAIL, QUICK], "p1 at 0.5: p0@0 p1@0"),
    ("failover", [SLOW, QUICK], "p0 at 5: p0@0"),
    ("failover", [STUCK, QUICK], "p1 at 30.5: p0@0 p1@30"),
    ("failover", [FAIL, FAIL, QUICK], "p2 at 0.5: p0@0 p1@0 p2@0"),
    ("failover", [FAIL, FAIL], "upstream_error at 0: p0@0 p1@0"),
    ("single", [FAIL, QUICK], "upstream_error at 0: p0@0"),
    ("failover", ["lorem:fail=400", QUICK], "invalid_request at 0: p0@0"),
    ("hedge", [QUICK, QUICK], "p0 at 0.5: p0@0"),
    ("hedge", [SLOW, QUICK], "p1 at 2.5: p0@0 p1@2"),
    ("hedge", [SLOW, STUCK], "p0 at 5: p0@0 p1@2"),
    ("hedge", [FAIL, SLOW, QUICK], "p2 at 2.5: p0@0 p1@0 p2@2"),
    ("hedge", [STUCK, STUCK, QUICK], "p2 at 4.5: p0@0 p1@2 p2@4"),
    ("race", [SLOW, QUICK, QUICK], "p1 at 0.5: p0@0 p1@0 p2@0"),
    ("race", [SLOW, STUCK, FAIL, QUICK], "p3 at 0.5: p0@0 p1@0 p2@0 p3@0"),
]


@pytest.mark.parametrize(
    ("strategy", "scripts", "told"), STORIES, ids=[f"{story[0]}-{'-'.join(story[1])}" for story in STORIES]
)
async def test_stories(autojump_clock: object, strategy: Strategy, scripts: list[str], told: str) -> None:
    assert await Scene(scripts, strategy).run() == told


async def test_no_more_are_open_at_once_than_is_set(autojump_clock: object) -> None:
    scene = Scene([STUCK, STUCK, QUICK], "race", Race(at_once=2))
    assert await scene.run() == "p2 at 30.5: p0@0 p1@0 p2@30"


async def test_no_more_are_tried_in_all_than_is_set(autojump_clock: object) -> None:
    assert await Scene([FAIL, FAIL, QUICK], race=Race(attempts=2)).run() == "upstream_error at 0: p0@0 p1@0"


async def test_nor_are_more_that_start_together(autojump_clock: object) -> None:
    scene = Scene([SLOW, STUCK, QUICK], "race", Race(attempts=2))
    assert await scene.run() == "p0 at 5: p0@0 p1@0"


async def test_another_round_waits_first(autojump_clock: object) -> None:
    scene = Scene([FAIL, FAIL], race=Race(again=1))
    await scene.run()
    starts = [each.started_at for each in scene.receipt.attempts]
    assert [each.provider for each in scene.receipt.attempts] == ["p0", "p1", "p0", "p1"]
    assert starts[0] == starts[1] <= starts[2] <= starts[3] < starts[0] + 1


async def test_another_round_needs_a_budget_even_where_there_is_one_deployment_alone(
    autojump_clock: object,
) -> None:
    scene = Scene([FAIL], race=Race(again=1), health=Health(shares=Shares(retry_calls=0, retry_floor=0)))
    await scene.run()
    assert len(scene.receipt.attempts) == 1


@pytest.mark.parametrize(
    ("race", "shares"),
    [(Race(attempts=1), Shares()), (Race(), Shares(retry_calls=0, retry_floor=0))],
    ids=["attempts", "budget"],
)
async def test_a_broken_stream_is_replaced_within_the_same_bounds(
    autojump_clock: object, race: Race, shares: Shares
) -> None:
    scene = Scene([QUICK, QUICK], race=race, health=Health(shares=shares))
    contest = scene.contest()
    _, stream = await contest.run()
    stream.close()
    with pytest.raises(GatewayError):
        await contest.again(UpstreamError("reset"), Usage(input=14), anew=False)
    assert [(each.trouble, each.cost) for each in scene.receipt.attempts] == [("reset", 14_000)]


async def test_hedges_are_within_their_budget(autojump_clock: object) -> None:
    scene = Scene([SLOW, QUICK], "hedge")
    told = [await scene.run() for _ in range(40)]
    hedged = sum("p1@" in story for story in told)
    assert hedged == 2 + 40 // 20 - 1, "two to begin with and one in twenty calls"


@pytest.mark.parametrize(("trouble", "paid"), [(None, 14_000), ("unreachable", 0)])
async def test_a_hedge_is_paid_for_as_its_loser_truly_cost(
    trouble: Trouble | None, paid: int, autojump_clock: object
) -> None:
    scene = Scene([SLOW, QUICK], "hedge")
    budgets = scene.health.budgets
    before = budgets.snapshot().hedge_spend
    contest = scene.contest()
    _, stream = await contest.run()
    stream.close()
    assert budgets.snapshot().hedge_spend == before - 14_000
    scene.receipt.attempts[0].trouble = trouble
    contest.close(None)
    assert budgets.snapshot().hedge_spend == before - paid


async def test_a_race_is_exempt_where_the_operator_wants_it(autojump_clock: object) -> None:
    scene = Scene([SLOW, QUICK], "race")
    assert [await scene.run() for _ in range(40)] == ["p1 at 0.5: p0@0 p1@0"] * 40


async def test_a_race_over_budget_is_fail_over(autojump_clock: object) -> None:
    scene = Scene([FAIL, QUICK], "race", health=Health(shares=Shares(hedge_start=0, hedge_calls=0)))
    contest = scene.contest()
    contest.plan = replace(scene.plan, exempt=False)
    winner, stream = await contest.run()
    stream.close()
    assert winner.deployment.provider.name == "p1"
    assert scene.health.budgets.snapshot().failovers == 1


class TestUnstoppable:
    """Providers that charge for the whole answer although we hang up."""

    @pytest.mark.parametrize(
        ("max_tokens", "told"),
        [
            (256, "p1 at 2.5: p0@0 p1@2"),
            (257, "p0 at 5: p0@0"),
            (None, "p0 at 5: p0@0"),
        ],
    )
    async def test_they_are_hedged_for_short_answers_alone(
        self, autojump_clock: object, max_tokens: int | None, told: str
    ) -> None:
        scene = Scene(
            [SLOW, QUICK], "hedge", max_tokens=max_tokens, providers={"cancel_stops_billing": False}
        )
        assert await scene.run() == told

    def test_what_is_lost_is_the_whole_answer(self) -> None:
        scene = Scene([SLOW], providers={"cancel_stops_billing": False})
        scene.contest()
        (candidate,) = scene.plan.candidates
        prompt, answer = 14 * 1000, 8 * 2000
        assert loss(candidate, scene.call) == prompt + answer
        stops = replace(candidate.deployment.provider, cancel_stops_billing=True)
        assert loss(_at(candidate, stops), scene.call) == prompt


def _at(candidate: Candidate, provider: Provider) -> Candidate:
    return replace(candidate, deployment=replace(candidate.deployment, provider=provider))


async def test_each_attempt_says_what_it_costs_us(autojump_clock: object) -> None:
    scene = Scene([FAIL, STUCK, SLOW, "lorem:ttft=2.5"], "hedge")
    assert await scene.run() == "p3 at 6.5: p0@0 p1@0 p2@2 p3@4"
    seen = [(each.provider, each.trouble, each.cost, each.accepted) for each in scene.receipt.attempts]
    prompt = 14 * 1000
    assert seen == [
        ("p0", "failed", 0, False),
        ("p1", None, prompt, True),
        ("p2", None, prompt, True),
        ("p3", None, prompt + 8 * 2000, True),
    ]
    assert scene.receipt.winner is scene.receipt.attempts[3]
    assert all(each.ended_at is not None for each in scene.receipt.attempts[:3])


async def test_five_failures_take_a_deployment_out_until_it_is_probed(autojump_clock: object) -> None:
    scene = Scene([FAIL, QUICK])
    both, other = "p1 at 0.5: p0@0 p1@0", "p1 at 0.5: p1@0"
    told = [await scene.run() for _ in range(6)]
    assert told == [*[both] * 5, other]
    await trio.sleep(5)
    assert [await scene.run() for _ in range(2)] == [both, other], "one probe, and it is still dead"


@pytest.mark.fault("F82")
async def test_where_every_breaker_is_open_nobody_is_asked(autojump_clock: object) -> None:
    scene = Scene([FAIL, FAIL])
    for _ in range(5):
        await scene.run()
    contest = scene.contest()
    for ask in (contest.check, lambda: contest._startable(scene.plan.candidates)):
        with pytest.raises(GatewayError) as caught:
            ask()
        error = caught.value
        assert (error.name, error.retry_after) == ("service_unavailable", ALL_OPEN_SECONDS)
        assert error.detail == {"reason": "breakers_open"}


@pytest.mark.fault("F66")
async def test_a_wait_the_upstream_asked_for_is_kept(autojump_clock: object) -> None:
    scene = Scene(["lorem:fail=429,retry_after=7", QUICK])
    assert await scene.run() == "p1 at 0.5: p0@0 p1@0"
    assert await scene.run() == "p1 at 0.5: p1@0"
    await trio.sleep(7)
    assert await scene.run() == "p1 at 0.5: p0@0 p1@0"


async def test_all_failed_tells_of_every_attempt(autojump_clock: object) -> None:
    scene = Scene([FAIL, "lorem:fail=401"])
    with pytest.raises(GatewayError) as caught:
        await scene.contest().run()
    assert caught.value.detail["attempts"] == [
        {"provider": "p0", "trouble": "failed", "status": 503},
        {"provider": "p1", "trouble": "auth", "status": 401},
    ]


@pytest.mark.parametrize(
    ("outcome", "error", "judged"),
    [
        ("ok", None, None),
        ("client_abort", None, None),
        ("upstream_error", GatewayError("upstream_error", "x"), "truncated"),
    ],
)
async def test_a_stream_that_breaks_counts_against_its_deployment(
    autojump_clock: object, outcome: Any, error: GatewayError | None, judged: str | None
) -> None:
    scene = Scene([QUICK])
    contest = scene.contest()
    _, stream = await contest.run()
    stream.close()
    if error is not None:
        error.trouble = "truncated"
    scene.receipt.outcome, scene.receipt.ended_at = outcome, trio.current_time() + 1
    contest.close(error)
    assert scene.receipt.attempts[0].trouble == judged
    failing = scene.health.pulse.error_rate("p0/lorem:ttft=0.5", trio.current_time())
    assert failing == (1.0 if judged else 0.0)


async def test_cancelling_leaves_nothing_running(autojump_clock: object) -> None:
    for strategy in ("failover", "hedge", "race"):
        scene = Scene([STUCK, STUCK, STUCK], strategy)
        with trio.move_on_after(10) as scope:
            await scene.contest().run()
        assert scope.cancelled_caught
        assert all(each.ended_at == trio.current_time() for each in scene.receipt.attempts)
