"""Bugs in a request's own dealings with money: what is held, what is metered, what is billed to whom."""

from __future__ import annotations

from typing import Final

from .planting import Plant

RELAY: Final = "tests/test_relay.py"
CONTEST: Final = "tests/test_contest.py"
LEFT_EARLY: Final = "tests/e2e/test_money.py::test_a_client_that_leaves_before_the_connect_pays_nothing"
OUT_OF_MONEY: Final = "tests/e2e/test_money.py::test_a_stream_without_end_stops_where_the_money_does"
GROWS: Final = "tests/e2e/test_money.py::test_a_hold_that_runs_out_grows"
WHOLE_CUT: Final = "tests/e2e/test_money.py::test_a_whole_answer_out_of_money_is_cut_and_says_so"
REFUSED: Final = "tests/e2e/test_money.py::test_an_account_without_credit_gets_402_and_the_upstream_nothing"
BILLING: Final = "tests/e2e/test_billing.py"
ONCE: Final = f"{BILLING}::test_each_request_is_told_of_charged_and_recorded_once"
FAILED: Final = f"{BILLING}::test_a_whole_answer_that_failed_costs_nothing"
CAPPED: Final = f"{BILLING}::test_a_hold_grows_no_larger_than_a_request_may_cost"
LEFT_THE_QUEUE: Final = f"{BILLING}::test_a_client_that_leaves_while_its_hold_is_written_leaves_none"
STANDING: Final = "tests/e2e/test_account.py::test_a_key_is_told_what_it_may_do_and_what_is_left"

PROJECT_TOKENS: Final = "tests/e2e/test_products.py::test_a_projects_key_has_ten_thousand_tokens_a_day"


def played(*cases: str) -> tuple[str, ...]:
    """Name cases of the failure catalogue, played over sockets with one provider."""
    return tuple(f"tests/e2e/test_cases.py::test_a_case_with_one_provider[{case}]" for case in cases)


_EXCHANGE: Final = "proxy/exchange.py"
_HOLDING: Final = "proxy/holding.py"
_RELAY: Final = "proxy/relay.py"

