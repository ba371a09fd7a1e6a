"""Settings: one TOML file, every key with a default, the environment wins; frozen once read.

`Settings` is what the rest of the gateway sees, and `load` makes it or says everything that is wrong.
Nothing here knows what the settings are used for.
"""

from .load import load
from .problems import SettingsError
from .shape import (
    Alias,
    Allowance,
    Dashboard,
    Deployment,
    Idempotency,
    Log,
    Mail,
    Metrics,
    Model,
    Money,
    OnCut,
    Outbound,
    Payments,
    Provider,
    Race,
    Secrets,
    Server,
    Settings,
    Store,
    Timeouts,
    Traces,
    UsageRecords,
    WireName,
    split_bind,
)

__all__ = [
    "Alias",
    "Allowance",
    "Dashboard",
    "Deployment",
    "Idempotency",
    "Log",
    "Mail",
    "Metrics",
    "Model",
    "Money",
    "OnCut",
    "Outbound",
    "Payments",
    "Provider",
    "Race",
    "Secrets",
    "Server",
    "Settings",
    "SettingsError",
    "Store",
    "Timeouts",
    "Traces",
    "UsageRecords",
    "WireName",
    "load",
    "split_bind",
]
