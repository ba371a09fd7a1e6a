"""Breaks valid JSON as upstreams and clients do: what is left is still nearly right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from random import Random
from typing import Any

import orjson

ODD: Sequence[Any] = (
    *(None, True, False, 0, 1, -1, 2**63, 1.5, 1e308, "", "x", "\x00\u2028", "ö" * 40, "data:", "stop"),
    *([], {}, [None], [[]], [{}], {"type": "x"}, {"text": 1}, [1, "a", {}], {"": ""}),
)
ENDS = (b"\n", b"\r\n", b"\r")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Give every container and key (or index) in a value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def broken(value: Any, chance: Random, times: int) -> Any:
    """Return a copy with members dropped, repeated, renamed, or of another type."""
    value = deepcopy(value)
    for _ in range(times):
        found = list(places(value))
        if not found:
            break
        container, key = chance.choice(found)
        match chance.randrange(5):
            case 0:
                del container[key]
            case 1:
                container[key] = deepcopy(chance.choice(ODD))
            case 2:
                container[key] = [container[key]]
            case 3 if isinstance(container, list):
                container.insert(key, deepcopy(container[key]))
            case _:
                other, at = chance.choice(found)
                container[key] = deepcopy(other[at]) if at in other or isinstance(other, list) else 0
    return value


def stream(events: Sequence[Any], chance: Random) -> list[Any]:
    """Return a stream's payloads, some of them broken, in another order, twice or not at all."""
    found = [broken(event, chance, 1) if chance.random() < 0.1 else event for event in events]
    for _ in range(chance.choice((0, 0, 1, 2))):
        if not found:
            break
        at, other = chance.randrange(len(found)), chance.randrange(len(found))
        match chance.randrange(4):
            case 0:
                del found[at]
            case 1:
                found.insert(at, found[other])
            case 2:
                found[at], found[other] = found[other], found[at]
            case _:
                found.insert(at, {"error": {"message": "no", "code": 500}, "type": "error"})
    return found


def framed(payloads: Sequence[Any], chance: Random, *, done: bool) -> bytes:
    """Write payloads as server-sent events, in one of the many ways there are."""
    end = chance.choice(ENDS)
    out = b"\xef\xbb\xbf" if chance.random() < 0.1 else b""
    for payload in payloads:
        if chance.random() < 0.2:
            out += chance.choice((b": comment", b"event: x", b"id: 7", b"retry: 1", b"nonsense")) + end
        out += b"data:" + b" " * chance.randrange(2) + orjson.dumps(payload) + end + end
    if done:
        out += b"data: [DONE]" + end + end
    return out[: chance.randrange(len(out) + 1)] if chance.random() < 0.2 else out


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut bytes at some places."""
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def spoilt(data: bytes, chance: Random) -> bytes:
    """Return bytes with some changed, doubled or gone."""
    found = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(4):
            case 0:
                del found[at : at + chance.choice((1, 2, 16))]
            case 1:
                found[at:at] = found[at : at + chance.choice((1, 2, 40))]
            case 2:
                found[at : at + 1] = bytes(
                    (chance.choice((0, 13, 10, 34, 45, 92, 255, chance.randrange(256))),)
                )
            case _:
                found[at : at + 4] = chance.randbytes(4)
    return bytes(found)
