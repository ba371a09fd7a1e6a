"""What a body costs to read is found out in steps, which see what one look at the whole would."""

from __future__ import annotations

import json

import pytest

from proxy.edge import bulk
from proxy.edge.bulk import MAX_VALUES, bulk_checked
from proxy.words.errors import GatewayError

STEP = 1024 * 1024


def steps(body: bytes) -> int:
    return sum(1 for _ in bulk_checked(body))


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("text", ['a,\\"', "\\\\,", '\\\\\\",,', '\\\\\\\\\\\\\\"","'])
def test_a_text_is_a_text_wherever_it_is_cut(start: int, text: str) -> None:
    body = json.dumps(["x" * start, text * (3 * STEP // len(text))]).encode()
    assert body.count(b",") > MAX_VALUES
    assert steps(body) == -(-len(body) // STEP)


@pytest.mark.parametrize("start", range(3))
def test_values_are_counted_across_cuts(start: int) -> None:
    few = b'[",' + b"x" * (2 * STEP + start) + b'"' + b",1" * MAX_VALUES + b"]"
    assert steps(few) == 3
    with pytest.raises(GatewayError, match="values"):
        steps(few[:-1] + b",1]")


def test_a_body_of_backslashes_takes_no_longer() -> None:
    body = b"," * (MAX_VALUES + 1) + b"\\" * (4 * STEP)
    with pytest.raises(GatewayError, match="values"):
        steps(body)
    assert list(map(len, bulk._pieces(b"\\" * (2 * STEP + 1)))) == [STEP, STEP, 1]
