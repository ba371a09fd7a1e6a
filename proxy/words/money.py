"""Integer money.

One unit everywhere: nano-USD (1e-9 US dollar) in signed 64-bit integers, so that SQLite INTEGER and
PostgreSQL BIGINT agree and $0.001 per million tokens is still exactly 1 per token. Prices are nano-USD
per million tokens. A request is rounded once, upward. Floating point never enters: amounts come from
decimal text and leave as decimal text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import mul
from typing import NamedTuple

import orjson

from .usage import Usage

NANO_PER_USD = 1_000_000_000
MAX_NANO = 2**63 - 1
_TOKENS_PER_PRICE = 1_000_000
HOLD_PERCENT = 120
"""A hold is the estimate plus 20 %."""
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?")


class Rates(NamedTuple):
    """What each class of `Usage` costs, in nano-USD per million of its tokens or units, in the same order."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    input_image: int = 0
    output: int = 0
    reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    characters: int = 0
    seconds: int = 0
    images: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """One model's price: base rates, and dearer (or cheaper) ones for long prompts.

    `tiers` are (prompt tokens, rates), ascending: a request whose whole prompt is longer than the
    threshold is billed wholly at that tier's rates. `request` is a flat fee in nano-USD.
    """

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    request: int = 0

    def rates_for(self, prompt_tokens: int) -> Rates:
        """Return the rates that apply to a prompt of that many tokens."""
        chosen = self.rates
        for threshold, rates in self.tiers:
            if prompt_tokens > threshold:
                chosen = rates
        return chosen


def cost(usage: Usage, price: Price, markup: Fraction = Fraction(1)) -> int:
    """Return what `usage` costs at `price`, in nano-USD, rounded up once for the whole request."""
    rates = price.rates_for(usage.prompt_tokens) if price.tiers else price.rates
    millionths = sum(map(mul, usage, rates)) + price.request * _TOKENS_PER_PRICE
    times, parts = markup.as_integer_ratio()
    return ceil_div(millionths * times, parts * _TOKENS_PER_PRICE)


def hold_for(estimate: int) -> int:
    """Return the hold for an estimated cost: 20 % more, rounded up."""
    return ceil_div(estimate * HOLD_PERCENT, 100)


def ceil_div(numerator: int, denominator: int) -> int:
    """Divide integers, rounding up."""
    return -(-numerator // denominator)


def parse_usd(text: str) -> int:
    """Read a decimal number of US dollars as nano-USD.

    Raises:
        ValueError: not a plain decimal number, finer than one nano-USD, or beyond 64 bits.
    """
    return _exact(text, NANO_PER_USD)


def parse_credits(text: str, credits_per_usd: int) -> int:
    """Read a decimal number of credits as nano-USD; raises as `parse_usd` does."""
    return _exact(text, Fraction(NANO_PER_USD, credits_per_usd))


def decimal_text(numerator: int, denominator: int) -> str:
    """Write an exact fraction as plain decimal text, without exponent or trailing zeros.

    The denominator must divide a power of ten times a small factor of two and five; what would not
    end is rounded half up at 18 places, far below one nano-USD.
    """
    scale = 10**18
    units = (abs(numerator) * scale * 2 + denominator) // (2 * denominator)
    sign = "-" if numerator < 0 < units else ""
    whole, rest = divmod(units, scale)
    digits = f"{rest:018d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def credits_text(nano: int, credits_per_usd: int) -> str:
    """Write nano-USD as a decimal string of credits, the display unit."""
    return decimal_text(nano * credits_per_usd, NANO_PER_USD)


def credits_json(nano: int, credits_per_usd: int) -> orjson.Fragment:
    """Write nano-USD as an exact JSON number of credits, past binary floating point."""
    return orjson.Fragment(credits_text(nano, credits_per_usd))


def usd_text(nano: int) -> str:
    """Write nano-USD as a decimal string of US dollars, as `decimal_text` would."""
    whole, rest = divmod(abs(nano), NANO_PER_USD)
    sign = "-" if nano < 0 else ""
    return f"{sign}{whole}.{rest:09d}".rstrip("0") if rest else f"{sign}{whole}"


def per_token_text(rate: int) -> str:
    """Write a rate (nano-USD per million tokens) as a decimal string of US dollars per token."""
    return decimal_text(rate, NANO_PER_USD * _TOKENS_PER_PRICE)


def total(amounts: Sequence[int]) -> int:
    """Sum amounts, refusing to leave the range that the stores can keep."""
    result = sum(amounts)
    if abs(result) > MAX_NANO:
        raise OverflowError("money beyond 64 bits")
    return result


def _exact(text: str, unit: int | Fraction) -> int:
    # Fraction alone would also take "1_000", "1/3", other scripts' digits and exponents of a billion.
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text.strip()):
        raise ValueError(f"not a decimal number: {repr(text)[:60]}")
    value = Fraction(text.strip()) * unit
    if value.denominator != 1:
        raise ValueError(f"finer than one nano-USD: {text!r}")
    if abs(value.numerator) > MAX_NANO:
        raise ValueError(f"out of range: {text!r}")
    return value.numerator
