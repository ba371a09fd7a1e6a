"""Words that cross from one process to another come out as they went in, through JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_type_hints

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.bank.ops import Admit, Op, Result
from proxy.bank.record import Record
from proxy.process.books import BankBooks, Books
from proxy.process.codec import codec, pack, unpack
from proxy.words.account import Generation, Standing
from proxy.words.principal import Principal
from tests.bank.kit import admit, record

_NUMBERS = st.integers(-(2**63), 2**63 - 1)
st.register_type_strategy(int, _NUMBERS)
st.register_type_strategy(str, st.text(max_size=20))
KINDS = [*get_args(Op), *get_args(Result), Record, Principal, Standing, Generation]


def crossed(kind: Any, value: Any) -> Any:
    return unpack(kind, orjson.loads(orjson.dumps(pack(kind, value))))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_word_comes_out_as_it_went_in(kind: type) -> None:
    @given(st.from_type(kind))
    def check(value: Any) -> None:
        found = crossed(kind, value)
        assert found == value
        assert type(found) is kind

    check()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Op, admit("h")),
        (Record | None, None),
        (Record | None, record("h")),
        (bytes, bytes(range(256))),
        (int | str | None, "a"),
        (Mapping[str, bytes], {"a": b"b"}),
        (dict[str, int], {"a": 1}),
        (list[bytes], [b"a"]),
        (tuple[int, ...], (1, 2)),
        (tuple[tuple[str, bytes], ...], (("a", b"b"), ("c", b""))),
        (frozenset[str] | None, frozenset({"a", "b"})),
        (Literal["a", "b"], "b"),
    ],
)
def test_it_comes_out_as_it_went_in(kind: Any, value: Any) -> None:
    assert crossed(kind, value) == value
    assert type(crossed(kind, value)) is type(value)


@pytest.mark.parametrize("kind", [object, complex, tuple[int, complex], bytes | Admit, int | bytes])
def test_what_cannot_cross_is_an_error_when_the_types_are_looked_at(kind: Any) -> None:
    if kind is object:
        assert codec(kind).pack is None
    else:
        with pytest.raises(TypeError):
            codec(kind)


def test_every_question_can_be_asked() -> None:
    names = {name for name in dir(Books) if not name.startswith("_")}
    assert len(names) >= 5
    for name in names:
        for kind in get_type_hints(getattr(Books, name)).values():
            codec(kind)
    assert names <= set(BankBooks.__init__.__code__.co_names)
