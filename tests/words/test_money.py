"""Money is integers: exact, rounded up once, and no float comes near it."""

from __future__ import annotations

import ast
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.words import money
from proxy.words.money import MAX_NANO, Price, Rates, cost
from proxy.words.usage import Usage

ROOT = Path(money.__file__).parents[1]
GUARDED = [ROOT / "words" / "money.py", *sorted((ROOT / "bank").rglob("*.py"))]

tokens = st.integers(0, 10_000_000)
rates = st.builds(Rates, *[st.integers(0, 10**14)] * len(Rates._fields))
usages = st.builds(Usage, *[tokens] * len(Usage._fields))
markups = st.fractions(min_value=0, max_value=10, max_denominator=1000)
nanos = st.integers(-MAX_NANO, MAX_NANO)
PER_USD = st.sampled_from([1, 3, 7, 100, 1000, 1024, 1_000_000])


@given(usages, rates, st.integers(0, 10**12), markups)
def test_cost_is_the_exact_fraction_rounded_up_once(
    usage: Usage, base: Rates, fee: int, markup: Fraction
) -> None:
    exact = sum(Fraction(n * rate, 10**6) for n, rate in zip(usage, base, strict=True)) + fee
    charged = cost(usage, Price(base, request=fee), markup)
    assert charged == -((-exact * markup) // 1)
    assert 0 <= charged - exact * markup < 1


@given(usages, usages, rates)
def test_one_request_never_costs_more_than_its_halves(one: Usage, other: Usage, base: Rates) -> None:
    together = Usage(*[a + b for a, b in zip(one, other, strict=True)])
    price = Price(base)
    assert cost(together, price) <= cost(one, price) + cost(other, price) <= cost(together, price) + 1


def test_rounding_happens_once_for_all_classes() -> None:
    third = Price(Rates(input=333_333, output=333_333, reasoning=333_333))
    assert cost(Usage(input=1, output=1, reasoning=1), third) == 1
    assert cost(Usage(), third) == 0
    assert cost(Usage(input=1), Price(Rates(input=1))) == 1


def test_a_rate_per_million_is_exact_to_the_token() -> None:
    """$0.15 a million: 150 nano-USD each."""
    price = Price(Rates(input=money.parse_usd("0.15"), output=money.parse_usd("0.60")))
    assert cost(Usage(input=1, output=1), price) == 750
    assert cost(Usage(input=1_000_000), price) == money.parse_usd("0.15")


def test_tiers_apply_to_the_whole_prompt_beyond_the_threshold() -> None:
    price = Price(
        Rates(input=1_000_000, output=2_000_000),
        tiers=(
            (200, Rates(input=3_000_000, output=4_000_000)),
            (1000, Rates(input=5_000_000, output=6_000_000)),
        ),
    )
    assert cost(Usage(input=200, output=10), price) == 200 + 20
    assert cost(Usage(input=201, output=10), price) == 603 + 40
    assert cost(Usage(input=1001), price) == 5005
    assert price.rates_for(0).input == price.rates_for(200).input == 1_000_000


def test_tiers_count_the_cached_prompt_but_not_the_output() -> None:
    price = Price(Rates(input=1_000_000), tiers=((100, Rates(input=2_000_000)),))
    assert cost(Usage(input=1, cache_read=100), price) == 2
    assert cost(Usage(input=1, output=1000), price) == 1


@given(st.integers(0, MAX_NANO))
def test_a_hold_is_a_fifth_more_rounded_up(estimate: int) -> None:
    hold = money.hold_for(estimate)
    assert hold == -((-Fraction(estimate) * Fraction(6, 5)) // 1)
    assert hold >= estimate


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20))
def test_ceil_div_agrees_with_fractions(numerator: int, denominator: int) -> None:
    assert money.ceil_div(numerator, denominator) == -(Fraction(-numerator, denominator) // 1)


@given(nanos)
def test_usd_text_reads_back(nano: int) -> None:
    text = money.usd_text(nano)
    assert "E" not in text
    assert money.parse_usd(text) == nano
    assert Decimal(text) * 10**9 == nano


@given(nanos, PER_USD)
def test_credits_read_back(nano: int, per_usd: int) -> None:
    text = money.credits_text(nano, per_usd)
    assert money.parse_credits(text, per_usd) == nano
    assert Fraction(text) == Fraction(nano * per_usd, 10**9)
    assert orjson.dumps({"credits": money.credits_json(nano, per_usd)}) == b'{"credits":%s}' % text.encode()


@given(st.integers(-(10**24), 10**24), st.integers(0, 18))
def test_decimal_text_is_exact_where_it_ends(numerator: int, places: int) -> None:
    text = money.decimal_text(numerator, 10**places)
    assert Fraction(text) == Fraction(numerator, 10**places)
    assert not text.endswith(".")
    assert "." not in text or not text.endswith("0")


@pytest.mark.parametrize(
    ("numerator", "denominator", "text"),
    [
        (0, 7, "0"),
        (-5, 10, "-0.5"),
        (1, 3, "0.333333333333333333"),
        (2, 3, "0.666666666666666667"),
        (-1, 10**30, "0"),
        (10**20, 1, "1" + "0" * 20),
        (999_999_999_999_999_999_9, 10**19, "1"),
    ],
)
def test_decimal_text_samples(numerator: int, denominator: int, text: str) -> None:
    assert money.decimal_text(numerator, denominator) == text


def test_json_amounts_survive_beyond_53_bits() -> None:
    amount = 2**53 + 1
    assert orjson.dumps(money.credits_json(amount, 10**9)) == b"9007199254740993"


def test_per_token_text() -> None:
    assert money.per_token_text(money.parse_usd("0.15")) == "0.00000015"
    assert money.per_token_text(1) == "0.000000000000001"


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0", 0),
        ("-0", 0),
        ("1", 10**9),
        (" 12.50 ", 12_500_000_000),
        ("-3", -3 * 10**9),
        ("+3", 3 * 10**9),
        ("0.000000001", 1),
        ("1.000000000000", 10**9),
        ("1E-7", 100),
        ("9223372036.854775807", MAX_NANO),
    ],
)
def test_parse_usd_reads(text: str, nano: int) -> None:
    assert money.parse_usd(text) == nano


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "abc", "1.2.3", "1,5", "$1", "--1", ".", "0x10", "1e", "one", "1 000", "1\x00", "1\n2"),
        *("NaN", "sNaN", "Infinity", "-inf", "1_000", "\u0661", "\uff11", "\N{MINUS SIGN}1"),
        *("0.0000000001", "1e-10", "9223372036.854775808", "-9223372036.854775808"),
        *("1e999999999", "1e-999999999", "0e999999999", "1" * 5000, "0." + "1" * 1_000_000, "1e" + "9" * 50),
    ],
)
def test_parse_usd_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a|finer|range"):
        money.parse_usd(text)


