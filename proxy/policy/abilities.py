"""Which model can be asked to do what: the operator's word before the table's, and that before its price.

What a model cannot do is refused before anything is held, by a sentence that names it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from proxy.settings import WireName
from proxy.words.call import Call, Kind
from proxy.words.errors import GatewayError
from proxy.words.media import EmbeddingRequest

from .capabilities import KINDS, traits_of

SERVED: Final[Mapping[WireName, frozenset[Kind]]] = {
    "openai": KINDS,
    "sim": KINDS,
    "gemini": frozenset({"chat", "embeddings"}),
    "anthropic": frozenset({"chat"}),
}
"""What each wire has words for."""
TEXTS_ALONE: Final[frozenset[WireName]] = frozenset({"gemini"})
"""Wires whose embeddings are made of texts, not of tokens."""
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
    made_for = traits_of(model).serves
    if made_for:
        return made_for
    if sold and UNITS.keys() >= set(sold):
        return frozenset(UNITS[unit] for unit in sold)
    return _CHAT


def unable(name: str, kind: Kind) -> GatewayError:
    """Return the refusal of a request that its model is not made for."""
    text = f"The model '{name[:64]}' cannot {_WORDS[kind]}."
    return GatewayError("invalid_request", text, param="model", detail={"reason": "unable"})


def serves(wire: WireName, call: Call) -> bool:
    """Tell whether a wire has words for a request."""
    return call.kind in SERVED[wire] and not (wire in TEXTS_ALONE and _of_tokens(call))


def unserved(name: str, call: Call, wires: Collection[WireName]) -> GatewayError:
    """Return the refusal of a request that none of its model's providers, of these wires, has words for."""
    if any(call.kind in SERVED[wire] for wire in wires):
        text = f"'input' must hold texts for the model '{name[:64]}', no tokens."
        return GatewayError("unsupported_parameter", text, param="input")
    text = f"No provider of the model '{name[:64]}' can {_WORDS[call.kind]} through this gateway."
    return GatewayError("unsupported_parameter", text, param="model")


def _of_tokens(call: Call) -> bool:
    return isinstance(call, EmbeddingRequest) and call.tokens > 0
