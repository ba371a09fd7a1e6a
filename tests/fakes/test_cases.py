"""The table of expectations is whole, and speaks the contract's names."""

from __future__ import annotations

import pytest

from proxy.words.errors import FACES
from tests.fakes.cases import CASES, Case

WANTED = {f"F{n}" for n in (*range(3, 9), *range(37, 41), *range(49, 83))}


def test_every_row_is_there_and_no_name_twice() -> None:
    assert {case.row for case in CASES} == WANTED
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case_does_not_contradict_itself(case: Case) -> None:
    if case.error is not None and not case.in_band:
        assert case.status == FACES[case.error].status
        assert (case.relayed, case.ledger in {"V", "-"}, case.finish) == (0, True, None)
    if case.in_band:
        assert case.finish == "error"
        assert not case.done
        assert case.ledger == "S(r)" or case.relayed == 0
    if case.leaves is not None:
        assert case.status is None
    if case.done:
        assert case.ledger in {"S(u)", "S(r)"}
    assert "" not in case.detail.values()