@pytest.mark.parametrize("value", [None, 1.5, 1, b"1"])
def test_parse_usd_refuses_what_is_not_text(value: Any) -> None:
    with pytest.raises(ValueError, match="not a decimal"):
        money.parse_usd(value)


def test_a_refusal_does_not_repeat_a_long_text() -> None:
    with pytest.raises(ValueError) as refused:
        money.parse_usd("9" * 100_000)
    assert len(str(refused.value)) < 200


def test_parse_credits_refuses_what_no_nano_usd_can_pay() -> None:
    assert money.parse_credits("1", 1000) == 1_000_000
    with pytest.raises(ValueError, match="finer"):
        money.parse_credits("1", 7)


def test_total_refuses_to_leave_64_bits() -> None:
    assert money.total([MAX_NANO - 1, 1]) == MAX_NANO
    assert money.total([]) == 0
    for amounts in ([MAX_NANO, 1], [-MAX_NANO, -1]):
        with pytest.raises(OverflowError):
            money.total(amounts)


def floats_in(source: str) -> list[str]:
    """Name every float literal, call of float() and true division; `Path / "name"` is none."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=float() | complex()):
                found.append(f"{node.lineno}: {node.value!r}")
            case ast.Call(func=ast.Name(id="float")):
                found.append(f"{node.lineno}: float()")
            case ast.BinOp(op=ast.Div(), left=left, right=right) if not _joins_paths(left, right):
                found.append(f"{node.lineno}: /")
            case ast.AugAssign(op=ast.Div()):
                found.append(f"{node.lineno}: /=")
    return found


def _joins_paths(*operands: ast.expr) -> bool:
    return any(
        isinstance(operand, ast.JoinedStr)
        or (isinstance(operand, ast.Constant) and isinstance(operand.value, str))
        for operand in operands
    )


# Timeouts and clocks are seconds, not money: these rooms of the bank wait and measure.
CLOCKED = {
    *("damage.py", "desk.py", "sqlite.py", "recorder.py", "slots.py", "sweep.py", "verify.py"),
    *("line.py", "store.py"),  # of PostgreSQL
}


@pytest.mark.parametrize("path", GUARDED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_float_where_money_is(path: Path) -> None:
    found = floats_in(path.read_text())
    if path.name in CLOCKED:
        found = [item for item in found if item.endswith(("float()", "/", "/="))]
    assert found == []


def test_the_float_guard_finds_them() -> None:
    assert floats_in("a = 1.0; b = float(x); c = a / b; a /= 2; d = 1e9") != []
    assert len(floats_in("a = 1.0; b = float(x); c = a / b; a /= 2; d = 1e9")) == 5
    assert floats_in("p = root / 'x'; q = 7 // 2; r = 1_000") == []
