"""A few of the plants in every run of the suite; `make plant` runs all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from .planting import ROOT, Plant, judge, plant_into, sound
from .plants import PLANTS

QUICK: Final = (
    "rich-users-need-no-credit",
    "tombstone-forgotten",
    "float-cost",
    "outbox-drops-ends",
    "take-back-forgotten",
)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_every_plant_finds_the_text_it_replaces(plant: Plant) -> None:
    """Where the code has moved on, look at the line that is named and plant the bug where it would be now."""
    assert plant.fault == ""
    assert plant.tests
    assert plant.does


def test_names_are_unique_and_there_are_enough() -> None:
    assert len({plant.name for plant in PLANTS}) == len(PLANTS) >= 45


async def test_some_plants_are_caught_and_without_any_the_same_tests_pass() -> None:
    chosen = [plant for plant in PLANTS if plant.name in QUICK]
    assert len(chosen) == len(QUICK)
    assert (await sound(chosen))[0] == 0
    verdicts = await judge(chosen)
    assert [verdict for verdict in verdicts if verdict.alive] == []


def plant(before: str, *tests: str) -> Plant:
    """A change to a text that says what the rules are, and does nothing."""
    return Plant(f"{before} {tests}", "proxy/bank/sweep.py", before, "None", "nothing", tests)


async def test_one_that_matters_to_nobody_survives_and_a_table_that_is_wrong_is_no_catch() -> None:
    """Else a copy in which nothing works would look like tests that notice everything."""
    harmless = plant("Crash recovery: what becomes", "tests/bank/test_scale.py")
    nowhere = plant("Crash recovery: what becomes", "tests/bank/test_nothing.py")
    survived, unknown = await judge([harmless, nowhere])
    assert (survived.alive, survived.caught) == (True, "SURVIVED")
    assert unknown.alive
    assert unknown.caught.startswith("pytest exited with 4")


def test_a_text_that_is_not_there_once_is_not_planted(tmp_path: Path) -> None:
    for before, times in (("no such text", 0), ("hold", 2)):
        with pytest.raises(ValueError, match=rf"occurs \d+ times in proxy/bank/sweep.py.*'{before}'"):
            plant_into(tmp_path, plant(before, "tests"))
        assert (ROOT / "proxy/bank/sweep.py").read_text().count(before) >= times
    assert list(tmp_path.iterdir()) == []
