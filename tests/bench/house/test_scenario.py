"""Scenarios with a gateway of ours, for a moment: events, limits, a gateway that is only being started."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.driver.load import OK
from bench.driver.records import Run

OUTAGE = """\
title = "Outage"
[load]
arrival = "constant"
rate = 20
seconds = 2
warmup = 0
rounds = 1
[[load.asks]]
output = 3
[[stand.providers]]
script = "lorem"
[[stand.events]]
at = 0.7
provider = 0
set = "fail=400"
"""

LIMITED = """\
title = "Limited"
[load]
arrival = "constant"
rate = 20
seconds = 1
warmup = 0
rounds = 1
[[load.asks]]
output = 3
[[stand.targets]]
name = "limited"
rpm = 5
"""

COLD = """\
title = "Cold"
[load]
arrival = "constant"
rate = 5
seconds = 1
warmup = 0
rounds = 2
reconnect = 60
[[load.asks]]
output = 3
[[stand.targets]]
name = "cold"
cold = true
"""


@pytest.mark.parametrize("text", [OUTAGE, LIMITED, COLD])
def test_scenarios(text: str, tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text(text)
    assert main(["scenario", str(path), "--out", str(tmp_path)]) == 0
    run = Run.load_file(tmp_path / "one.json")
    outcomes = Counter(outcome for found in run.windows for outcome in found.batch.outcome)
    if text is OUTAGE:
        assert outcomes[OK] >= 1
        assert outcomes["http_400"] >= 1
        assert sum(outcomes.values()) == 39
    elif text is LIMITED:
        # One of a minute's five was spent on finding out whether it is up; a minute may end meanwhile.
        assert 3 <= outcomes[OK] <= 10
        assert set(outcomes) == {OK, "http_429"}
        assert sum(outcomes.values()) == 19
    else:
        # All of them were answered, though the first were due before there was anybody.
        assert set(outcomes) == {OK}
        assert [found.cpu_seconds for found in run.windows] == [None, None]


def test_what_is_no_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenario", "nobody"]) == 2
    assert "no scenario" in capsys.readouterr().err
