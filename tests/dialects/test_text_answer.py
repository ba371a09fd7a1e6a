"""What the encoders of text do with chunks that came together."""

from __future__ import annotations

import orjson
import pytest

from proxy.dialects.ai_gateway import AIGatewayDialect
from proxy.dialects.ai_llm import AILLMDialect
from proxy.dialects.auto import AutoDialect
from proxy.dialects.base import Dialect
from proxy.words.chat import Frame, Run, TextDelta

from .text_kit import answer, bill, read

TEXTS = ["Once ", "caf\u00e9", "{}", " a time"]
BODY = {"messages": [{"role": "user", "content": "hi"}], "stream": True}


def together(choice: int = 0) -> Frame:
    """The texts as one frame, as the decoder of alike chunks makes it."""
    run = Run(b'{"t":"', [text.encode() for text in TEXTS], b'"}', b"", choice)
    return Frame((TextDelta("".join(TEXTS), choice),), plain=True, run=run)


@pytest.mark.parametrize(
    ("dialect", "key"),
    [(AutoDialect(), "delta"), (AILLMDialect("chat"), "text"), (AIGatewayDialect("chat"), "text")],
)
def test_chunks_that_came_together_leave_as_many(dialect: Dialect, key: str) -> None:
    call = dialect.parse(orjson.dumps(BODY))
    out = dialect.encoder(call, answer()).feed([together()])
    assert read(out) == [{key: text} for text in TEXTS]
    assert out == dialect.encoder(call, answer()).feed([Frame((TextDelta(text),)) for text in TEXTS])
    run = together().run
    assert run is not None
    first, second, *_ = out.split(b"\n\n")
    size = len(first + second) + 4
    assert run.within(len(out), size) == len((TEXTS[0] + TEXTS[1]).encode())
    assert run.within(len(out), size - 1) == len(TEXTS[0]), "a frame counts once it has gone whole"


def test_of_another_choice_nothing_is_told() -> None:
    dialect = AutoDialect()
    assert dialect.encoder(dialect.parse(orjson.dumps(BODY)), answer()).feed([together(1)]) == b""


def test_a_whole_answer_has_all_their_text() -> None:
    dialect = AILLMDialect("chat")
    encoder = dialect.encoder(dialect.parse(orjson.dumps({**BODY, "stream": False})), answer())
    assert encoder.feed([together(), Frame((TextDelta("."),))]) == b""
    assert orjson.loads(encoder.finish(bill(1, 1)))["text"] == "".join(TEXTS) + "."
