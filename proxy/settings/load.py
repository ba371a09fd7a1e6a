"""From a TOML file and the environment to `Settings`, or to an error that says all that is wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_type_hints

from proxy.words.money import parse_credits
from proxy.words.principal import Limits
from proxy.words.wishes import Strategy

from . import kinds
from .environment import overlay
from .kinds import Kind
from .models import read_aliases, read_models
from .problems import Problems
from .providers import discovered, read_providers, read_timeouts
from .section import Reader
from .shape import (
    Allowance,
    Dashboard,
    Idempotency,
    Log,
    Mail,
    Metrics,
    Money,
    Outbound,
    Payments,
    Race,
    Secrets,
    Server,
    Settings,
    Store,
    Timeouts,
    Traces,
    UsageRecords,
)

_MIB = 1024 * 1024
SECTIONS: Final[Mapping[str, Mapping[str, Kind]]] = {
    "server": {
        "bind": kinds.BIND,
        "workers": kinds.whole(1, 256),
        "max_body": kinds.whole(1024, 1024 * _MIB),
        "max_body_vision": kinds.whole(1024, 1024 * _MIB),
        "max_body_audio": kinds.whole(1024, 1024 * _MIB),
        "max_requests": kinds.whole(1),
        "max_queue": kinds.whole(1),
        "max_memory": kinds.whole(0),
        "keep_alive": kinds.seconds(0.1),
        "drain": kinds.seconds(0),
        "lease": kinds.seconds(1),
        "tls_cert": kinds.FILE,
        "tls_key": kinds.FILE,
        "public_url": kinds.ORIGIN,
    },
    "mail": {
        "host": kinds.HOST,
        "port": kinds.whole(1, 65535),
        "tls": kinds.one_of(get_type_hints(Mail)["tls"]),
        "sender": kinds.TEXT,
        "username": kinds.TEXT,
        "password": kinds.API_KEY,
        "ca_file": kinds.FILE,
    },
    "payments": {
        "stripe_key": kinds.API_KEY,
        "stripe_webhook_secret": kinds.LONG_SECRET,
        "stripe_url": kinds.BASE_URL,
        "least": kinds.USD,
        "most": kinds.USD,
    },
    "dashboard": {
        "registration": kinds.BOOLEAN,
        "proxies": kinds.NETWORKS,
        "max_keys": kinds.whole(1),
        "max_projects": kinds.whole(1),
        "max_changes": kinds.whole(1),
    },
    "metrics": {"bind": kinds.BIND_OR_OFF},
    "log": {
        "format": kinds.one_of(get_type_hints(Log)["format"]),
        "level": kinds.one_of(get_type_hints(Log)["level"]),
    },
    "traces": {"endpoint": kinds.URL_OR_OFF, "sample": kinds.SHARE},
    "store": {
        "url": kinds.STORE_URL,
        "synchronous": kinds.one_of(get_type_hints(Store)["synchronous"]),
        "dir": kinds.DIRECTORY,
    },
    "secrets": {"dir": kinds.DIRECTORY, "master_keys": kinds.MASTER_KEYS},
    "money": {
        "credits_per_usd": kinds.whole(1, 10**9),
        "markup": kinds.MARKUP,
        "signup_credits": kinds.CREDITS,
        "default_output_cap": kinds.whole(1, 10**7),
        "learn": kinds.BOOLEAN,
        "allow_unpriced": kinds.BOOLEAN,
    },
    "idempotency": {"keep": kinds.seconds(60), "max_kept": kinds.whole(0)},
    "usage": {"keep_days": kinds.whole(0, 36_500)},
    "outbound": {"http": kinds.BOOLEAN, "networks": kinds.NETWORKS},
    "race": {
        "at_once": kinds.whole(1, 16),
        "attempts": kinds.whole(1, 64),
        "again": kinds.whole(0, 8),
        "hedge_after": kinds.seconds(0),
        "hedge_at_least": kinds.seconds(0),
        "hedge_calls": kinds.SHARE,
        "hedge_spend": kinds.SHARE,
        "retries": kinds.SHARE,
        "hedge_unstoppable": kinds.whole(0),
    },
}
PLAN: Final[Mapping[str, Kind]] = {
    "rpm": kinds.whole(1),
    "tokens_per_day": kinds.whole(1),
    "concurrency": kinds.whole(1),
    "max_request": kinds.USD,
    "max_output": kinds.whole(1),
    "max_input": kinds.whole(1),
    "cost_per_day": kinds.USD,
    "allow_race": kinds.BOOLEAN,
    "strategy": kinds.one_of(Strategy),
}
_OTHERS: Final = ("timeouts", "providers", "models", "aliases", "plans")


def load(path: Path | None, environ: Mapping[str, str], *, here: Path) -> Settings:
    """Read the file, if there is one, and the environment over it.

    Certificates and key files are relative to the file, data to the directory `here`. Where no provider
    is listed, the well-known ones whose key is in the environment are on; `sim` always is.

    Raises:
        SettingsError: the file cannot be read, or something in it or in the environment is wrong.
    """
    problems = Problems(str(path) if path else "defaults")
    tables = _read(path, problems)
    tables.setdefault("providers", discovered(environ))
    overlay(tables, environ, problems)
    reader = Reader(problems, path.parent if path else here, here)
    for name in tables.keys() - SECTIONS.keys() - set(_OTHERS):
        problems.unknown("", name, (*SECTIONS, *_OTHERS))
    settings = _settings(reader, tables, environ)
    problems.raise_any()
    return settings


def _read(path: Path | None, problems: Problems) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        problems.add("", f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.add("", f"not UTF-8 at byte {error.start}")
    except tomllib.TOMLDecodeError as error:
        problems.add("", f"not TOML: {error}")
    problems.raise_any()
    return {}


def _settings(reader: Reader, tables: dict[str, Any], environ: Mapping[str, str]) -> Settings:
    given = {
        name: reader.fields(reader.table(tables.get(name, {}), name), name, kinds_of)
        for name, kinds_of in SECTIONS.items()
    }
    own = reader.table(tables.get("timeouts", {}), "timeouts")
    timeouts = read_timeouts(reader, own, "timeouts", Timeouts())
    providers = read_providers(reader, tables["providers"], environ, timeouts)
    by_name = {provider.name: provider for provider in providers}
    models = read_models(reader, tables.get("models", []), by_name)
    aliases = reader.table(tables.get("aliases", {}), "aliases")
    return Settings(
        server=_server(reader, given["server"]),
        metrics=Metrics(**given["metrics"]),
        dashboard=Dashboard(**given["dashboard"]),
        log=Log(**given["log"]),
        traces=Traces(**given["traces"]),
        mail=Mail(**given["mail"]),
        payments=Payments(**given["payments"]),
        store=_store(reader, given["store"]),
        secrets=Secrets(**{"dir": reader.here / Secrets().dir} | given["secrets"]),
        money=_money(reader, given["money"]),
        idempotency=Idempotency(**given["idempotency"]),
        usage=UsageRecords(**given["usage"]),
        timeouts=timeouts,
        providers=providers,
        models=models,
        aliases=read_aliases(reader, aliases, {model.id: model for model in models}, by_name),
        race=Race(**given["race"]),
        outbound=Outbound(**given["outbound"]),
        plans=_plans(reader, reader.table(tables.get("plans", {}), "plans")),
    )


def _server(reader: Reader, given: dict[str, Any]) -> Server:
    server = Server(**given)
    if (server.tls_cert is None) != (server.tls_key is None):
        reader.problems.add("server", "tls_cert and tls_key go together; one of them is missing")
    return server


def _store(reader: Reader, given: dict[str, Any]) -> Store:
    url = f"sqlite:///{reader.here / Store().path}"
    here: dict[str, Any] = {"url": url, "dir": reader.here / Store().dir}
    return Store(**here | given)


def _money(reader: Reader, given: dict[str, Any]) -> Money:
    per_usd = given.get("credits_per_usd", Money().credits_per_usd)
    text = given.pop("signup_credits", "0")
    try:
        nano = parse_credits(text, per_usd)
    except ValueError:
        nano = -1
    if nano < 0:
        reader.problems.found("money.signup_credits", text, kinds.CREDITS.allowed)
        nano = 0
    return Money(signup_credits=nano, **given)


def _plans(reader: Reader, table: Mapping[str, Any]) -> dict[str, Allowance]:
    plans = {}
    for name, value in table.items():
        at = f"plans.{name}"
        if not kinds.SLUG.fullmatch(name):
            reader.problems.add(at, f"not a name; allowed: {kinds.NAME.allowed}")
        given = reader.fields(reader.table(value, at), at, PLAN)
        others = {key: given.pop(key) for key in ("strategy", "allow_race") if key in given}
        plans[name] = Allowance(Limits(**given), **others)
    return plans
