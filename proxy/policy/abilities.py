"""Which model can be asked to do what: the operator's word before the table's, and that before its price.

What a model cannot do is refused before anything is held, by a sentence that names it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from proxy.settings import WireName
from proxy.words.call import Kind
from proxy.words.errors import GatewayError

from .capabilities import KINDS, traits_of

SERVED: Final[Mapping[WireName, frozenset[Kind]]] = {
    "openai": KINDS,
    "sim": KINDS,
    "gemini": frozenset({"chat", "embeddings"}),
    "anthropic": frozenset({"chat"}),
}
"""What each wire has words for."""
UNITS: Final[Mapping[str, Kind]] = {
    "characters": "speech",
    "seconds": "transcription",
    "images": "images",
}
"""What is sold by a unit and not by tokens is made for that."""
_CHAT: Final[frozenset[Kind]] = frozenset({"chat"})
_WORDS: Final[Mapping[Kind, str]] = {
    "chat": "answer chats",
    "embeddings": "make embeddings",
    "speech": "speak",
    "transcription": "transcribe recordings",
    "images": "make images",
}


def abilities(model: str, declared: Collection[str], sold: Collection[str]) -> frozenset[Kind]:
    """Return what a model can be asked to do.

    `model` is the id its provider knows it by; `declared` are its capabilities in the settings, which decide
    if any of them is a kind of request; `sold` are the classes of usage that it has a price for.
    """
    told = KINDS.intersection(declared)
    if told:
        return told
    serves = traits_of(model).serves
    if serves:
        return serves
    if sold and UNITS.keys() >= set(sold):
        return frozenset(UNITS[unit] for unit in sold)
    return _CHAT


def unable(name: str, kind: Kind) -> GatewayError:
    """Return the refusal of a request that its model is not made for."""
    text = f"The model '{name[:64]}' cannot {_WORDS[kind]}."
    return GatewayError("invalid_request", text, param="model", detail={"reason": "unable"})


def unserved(name: str, kind: Kind) -> GatewayError:
    """Return the refusal of a request that no provider of its model has a protocol for."""
    text = f"No provider of the model '{name[:64]}' can {_WORDS[kind]} through this gateway."
    return GatewayError("unsupported_parameter", text, param="model")
