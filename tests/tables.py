"""Writes the tables of our pages from the data they show: `make tables`. A test fails where one is stale."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from proxy.settings.wellknown import WELL_KNOWN, WellKnown
from proxy.wires.anthropic_compatibility import TABLE as ANTHROPIC
from proxy.wires.compatibility import Row, Table
from proxy.wires.gemini_compatibility import TABLE as GEMINI
from proxy.wires.openai_compatibility import OTHERS
from proxy.wires.openai_compatibility import TABLE as OPENAI

ROOT = Path(__file__).parents[1]
COMPATIBILITY = ROOT / "proxy/wires/COMPATIBILITY.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- providers: make tables -->\n", "<!-- end of providers -->\n"
WIRES = {"OpenAI": OPENAI, "Anthropic": ANTHROPIC, "Gemini": GEMINI}
_HEAD = """# What becomes of each field

Made by `make tables` from `*_compatibility.py`; do not edit. Fields are named as in OpenAI's request; `[]`
is each item of a list, `*` whatever has no line. *Sent* is the same under another name at most, *mapped*
says the same in other words, *ignored* changes no answer (what would is marked †, and refused under
`provider.require_parameters`), *refused* is a 400 `unsupported_parameter` with the field in `param`, after
every deployment that could express it was tried. A client that speaks a provider's own language has its
body passed on, so that nothing here applies to it.

What well-known providers of the OpenAI wire refuse, rename or do not get is in
`proxy/settings/wellknown.toml`.

"""


def compatibility() -> str:
    """Return the page."""
    fields = dict.fromkeys(row.field for table in WIRES.values() for row in table.rows)
    lines = [f"| field | {' | '.join(WIRES)} |", "|---" * (len(WIRES) + 1) + "|"]
    lines += [f"| `{field}` | {' | '.join(_fates(field))} |" for field in fields]
    foreign = ["| Messages API | at an OpenAI upstream |", "|---|---|"]
    foreign += [f"| `{row.field}` | {row.fate}: {row.why} |" for row in OTHERS]
    return _HEAD + "\n".join(lines) + "\n\n" + "\n".join(foreign) + "\n"


def _fates(field: str) -> Iterable[str]:
    for table in WIRES.values():
        row = _row(table, field)
        words = f"{row.fate}{' †' if row.shaping else ''}"
        yield f"{words}: {row.why}" if row.why else words


def _row(table: Table, field: str) -> Row:
    """Return a field's row, or that of whatever has none."""
    rows = {row.field: row for row in table.rows}
    prefix = field[: field.rfind(".") + 1]
    return rows.get(field) or rows.get(f"{prefix}*") or rows["*"]


def providers() -> str:
    """Return the table of the well-known providers."""
    lines = ["| name | language | key | address | what is different |", "|---|---|---|---|---|"]
    lines += [_provider(known) for known in WELL_KNOWN]
    return "\n".join(lines) + "\n"


def _provider(known: WellKnown) -> str:
    address = f"`{known.base_url}`" if known.base_url else f"yours, as in `{known.example}`"
    key = f"`{known.variable}`" if known.variable else "none: on where it is listed by name"
    return f"| `{known.name}` | {known.wire} | {key} | {address} | {'; '.join(_differences(known))} |"


def _differences(known: WellKnown) -> Iterable[str]:
    quirks = known.quirks
    if not known.cancel_stops_billing:
        yield "a cancelled answer is billed whole"
    if not known.stream_options:
        yield "no `stream_options`"
    if quirks.key_header:
        yield f"key in `{quirks.key_header}`"
    for ours, theirs in quirks.renames:
        yield f"`{ours}` as `{theirs}`"
    if quirks.omits:
        yield f"not sent: {_listed(quirks.omits)}"
    if quirks.refuses:
        yield f"refused: {_listed(quirks.refuses)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def readme(text: str) -> str:
    """Return the README with its table replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "the README has lost the mark of its table"
    assert end, "the README has lost the end of its table"
    return before + BEGIN + providers() + END + after


def main() -> None:
    COMPATIBILITY.write_text(compatibility(), "utf-8")
    README.write_text(readme(README.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