PLANTS: Final = (
    Plant(
        "hold-leaks-when-the-client-leaves-the-queue",
        "proxy/admission.py",
        "ticket.result is None or isinstance(ticket.result, Admitted)",
        "isinstance(ticket.result, Admitted)",
        "a client that leaves while its hold is being committed leaks it",
        (LEFT_THE_QUEUE,),
    ),
    Plant(
        "refunds-money-never-taken",
        "proxy/admission.py",
        "return not isinstance(ticket.error, BankUnavailableError) and (",
        "return isinstance(ticket.error, BankUnavailableError) or (",
        "a request the ledger could not take is ended all the same",
        ("tests/test_admission.py",),
    ),
    Plant(
        "tokens-not-asked-for",
        "proxy/admission.py",
        "        tokens=tokens,\n",
        "        tokens=0,\n",
        "no daily budget is ever reserved",
        (PROJECT_TOKENS,),
    ),
    Plant(
        "hold-for-one-of-n",
        "proxy/words/chat.py",
        "output=limit * self.n",
        "output=limit",
        "a request for eight answers is held for as one",
        ("tests/dialects/test_openai_request.py",),
    ),
    Plant(
        "hold-for-the-cheapest",
        "proxy/policy/estimate.py",
        "Weight(*map(max, zip",
        "Weight(*map(min, zip",
        "the dearer model behind an alias answers on too small a hold",
        ("tests/e2e/test_wishes.py::test_without_money_for_the_dearer_model_neither_is_asked",),
    ),
    Plant(
        "settled-at-the-hold",
        _HOLDING,
        "end = Settle(op_id, hold_id, bill.cost,",
        "end = Settle(op_id, hold_id, self._receipt.held,",
        "everybody pays what was held, not what was used",
        (ONCE,),
    ),
    Plant(
        "tokens-not-trued-up",
        _HOLDING,
        "bill.cost, bill.usage.total_tokens, now",
        "bill.cost, 0, now",
        "the daily budget never counts what was used",
        (STANDING,),
    ),
    Plant(
        "told-twice",
        _EXCHANGE,
        "        self._settled = True\n",
        "",
        "observers count a request that was settled and then closed as two",
        (ONCE,),
    ),
    Plant(
        "prompt-free-for-who-leaves-early",
        _EXCHANGE,
        "return self._prompt_bill() if self.left else None",
        "return None",
        "leaving between the head and the first token costs nothing",
        played("F4-after-200-before-first-token"),
    ),
    Plant(
        "whole-answer-free-for-who-leaves",
        _EXCHANGE,
        "if not self.left and not self._is_worth_a_part(relay):",
        "if not self._is_worth_a_part(relay):",
        "asking without streaming and hanging up costs nothing",
        played("F7-whole-answer"),
    ),
    Plant(
        "whole-answer-billed-though-it-failed",
        _EXCHANGE,
        'return self.call.stream and sent and self.call.kind == "chat"',
        'return sent and self.call.kind == "chat"',
        "a client pays for an answer of which it got an error",
        (FAILED,),
    ),
    Plant(
        "failed-stream-refunded",
        _EXCHANGE,
        'return self.call.stream and sent and self.call.kind == "chat"',
        'return self.call.stream and sent and self.call.kind == "image"',
        "what a client was streamed before a failure is free",
        played("F56-reset", "F55-stall"),
    ),
    Plant(
        "second-extension-is-the-first",
        _HOLDING,
        'f"{self._hold_id}:extend{self._extensions}"',
        'f"{self._hold_id}:extend"',
        "the second extension is answered with the first one's result and takes nothing",
        (GROWS, OUT_OF_MONEY),
    ),
    Plant(
        "last-credits-never-asked-for",
        _HOLDING,
        "if 0 < result.available < result.required:",
        "if 0 > result.available:",
        "a stream is cut while there is money left",
        (OUT_OF_MONEY,),
    ),
    Plant(
        "refused-extension-asked-again",
        _HOLDING,
        "self._no_more = refusal(result, self._counter.settings.money.credits_per_usd)",
        "self._extension = None",
        "a stream that cannot be paid for never ends",
        (OUT_OF_MONEY,),
    ),
    Plant(
        "request-cap-only-at-the-start",
        _HOLDING,
        "limits = [limit for limit in (own, self._principal.limits.max_request) if limit is not None]",
        "limits = [limit for limit in (own,) if limit is not None]",
        "a hold grows beyond what the key may spend on one request",
        (CAPPED,),
    ),
    Plant(
        "upstream-read-on-although-a-cancel-would-do",
        _EXCHANGE,
        "provider.drain_after_abort > 0 and not provider.cancel_stops_billing",
        "provider.drain_after_abort > 0",
        "a provider that could be stopped goes on charging us",
        ("tests/e2e/test_abandoned.py",),
    ),
    Plant(
        "loser-charged-to-the-client",
        "proxy/contest.py",
        "        health.budgets.settled(receipt.cost)\n",
        "        receipt.cost += sum(each.cost for each in receipt.attempts if each is not receipt.winner)\n"
        "        health.budgets.settled(receipt.cost)\n",
        "the client pays for the attempts that lost",
        ("tests/e2e/test_racing.py::test_who_is_slower_is_cancelled_wherever_it_has_got_to",),
    ),
    Plant(
        "loser-costs-nobody",
        "proxy/contest.py",
        "            elif attempt.accepted or attempt.trouble in _PERHAPS_TAKEN:\n",
        "            elif attempt.trouble is not None and attempt.trouble in _PERHAPS_TAKEN:\n",
        "what races cost us is in no figure and no budget",
        ("tests/e2e/test_racing.py::test_who_is_slower_is_cancelled_wherever_it_has_got_to",),
    ),
    Plant(
        "prompt-billed-as-the-first-models",
        _EXCHANGE,
        "terms = self._contest.accepted() if self._contest is not None else None",
        "terms = self.plan.first if self.plan is not None and self._contest is not None else None",
        "a prompt another model took is billed at the first one's price, or though nobody took it",
        (LEFT_EARLY,),
    ),
    Plant(
        "take-back-forgotten",
        _RELAY,
        "meter.answer_bytes, meter.reasoning_bytes = self._marks.pop()\n            if",
        "self._marks.pop()\n            if",
        "a client pays for what its socket never took",
        (RELAY,),
    ),
    Plant(
        "report-believed-after-a-take-back",
        _RELAY,
        "and not self._waiting and not self._taken_back",
        "and not self._waiting",
        "a client that left pays for the whole answer",
        (RELAY,),
    ),
    Plant(
        "whole-answer-billed-by-a-report-of-a-part",
        _RELAY,
        "reported.trusted and self.complete:",
        "reported.trusted:",
        "a client pays for what broke off as if it had come",
        (RELAY,),
    ),
    Plant(
        "usage-believed-whatever-it-says",
        _RELAY,
        "if reported is not None and reported.trusted and",
        "if reported is not None and",
        "an upstream's nonsense becomes the bill",
        (RELAY,),
    ),
    Plant(
        "negative-usage-believed",
        "proxy/wires/openai_usage.py",
        "or min(figures) < 0 or max(figures) > MAX_TOKENS:",
        "or max(figures) > MAX_TOKENS:",
        "an upstream's negative figure pays the client",
        ("tests/wires/test_openai_decoder.py", "tests/wires/test_openai_wire.py"),
    ),
    Plant(
        "tool-calls-not-metered",
        _RELAY,
        "            self.meter.answer_bytes += sign * size\n",
        "            pass\n",
        "arguments of functions are free for who leaves before the end",
        (RELAY,),
    ),
    Plant(
        "unpaid-frame-stays-counted",
        _RELAY,
        "            self._count(event, -1)\n",
        "            pass\n",
        "a frame that was never sent is billed",
        (RELAY,),
    ),
    Plant(
        "limit-rounded-up",
        _RELAY,
        "// dearest - 1, 0)",
        "// dearest + 1, 0)",
        "an answer may cost a token more than its hold",
        (f"{RELAY}::TestPayableBytes::test_by_hand",),
    ),
    Plant(
        "frames-beyond-the-hold-relayed",
        _RELAY,
        "if meter.limit is None or meter.relayed_bytes <= meter.limit:",
        "if meter.limit is None or meter.answer_bytes <= meter.limit:",
        "reasoning is relayed beyond what the hold pays for",
        (RELAY,),
    ),
    Plant(
        "cut-answer-billed-as-reported",
        _RELAY,
        "        bill = self.final_bill()\n        out = self._encoder.truncate(bill, error)\n",
        "        reported = self.reported or UsageReport(self.meter.usage())\n"
        "        bill = Bill(reported.usage, self.meter.price(reported.usage), estimated=False)\n"
        "        out = self._encoder.truncate(bill, error)\n",
        "an answer cut for want of money is billed as if it were whole",
        (RELAY,),
    ),
)
