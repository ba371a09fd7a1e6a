"""Plant every bug, or those whose names hold one of the words given, and print who caught it: `make plant`.

Exits 1 where one survived, where a plant's text is gone, or where the tests fail without any plant.
"""

from __future__ import annotations

import sys

import trio

from .planting import Verdict, judge, sound
from .plants import PLANTS


def main(words: list[str]) -> int:
    """Run the plants that were asked for."""
    chosen = [plant for plant in PLANTS if not words or any(word in plant.name for word in words)]
    if faults := [plant.fault for plant in PLANTS if plant.fault]:
        print(*faults, sep="\n")
        return 1
    status, printed = trio.run(sound, chosen)
    if status != 0:
        print("without any plant the tests should pass:", printed[-3000:], sep="\n")
        return 1
    verdicts = trio.run(judge, chosen, _tell)
    alive = [verdict for verdict in verdicts if verdict.alive]
    width = max(len(verdict.plant.name) for verdict in verdicts)
    print()
    for verdict in verdicts:
        print(f"{verdict.plant.name:{width}}  {verdict.plant.does}\n{'':{width}}    {verdict.caught}")
    print(f"\n{len(verdicts) - len(alive)} of {len(verdicts)} plants caught")
    return 1 if alive else 0


def _tell(verdict: Verdict) -> None:
    print(f"{verdict.seconds:6.1f} s  {verdict.plant.name}: {verdict.caught}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
