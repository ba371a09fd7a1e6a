"""Words as plain JSON values and back, by their types: what crosses from one of our processes to another.

A dataclass or a named tuple becomes the list of its fields, so that a field added to a word needs nothing
here. Where one of several dataclasses may stand, the list is preceded by the class's name; bytes become
base64. Both ends run the same code: they were forked from one process.
"""

from __future__ import annotations

import types
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

Turn = Callable[[Any], Any]
_PLAIN: Final = frozenset({int, str, bool, float, type(None), object, Any})
_LISTS: Final = {tuple: tuple, frozenset: frozenset, list: list, Sequence: tuple}


class Codec(NamedTuple):
    """Both ways between a type's values and JSON's; None where a value is JSON's already."""

    pack: Turn | None
    unpack: Turn | None


_AS_IT_IS: Final = Codec(None, None)


@cache
def codec(kind: Any) -> Codec:
    """Return the codec of a type.

    Raises:
        TypeError: values of this type cannot cross.
    """
    origin = get_origin(kind)
    if kind in _PLAIN or origin is Literal:
        return _AS_IT_IS
    if kind is bytes:
        return Codec(lambda value: b64encode(value).decode("ascii"), a2b_base64)
    if origin is Union or origin is types.UnionType:
        return _union(get_args(kind))
    if origin is tuple and get_args(kind)[1:] != (...,):
        return _fixed(get_args(kind))
    if origin in _LISTS:
        return _many(_LISTS[origin], get_args(kind))
    if origin in {dict, Mapping}:
        return _mapping(codec(get_args(kind)[1]))
    if isinstance(kind, type) and (is_dataclass(kind) or hasattr(kind, "_fields")):
        return _record(kind)
    raise TypeError(f"{kind!r} cannot cross from one process to another")


def pack(kind: Any, value: Any) -> Any:
    """Return a value of a type as JSON's."""
    turn = codec(kind).pack
    return value if turn is None else turn(value)


def unpack(kind: Any, value: Any) -> Any:
    """Return what `pack` was given. A list is used up."""
    turn = codec(kind).unpack
    return value if turn is None else turn(value)


def _record(kind: Any) -> Codec:
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(kind._fields)
    hints = get_type_hints(kind)
    codecs = [codec(hints[name]) for name in names]
    packs = [(place, each.pack) for place, each in enumerate(codecs) if each.pack is not None]
    unpacks = [(place, each.unpack) for place, each in enumerate(codecs) if each.unpack is not None]
    take: Turn = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)

    def pack(value: Any) -> Any:
        values = list(take(value))
        for place, turn in packs:
            values[place] = turn(values[place])
        return values

    def unpack(values: list[Any]) -> Any:
        for place, turn in unpacks:
            values[place] = turn(values[place])
        return kind(*values)

    return Codec(pack if packs else take, unpack)


def _union(kinds: tuple[Any, ...]) -> Codec:
    """One of several: None or not, plain values, or dataclasses that are told apart by their names."""
    others = [kind for kind in kinds if kind is not type(None)]
    if all(codec(kind) is _AS_IT_IS for kind in others):
        return _AS_IT_IS
    each = codec(others[0]) if len(others) == 1 else _named(others)
    return each if len(others) == len(kinds) else _optional(each)


def _optional(each: Codec) -> Codec:
    assert each.pack is not None  # noqa: S101 - a plain one was returned as it is
    assert each.unpack is not None  # noqa: S101
    there, back = each.pack, each.unpack
    return Codec(
        lambda value: None if value is None else there(value),
        lambda value: None if value is None else back(value),
    )


def _named(kinds: Sequence[Any]) -> Codec:
    if not all(is_dataclass(kind) for kind in kinds):
        raise TypeError(f"values of {kinds!r} could not be told apart")
    there = {kind: (kind.__name__, _record(kind).pack) for kind in kinds}
    back = {kind.__name__: _record(kind).unpack for kind in kinds}

    def pack(value: Any) -> Any:
        name, turn = there[type(value)]
        assert turn is not None  # noqa: S101 - a dataclass is none of JSON's
        return (name, turn(value))

    def unpack(value: Any) -> Any:
        name, values = value
        turn = back[name]
        assert turn is not None  # noqa: S101
        return turn(values)

    return Codec(pack, unpack)


def _fixed(kinds: tuple[Any, ...]) -> Codec:
    """A tuple of so many elements, each of its type."""
    there, back = zip(*map(codec, kinds), strict=True)

    def turned(turns: Sequence[Turn | None], values: Sequence[Any]) -> list[Any]:
        pairs = zip(turns, values, strict=True)
        return [value if turn is None else turn(value) for turn, value in pairs]

    return Codec(lambda values: turned(there, values), lambda values: tuple(turned(back, values)))


def _many(make: Callable[[Any], Any], arguments: tuple[Any, ...]) -> Codec:
    """Elements of one type."""
    each = codec(arguments[0])
    there, back = each.pack, each.unpack
    return Codec(
        list if there is None else lambda values: [there(value) for value in values],
        make if back is None else lambda values: make(back(value) for value in values),
    )


def _mapping(each: Codec) -> Codec:
    there, back = each.pack, each.unpack
    return Codec(
        dict if there is None else lambda items: {name: there(item) for name, item in items.items()},
        None if back is None else lambda items: {name: back(item) for name, item in items.items()},
    )
