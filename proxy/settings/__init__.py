"""Settings: one TOML file, every key with a default, the environment wins; frozen once read.

`Settings` is what the rest of the gateway sees, and `load` makes it or says everything that is wrong.
Nothing here knows what the settings are used for.
"""

from .load import load
from .problems import SettingsError
from .shape import (
    Deployment,
    Metrics,
    Model,
    Money,
    Provider,
    Secrets,
    Server,
    Settings,
    Store,
    Strategy,
    Timeouts,
    WireName,
    split_bind,
)

__all__ = [
    "Deployment",
    "Metrics",
    "Model",
    "Money",
    "Provider",
    "Secrets",
    "Server",
    "Settings",
    "SettingsError",
    "Store",
    "Strategy",
    "Timeouts",
    "WireName",
    "load",
    "split_bind",
]
