"""What dashboards ask again and again, in Prometheus' language. `$…` are Grafana's to fill in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .panels import Query

RATE: Final = "$__rate_interval"
CHOSEN: Final = 'gen_ai_provider_name=~"$provider",gen_ai_request_model=~"$model"'
OF_PROVIDER: Final = 'provider=~"$provider"'
OF_DEPLOYMENT: Final = 'deployment=~"($provider)/.*"'
USD: Final = "/ 1e9"
FIRST: Final = "gen_ai_server_time_to_first_token_seconds"
DURATION: Final = "gen_ai_server_request_duration_seconds"
PER_TOKEN: Final = "gen_ai_server_time_per_output_token_seconds"  # noqa: S105 - a metric's name
CHOICES: Final = (
    ("provider", f"{DURATION}_count", "gen_ai_provider_name"),
    ("model", f"{DURATION}_count", "gen_ai_request_model"),
)


def rate(series: str, by: str = "") -> str:
    """Return how much a counter grows in a second, in all or `by` labels."""
    return f"sum{f' by ({by})' if by else ''} (rate({series}[{RATE}]))"


def quantile(share: float, histogram: str, labels: str = "", by: str = "") -> str:
    """Return what so great a share of the values is below."""
    within = f"le, {by}" if by else "le"
    series = f"{histogram}_bucket{{{labels}}}" if labels else f"{histogram}_bucket"
    return f"histogram_quantile({share}, sum by ({within}) (rate({series}[{RATE}])))"


def quantiles(histogram: str, labels: str = "", shares: Sequence[float] = (0.5, 0.95, 0.99)) -> list[Query]:
    """Return the median and what lies above it."""
    return [Query(quantile(each, histogram, labels), f"p{each * 100:g}") for each in shares]
