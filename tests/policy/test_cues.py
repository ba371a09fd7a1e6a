"""The table of cues: that it is well made, and that its cues are heard as they are written and spoken."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from proxy.policy.cues import CUES, TABLE, Cues, encode

ROWS: dict[str, dict[str, Any]] = tomllib.loads(TABLE.read_text("utf-8"))
LANGUAGES = {"en", "de", "fr", "es", "it", "pt", "nl", "pl", "ru", "zh", "ja", "ko", "ar", "hi"}
PRIVATE_USE = 6400
SMALL: dict[str, dict[str, Any]] = {
    "any": {"points": 2, "most": 5, "en": "prove, step by step, scenario's, über alles", "ar": "حلل"},
    "ends": {"points": -4, "most": -4, "where": "ends", "en": "translate, into french", "zh": "翻译"},
    "lead": {"points": 1, "most": 1, "where": "lead", "en": "who, how many"},
    "also": {"points": 3, "most": 3, "en": "prove", "zh": "证明, 系统设计", "ja": "証明して"},
}
HEARD = Cues(SMALL)
FILLER = "and so we went on to the lake " * 4


def points(text: str) -> dict[str, int]:
    return {name: worth for name, worth in HEARD.hear(text, encode(text)).points.items() if worth}


def test_the_table_is_well_made() -> None:
    words: set[bytes] = set()
    for name, row in ROWS.items():
        assert name.isalpha(), "a name is part of a header"
        assert name.islower()
        assert row.get("where", "ends") in {"ends", "lead"}
        assert row["points"]
        assert row["most"] / row["points"] >= 1
        for language in row.keys() - {"points", "most", "where"}:
            assert language in LANGUAGES
            cues = [" ".join(cue.split()) for cue in row[language].split(",")]
            assert all(cues), (name, language)
            assert len(cues) == len(set(cues)), (name, language)
            assert [cue for cue in cues if cue != cue.lower()] == []
            words.update(word for cue in cues for word in encode(cue).split())
    assert len(words) < PRIVATE_USE / 2


@pytest.mark.parametrize(
    "group", ["light", "task", "reasoning", "proof", "summary", "math", "domain", "constraints"]
)
def test_every_language_has_a_voice(group: str) -> None:
    assert ROWS[group].keys() >= LANGUAGES


CASES: dict[str, dict[str, int]] = {
    "": {},
    "prove": {"any": 2, "also": 3},
    "Prove it!": {"any": 2, "also": 3},
    "PROVE, prove; (prove)": {"any": 2, "also": 3},
    "proven improve": {},
    "step-by-step": {"any": 2},
    "Step\nby  step.": {"any": 2},
    "step by a step": {},
    "the scenario's end": {"any": 2},
    "über alles": {"any": 2},
    "ÜBER ALLES": {"any": 2},
    "«Über alles»": {"any": 2},
    "prove step by step, scenario's über alles": {"any": 5, "also": 3},
    "who goes there": {"lead": 1},
    "tell me who goes there": {"lead": 1},
    "do tell me now who goes there": {},
    "how many": {"lead": 1},
    f"translate {FILLER}": {"ends": -4},
    f"{FILLER} into French, please": {"ends": -4},
    f"{FILLER} translate {FILLER}": {},
    f"into {FILLER} french": {},
    "حلل النص": {"any": 2},
    "وحلل النص": {"any": 2},
    "محلل": {},
    "请证明这一点": {"also": 3},
    "翻译成英文": {"ends": -4},
    f"{'一' * 40}翻译{'一' * 40}": {},
    f"{'一' * 40}系统设计{'一' * 40}": {"also": 3},
    "設計を証明してください": {"also": 3},
    "prove 证明": {"any": 2, "also": 3},
}


@pytest.mark.parametrize(("text", "expected"), CASES.items(), ids=[ascii(text)[:40] for text in CASES])
def test_a_cue_is_heard(text: str, expected: dict[str, int]) -> None:
    assert points(text) == expected


def test_what_opens_a_text_is_told_from_what_closes_it() -> None:
    first, last = f"translate {FILLER}", f"{FILLER} translate"
    assert HEARD.hear(first, encode(first)).opening == {"ends"}
    assert HEARD.hear(last, encode(last)).opening == set()


def test_a_table_says_how_large_it_is() -> None:
    assert repr(HEARD) == "<Cues 4 groups, 17 words>"
    assert repr(CUES).startswith(f"<Cues {len(ROWS)} groups, ")
