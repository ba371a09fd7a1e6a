"""What is known of models, by family: the table `capabilities.toml`. Reading the file is all its I/O."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, get_args

from proxy.words.call import Kind

TABLE: Final = Path(__file__).with_name("capabilities.toml")
ABILITIES: Final = frozenset({"vision", "audio", "tools", "json", "structured_output", "reasoning"})
"""The words of `can` and `cannot`."""
KINDS: Final[frozenset[Kind]] = frozenset(get_args(Kind))
_FORMS: Final[Mapping[Kind, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "chat": (("text",), ("text",)),
    "embeddings": (("text",), ("embedding",)),
    "speech": (("text",), ("audio",)),
    "transcription": (("audio",), ("text",)),
    "images": (("text",), ("image",)),
}
"""What goes into a model and what comes out, by what it is made for."""
_HEARD_AND_SEEN: Final = (("vision", "image"), ("audio", "audio"))


@dataclass(frozen=True, slots=True)
class Traits:
    """What is known of a model. A word in neither `can` nor `cannot` is not known.

    `serves` is empty where the table does not say; `context` and `output` are tokens; `takes` and `gives` are
    modalities.
    """

    serves: frozenset[Kind] = frozenset()
    can: frozenset[str] = frozenset()
    cannot: frozenset[str] = frozenset()
    context: int | None = None
    output: int | None = None
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()

    def told(self, declared: Collection[str]) -> Traits:
        """Return the same with what the operator has declared, whose word counts."""
        words = ABILITIES.intersection(declared)
        return replace(self, can=self.can | words, cannot=self.cannot - words) if words else self

    def forms(self, serves: Collection[Kind]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the modalities of what goes in and of what comes out."""
        kinds = [kind for kind in get_args(Kind) if kind in serves] or ["chat"]
        takes = self.takes or _joined(_FORMS[kind][0] for kind in kinds)
        gives = self.gives or _joined(_FORMS[kind][1] for kind in kinds)
        if "chat" in kinds and not self.takes:
            takes += tuple(form for word, form in _HEARD_AND_SEEN if word in self.can)
        return takes, gives


UNKNOWN: Final = Traits()


@lru_cache(4096)
def traits_of(model: str) -> Traits:
    """Return what the table tells of a model, by the id its provider knows it by."""
    name = model.lower()
    return next((traits for pattern, traits in _families() if pattern.search(name)), UNKNOWN)


def read_table(text: str) -> tuple[tuple[re.Pattern[str], Traits], ...]:
    """Read a table of families, in its order.

    Raises:
        ValueError: a row has a word that nobody knows, or says of one that it can and that it cannot.
    """
    return tuple((re.compile(row["match"]), _traits(row)) for row in tomllib.loads(text)["family"])


@cache
def _families() -> tuple[tuple[re.Pattern[str], Traits], ...]:
    return read_table(TABLE.read_text("utf-8"))


_FIELDS: Final = {"match", "serves", "can", "cannot", "context", "output", "input", "output_forms"}


def _traits(row: Mapping[str, Any]) -> Traits:
    serves, can, cannot = (frozenset(row.get(name, ())) for name in ("serves", "can", "cannot"))
    if row.keys() - _FIELDS or not serves <= KINDS or not can | cannot <= ABILITIES or can & cannot:
        raise ValueError(f"capabilities.toml: the family {row.get('match')!r} says what nobody understands")
    return Traits(
        serves=serves,
        can=can,
        cannot=cannot,
        context=row.get("context"),
        output=row.get("output"),
        takes=tuple(row.get("input", ())),
        gives=tuple(row.get("output_forms", ())),
    )


def _joined(lists: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each for forms in lists for each in forms))
