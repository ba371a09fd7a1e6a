"""The table of fields says what happens, for every field there is."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from proxy.dialects.openai_request import _KNOWN, read_chat
from proxy.wires.base import Target
from proxy.wires.compatibility import Row, markdown
from proxy.wires.gemini import GeminiWire
from proxy.wires.gemini_compatibility import COMPATIBILITY
from proxy.words.chat import ChatRequest, Sampling
from proxy.words.errors import GatewayError

ROWS = {row.field: row for row in COMPATIBILITY}
HI = {"role": "user", "content": "Hi"}
NOT_FIELDS = {
    "origin",
    "prompt_bytes",
    "images",
    "include_usage",
    "sampling",
    "extra",
    "wishes",
    "other_tools",
}


def test_no_field_has_two_rows() -> None:
    assert len(ROWS) == len(COMPATIBILITY)


def test_every_field_the_dialect_knows_has_a_row() -> None:
    assert ROWS.keys() >= _KNOWN


def test_every_word_of_a_request_has_a_row() -> None:
    words = {field.name for kind in (ChatRequest, Sampling) for field in fields(kind)} - NOT_FIELDS
    assert ROWS.keys() >= words


@pytest.mark.parametrize(
    "row", [row for row in COMPATIBILITY if row.fate == "refused" and row.field.isidentifier()]
)
def test_what_is_said_to_be_refused_is(row: Row) -> None:
    value: Any = False if row.field == "parallel_tool_calls" else {"a": 1}
    body = {"messages": [HI], row.field: {"1": 1} if row.field == "logit_bias" else value}
    with pytest.raises(GatewayError) as caught:
        GeminiWire().encode(read_chat(body), Target("gemini-2.5-flash"))
    assert (caught.value.name, caught.value.param) == ("unsupported_parameter", row.field)
    assert row.why in caught.value.message


def test_the_table_can_be_read_as_markdown() -> None:
    head, rule, *lines = markdown(COMPATIBILITY).splitlines()
    assert head.count("|") == rule.count("|") == 4
    assert len(lines) == len(COMPATIBILITY)
    assert all(line.count("|") == 4 for line in lines)
    assert markdown((Row("seed", "sent", "`seed`"),)).endswith("| `seed` | sent | `seed` |\n")
