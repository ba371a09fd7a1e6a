"""What somebody looks for among the models on offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from proxy.words.catalogue import Offer

Sort = Literal["offered", "id", "input", "output", "context"]
"""`offered`: as the settings have them. By price the cheapest come first, by context the longest."""
_LAST: Final = 2**63
_SORTS: Final[Mapping[Sort, Callable[[Offer], Any]]] = {
    "offered": lambda _: 0,
    "id": lambda offer: offer.id.casefold(),
    "input": lambda offer: offer.price.rates.input or _LAST,
    "output": lambda offer: offer.price.rates.output or _LAST,
    "context": lambda offer: -(offer.context_length or 0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody looks for: every word of `q` in the id, the name, or what an alias stands for."""

    q: str = ""
    provider: str | None = None
    capability: str | None = None
    priced: bool | None = None
    context: int = 0
    """Tokens that it takes at least."""
    sort: Sort = "offered"

    def chosen(self, offers: Iterable[Offer]) -> list[Offer]:
        """Return what fits, sorted."""
        words = self.q.casefold().split()
        return sorted((each for each in offers if self._fits(each, words)), key=_SORTS[self.sort])

    def _fits(self, offer: Offer, words: Sequence[str]) -> bool:
        text = " ".join((offer.id, offer.name, *offer.targets)).casefold()
        return (
            all(word in text for word in words)
            and self.provider in {None, offer.provider}
            and (self.capability is None or self.capability in offer.capabilities)
            and (offer.context_length or 0) >= self.context
            and (self.priced is None or self.priced == is_priced(offer))
        )


def is_priced(offer: Offer) -> bool:
    """Tell whether anything of a model costs something."""
    return any(offer.price.rates) or offer.price.request > 0
