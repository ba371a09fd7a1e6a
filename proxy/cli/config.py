"""`headrace config`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any, Final

from proxy.settings import Allowance, Settings
from proxy.words.money import usd_text

_MONEY: Final = frozenset({"max_request", "cost_per_day"})


def add_config(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("config", help="the configuration").add_subparsers(
        required=True, metavar="COMMAND"
    )
    check = group.add_parser("check", parents=[common], help="read it and say what it means")
    check.set_defaults(run=_check)


def _check(settings: Settings, options: argparse.Namespace) -> int:
    from proxy.policy.prices import PriceBook  # noqa: PLC0415 - see `base.command`
    from proxy.policy.remarks import remarks  # noqa: PLC0415 - see `base.command`

    print(f"{options.config or 'defaults'}: good")
    for provider in settings.providers:
        key = "key set" if provider.api_key else "no key"
        print(f"  provider {provider.name}: {provider.wire}, {key}")
    for model in settings.models:
        ids = ", ".join(deployment.id for deployment in model.deployments)
        print(f"  model {model.id}: {ids} ({model.strategy})")
    for name, alias in settings.aliases.items():
        print(f"  alias {name}: {', '.join(alias.models)}{f' ({alias.strategy})' if alias.strategy else ''}")
    for name, plan in settings.plans.items():
        print(f"  plan {name}: {_plan_text(plan) or 'unlimited'}")
    for remark in remarks(settings, PriceBook.load(settings.providers)):
        print(f"warning: {remark}")
    return 0


def _plan_text(plan: Allowance) -> str:
    """Say what a plan sets, in the names of the file; money in dollars, as there."""
    limits = {
        **asdict(plan.limits),
        "strategy": plan.strategy,
        "allow_race": "true" if plan.allow_race else None,
    }
    said = {name: value for name, value in limits.items() if value is not None}
    for name in _MONEY & said.keys():
        said[name] = usd_text(getattr(plan.limits, name))
    return ", ".join(f"{name} {value}" for name, value in said.items())
