"""Writes `prices.json` from the pinned `genai-prices`, which is too heavy to be needed at run time.

Run as `python -m proxy.policy.compile_prices`; with `--check` it only says whether the file is current.
Prices become nano-USD per million tokens by class, or per million characters and seconds of sound; rates
the library holds as the rounding noise of a binary float (0.18000000000000002) are taken to the nearest
nano. Left out, because we do not bill by them: pages, messages, searches, video and citation tokens,
batch processing, and routes no request can know beforehand. Per-request fees are kept. A model with no
price we bill by keeps its row, unpriced, for it hides the rows behind it; on OpenRouter `:free` models
are free.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson

TARGET: Final = Path(__file__).with_name("prices.json")
_CLASSES: Final = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_5m_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "input_image_mtok": "input_image",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "requests_kcount": "request",
    "input_mchars": "characters",
    "audio_hours": "seconds",
    "input_audio_hours": "seconds",
}
_HOUR: Final = Decimal(10**9) * 10**6 / 3600
_UNITS: Final[dict[str, int | Decimal]] = {
    "requests_kcount": 10**6,
    "audio_hours": _HOUR,
    "input_audio_hours": _HOUR,
}
"""Nano-USD of what we price, for a US dollar of what the library does; where not a thousand million."""
_CONTEXT: Final = "service_tier"
"""The one condition on a request that is known before it starts."""


def compiled() -> bytes:
    """Return the file's bytes. They are the same for the same library."""
    from genai_prices.data import providers  # noqa: PLC0415 - a development dependency

    rows = {provider.id: _provider(provider) for provider in providers}
    # Digits of the rows alone, so that a version says which prices, whatever library carried them.
    digest = hashlib.sha256(orjson.dumps(rows)).hexdigest()[:12]
    head = {"version": f"genai-prices-{version('genai-prices')}+{digest}"}
    blocks = [_block(name, row) for name, row in rows.items()]
    return b"[\n" + b",\n".join((orjson.dumps(head), *blocks)) + b"\n]\n"


def _block(name: str, row: dict[str, Any]) -> bytes:
    """Write a provider with a model on each line, as `prices.py` cuts it out and a diff shows it."""
    head = orjson.dumps({"provider": name, "fallback": row["fallback"], "models": []})
    return head[:-2] + b"\n" + b",\n".join(map(orjson.dumps, row["models"])) + b"\n]}"


def _provider(provider: Any) -> dict[str, Any]:
    models = [_model(provider, model) for model in provider.models]
    return {"fallback": provider.fallback_model_providers or [], "models": models}


def _model(provider: Any, model: Any) -> dict[str, Any]:
    conditional = model.prices if isinstance(model.prices, list) else [model]
    variants = [variant for variant in model.price_variants or () if variant.when.keys() == {_CONTEXT}]
    row: dict[str, Any] = {"id": _public_id(provider, model), "match": _clause(model.match)}
    row |= {"name": model.name} if model.name else {}
    row |= {"context": model.context_window} if model.context_window else {}
    row["prices"] = [
        _condition(getattr(price, "constraint", None)) | _rates(model.id, price.prices)
        for price in conditional
    ]
    if variants:
        row["tiers"] = [
            _condition(variant.constraint)
            | {"tier": variant.when[_CONTEXT]}
            | _rates(model.id, variant.prices)
            for variant in variants
        ]
    return row


def _public_id(provider: Any, model: Any) -> str | None:
    """Return the id to ask for the model by: the library's own is sometimes only a label."""
    candidates = [model.id, *_equals(model.match)]
    return next((name for name in candidates if provider.find_model(name) is model), None)


def _equals(clause: Any) -> list[str]:
    if hasattr(clause, "equals"):
        return [clause.equals]
    return [name for part in getattr(clause, "or_", ()) for name in _equals(part)]


def _clause(clause: Any) -> dict[str, Any]:
    ((name, value),) = vars(clause).items()
    if isinstance(value, list):
        return {name.rstrip("_"): [_clause(part) for part in value]}
    # Every text comparison of the library ignores case; a regex sees the lower-case id.
    return {name: value if name == "regex" else value.lower()}


def _condition(constraint: Any) -> dict[str, Any]:
    if constraint is None:
        return {}
    if hasattr(constraint, "start_date"):
        return {"from": constraint.start_date.isoformat()}
    return {"between": [_utc(constraint.start_time), _utc(constraint.end_time)]}


def _utc(value: Any) -> str:
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime.combine(date(1970, 1, 1), aware).astimezone(UTC).time().isoformat()


def _rates(model: str, prices: Any) -> dict[str, Any]:
    # A time to live is finer than the class; where both are given the finer one is the five minutes.
    known = {
        _CLASSES[key]: _rate(key, price)
        for key, price in sorted(vars(prices).items(), key=lambda item: "_5m_" in item[0])
        if price is not None and key in _CLASSES
    }
    if not vars(prices) and model.endswith(":free"):
        known = {"input": 0, "output": 0}
    return {"rates": known}


def _rate(key: str, price: Any) -> int | list[Any]:
    if isinstance(price, Decimal):
        unit = Decimal(_UNITS.get(key, 10**9))
        return int((price * unit).to_integral_value(ROUND_HALF_EVEN))
    return [_rate(key, price.base), *([tier.start, _rate(key, tier.price)] for tier in price.tiers)]


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or check it."""
    parser = argparse.ArgumentParser(prog="proxy.policy.compile_prices", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the file is current")
    fresh = compiled()
    if not parser.parse_args(arguments).check:
        TARGET.write_bytes(fresh)
        return 0
    if TARGET.is_file() and TARGET.read_bytes() == fresh:
        return 0
    sys.stderr.write(f"{TARGET.name} is not what the pinned genai-prices says: run `make prices`\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
