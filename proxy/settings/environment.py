"""The environment over the file: `HEADRACE_SECTION__KEY`, and one level deeper for plans and providers.

It edits the tables as they were read and checks nothing: each value keeps the name of its variable, so
that what is wrong with it is said of the variable.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from .problems import FromEnv, Problems

PREFIX = "HEADRACE_"
_DEPTH = {
    **dict.fromkeys(
        (
            "server",
            "metrics",
            "dashboard",
            "mail",
            "payments",
            "log",
            "traces",
            "store",
            "secrets",
            "money",
            "usage",
        ),
        1,
    ),
    **dict.fromkeys(("idempotency", "timeouts", "race", "outbound", "aliases"), 1),
    "plans": 2,
    "providers": 3,
}
_KEY_SOURCES = frozenset({"api_key", "api_key_env", "api_key_file"})


def overlay(tables: MutableMapping[str, Any], environ: Mapping[str, str], problems: Problems) -> None:
    """Set what the environment sets. A variable without `__` is not a setting, and left alone."""
    for variable in sorted(environ):
        path = variable.removeprefix(PREFIX).lower().split("__")
        if not variable.startswith(PREFIX) or len(path) < 2:
            continue
        section, *keys = path
        value = FromEnv(variable, environ[variable])
        deepest = _DEPTH.get(section, 0)
        if section == "models":
            problems.add("", "models are set in the file alone", variable=variable)
        elif section not in _DEPTH:
            problems.unknown("", section, _DEPTH, variable=variable)
        elif not all(keys) or len(keys) > deepest or (section == "plans" and len(keys) < deepest):
            problems.add("", "names no key", variable=variable)
        elif section == "providers":
            _set_provider(tables, keys, value, problems)
        else:
            _set(tables, [section, *keys], value)


def _set(table: MutableMapping[str, Any], path: list[str], value: FromEnv) -> None:
    for name in path[:-1]:
        # What is no table here is reported when the file's own value is read.
        table = table.setdefault(name, {}) if isinstance(table, dict) else {}
    if isinstance(table, dict):
        table[path[-1]] = value


def _set_provider(
    tables: MutableMapping[str, Any], keys: list[str], value: FromEnv, problems: Problems
) -> None:
    """Set a key of the provider of that name, which is added where the file does not list it."""
    listed = tables.setdefault("providers", [])
    if not isinstance(listed, list):
        return
    name, *path = keys
    if not path:
        problems.add("", "names no key", variable=value.variable)
        return
    provider = next((item for item in listed if _answers_to(item, name)), None)
    if provider is None:
        provider = {"name": name}
        listed.append(provider)
    if path[0] in _KEY_SOURCES:
        # The environment's key replaces the file's, however that was given.
        for source in _KEY_SOURCES:
            if not isinstance(provider.get(source), FromEnv):
                provider.pop(source, None)
    _set(provider, path, value)


def _answers_to(item: object, name: str) -> bool:
    known = item.get("name") if isinstance(item, dict) else None
    return isinstance(known, str) and known.replace("-", "_").lower() == name
