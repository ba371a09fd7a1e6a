"""Providers: the file's list, the well-known ones by name or by their key in the environment, and `sim`.

Keys are read here, once, and never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from proxy.words.quirks import PLAIN, Quirks

from . import kinds
from .kinds import Kind
from .problems import FromEnv
from .section import Reader, named
from .shape import Provider, Timeouts, WireName
from .wellknown import QUIRKS, WELL_KNOWN, WellKnown, quirks_of

SIM: Final = "sim"

TIMEOUTS: Final[Mapping[str, Kind]] = {
    "connect": kinds.seconds(0.01),
    "first_byte": kinds.seconds(0.01),
    "first_byte_reasoning": kinds.seconds(0.01),
    "idle": kinds.seconds(0.01),
    "total": kinds.seconds(0.01),
}
PROVIDER: Final[Mapping[str, Kind | None]] = {
    "name": kinds.NAME,
    "wire": kinds.one_of(WireName),
    "base_url": kinds.BASE_URL,
    "api_key": kinds.API_KEY,
    "api_key_env": kinds.VARIABLE,
    "api_key_file": kinds.KEY_FILE,
    "ca_file": kinds.FILE,
    "stream_options": kinds.BOOLEAN,
    "key_header": kinds.HEADER,
    "query": kinds.PAIRS,
    "renames": kinds.FIELD_PAIRS,
    "omits": kinds.FIELDS,
    "refuses": kinds.FIELDS,
    "timeouts": None,
    "cancel_stops_billing": kinds.BOOLEAN,
    "drain_after_abort": kinds.seconds(0, 600),
    "price_source": kinds.matching(kinds.SLUG, "a provider's id in the price library, as in x-ai"),
}
_KEY_SOURCES = ("api_key", "api_key_env", "api_key_file")


def discovered(environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the tables of the well-known providers whose key is in the environment."""
    placed = [known for known in WELL_KNOWN if known.base_url and known.variable]
    return [{"name": known.name} for known in placed if environ.get(known.variable)]


def read_timeouts(reader: Reader, table: Mapping[str, Any], at: str, default: Timeouts) -> Timeouts:
    """Read a table of timeouts over a default."""
    names = Timeouts.__dataclass_fields__
    return Timeouts(**{name: getattr(default, name) for name in names} | reader.fields(table, at, TIMEOUTS))


def read_providers(
    reader: Reader, listed: object, environ: Mapping[str, str], timeouts: Timeouts
) -> tuple[Provider, ...]:
    """Read the list of providers. `sim` is added last unless it is listed."""
    providers: dict[str, Provider] = {}
    for place, table in enumerate(reader.tables(listed, "providers")):
        at = named(f"providers[{place}]", table.get("name"))
        provider = _provider(reader, table, at, environ, timeouts)
        if provider is None:
            continue
        if provider.name in providers:
            reader.problems.add(f"{at}.name", f'a second provider named "{provider.name}"')
        providers[provider.name] = provider
    providers.setdefault(SIM, Provider(name=SIM, wire="sim", timeouts=timeouts))
    return tuple(providers.values())


def _provider(
    reader: Reader, table: Mapping[str, Any], at: str, environ: Mapping[str, str], timeouts: Timeouts
) -> Provider | None:
    before = len(reader.problems.lines)
    given = reader.fields(table, at, PROVIDER)
    if "name" not in table:
        reader.problems.add(f"{at}.name", "missing; every provider needs a name")
    name = given.get("name", "")
    known = next((known for known in WELL_KNOWN if known.name == name), None)
    wire = given.get("wire", _usual_wire(name, table, known))
    base_url = given.get("base_url", known.base_url if known else "")
    if wire != "sim" and not base_url and "base_url" not in table and name:
        names = ", ".join(known.name for known in WELL_KNOWN if known.base_url)
        like = f", as in {known.example}" if known else ""
        reader.problems.add(f"{at}.base_url", f"missing{like}; only these need none: {names}")
    own = reader.table(table.get("timeouts", {}), f"{at}.timeouts")
    variable = _variable(table, given, known)
    provider = Provider(
        name=name,
        wire=wire,
        base_url=base_url,
        api_key=_key(reader, table, given, at, environ.get(variable, ""), variable),
        key_variable=variable,
        ca_file=given.get("ca_file"),
        stream_options=given.get("stream_options", known.stream_options if known else True),
        quirks=_quirks(given, known),
        timeouts=read_timeouts(reader, own, f"{at}.timeouts", timeouts),
        price_source=given.get("price_source", known.price_source if known else None),
        cancel_stops_billing=given.get("cancel_stops_billing", known.cancel_stops_billing if known else True),
        drain_after_abort=given.get("drain_after_abort", 0.0),
    )
    # A provider that is wrong elsewhere still has its name, so that models do not report it missing.
    return provider if name or len(reader.problems.lines) == before else None


def _quirks(given: Mapping[str, Any], known: WellKnown | None) -> Quirks:
    """Return what is known of a provider, each part replaced by what the file says of it."""
    own = {name: given[name] for name in QUIRKS if name in given}
    usual = known.quirks if known else PLAIN
    return replace(usual, **{name: getattr(quirks_of(own), name) for name in own})


def _variable(table: Mapping[str, Any], given: Mapping[str, Any], known: WellKnown | None) -> str:
    """Return the environment variable a provider's key is in; "" where it is not in one."""
    if table.keys().isdisjoint(_KEY_SOURCES):
        return known.variable if known and _at_home(table, known) else ""
    return str(given.get("api_key_env", ""))


def _key(
    reader: Reader, table: Mapping[str, Any], given: Mapping[str, Any], at: str, text: str, variable: str
) -> str | None:
    """Return a provider's key; `text` is what `variable` holds."""
    sources = [source for source in _KEY_SOURCES if source in table]
    if len(sources) > 1:
        reader.problems.add(at, f"{' and '.join(sources)} are set; allowed: one of them")
        return None
    if "api_key" in given:
        return str(given["api_key"])
    if "api_key_file" in given:
        return _key_in_file(reader, given["api_key_file"], f"{at}.api_key_file")
    # An unset or empty variable leaves a provider for customers who bring their own key.
    value = {"api_key": FromEnv(variable, text)} if text else {}
    return reader.fields(value, at, {"api_key": kinds.API_KEY}).get("api_key")


def _usual_wire(name: str, table: Mapping[str, Any], known: WellKnown | None) -> WireName:
    """Return the language of a provider that does not say; elsewhere than at home it is OpenAI's."""
    if name == SIM:
        return "sim"
    return known.wire if known and _at_home(table, known) else "openai"


def _at_home(table: Mapping[str, Any], known: WellKnown) -> bool:
    """Tell whether a provider is where it is known to be, or where its own environment says.

    A key that nobody mentioned goes nowhere else.
    """
    address = table.get("base_url", known.base_url)
    return isinstance(address, FromEnv) or (isinstance(address, str) and known.at_home(address))


def _key_in_file(reader: Reader, path: Path, at: str) -> str | None:
    try:
        text = path.read_text("utf-8")
        return str(kinds.API_KEY.take(text))
    except OSError as error:
        reader.problems.add(at, f"the file cannot be read: {error.strerror}")
    except ValueError as error:
        hint = f" ({error})" if isinstance(error, kinds.HintError) else ""
        reader.problems.add(at, f"the file does not hold {kinds.API_KEY.allowed}{hint}")
    return None
