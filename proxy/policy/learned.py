"""What finished requests have shown of each model, for the estimates of the next ones. Pure: no time, no I/O.

Three figures of a model: bytes of text to a prompt's token and to an answer's token (medians), and how long
an answer gets where nobody limits it (the 95th percentile). They come from chats of text alone that went
well and whose upstream reported usage we believe; images, files, tools, schemas and reasoning have tokens
that are no text's, so such requests teach nothing of ratios. Tokens read from a cache are tokens of the
prompt like any other.

Prompts and answers are the clients' to choose, so a figure must not be one client's to set:

- An account has at most `SHARE` samples of a window of `SAMPLES`, and whichever has most gives way first.
- Accounts weigh alike, however much they ask, once they have `FULL` samples. Beside two others that use the
  model, one account moves a median by no more than from the half to a quarter or three quarters of the
  others' samples, and brings an answer's 95th percentile down to no less than their 92nd.
- What it gains or costs anybody is bounded: ratios stay within `LEAST` to `MOST`, half and one and a half
  of the default; a length can only make the hold smaller than the default, never larger, and not less than
  `FLOOR`. A hold that was too small grows while the answer runs, so the worst of it is one more operation.

An answer much of which nobody was shown, hidden reasoning, counts as endless: it costs without being
relayed, so the meter could not grow its hold in time.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import orjson

from proxy.bank.record import Record
from proxy.words.chat import MESSAGE_TOKENS
from proxy.words.spoken import Sizes
from proxy.words.usage import MAX_TOKENS, Usage

SAMPLES: Final = 256
SHARE: Final = 64
FULL: Final = 8
ENOUGH: Final = 32
"""Samples before a figure is used."""
EVERY: Final = 8
"""Samples after which figures are drawn anew."""
MODELS: Final = 128
"""The models remembered, those last used."""
LEAST: Final = 2000
MOST: Final = 6000
"""Thousandths of a byte per token."""
STEP: Final = 250
"""Thousandths of a byte per token, to whose multiples an answer's ratio is rounded up."""
FLOOR: Final = 64
"""Tokens of the shortest answer held for."""
_ODD: Final = range(1000, 8001)
"""Ratios that can be text's."""
_LONG_PROMPT: Final = 400
_LONG_ANSWER: Final = 50
"""Bytes and tokens from which on rounding and framing no longer matter to a ratio."""
_HIDDEN: Final = 2
"""Bytes relayed per token below which something was not shown."""
_WEIGHT: Final = 1_000_000


class Lesson(NamedTuple):
    """What one request shows: ratios in thousandths of a byte per token, and the tokens of one choice.

    None is nothing.
    """

    prompt: int | None = None
    answer: int | None = None
    output: int | None = None


class Figures(NamedTuple):
    """What is known of a model: two ratios, and the output tokens of a choice to hold for; None: not yet."""

    prompt: int | None = None
    answer: int | None = None
    output: int | None = None


UNKNOWN: Final = Figures()


class Known(Protocol):
    """Who can tell what is known of models."""

    def figures(self, model: str) -> Figures:
        """Return what is known of a model."""
        ...


class Told:
    """What another process has learnt, as it told us last."""

    def __init__(self) -> None:
        self._figures: dict[str, Figures] = {}

    def __repr__(self) -> str:
        return f"<Told of {len(self._figures)} models>"

    def figures(self, model: str) -> Figures:
        """See `Known`."""
        return self._figures.get(model, UNKNOWN)

    def take(self, table: Sequence[Sequence[Any]]) -> None:
        """Take in what `Learned.table` gave, in place of what there was."""
        self._figures = {model: Figures(*rest) for model, *rest in table}


class Learned:
    """The figures by model. The models that were used last are kept."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, _Model] = OrderedDict()
        self._changed: set[str] = set()

    def __repr__(self) -> str:
        return f"<Learned {len(self._models)} models>"

    def figures(self, model: str) -> Figures:
        """Return what is known of a model."""
        known = self._models.get(model)
        return UNKNOWN if known is None else known.figures

    def observe(self, record: Record) -> None:
        """Learn from a finished request, if it has something to teach."""
        if record.sizes is None or record.outcome != "ok" or record.estimated:
            return
        found = lesson(record.sizes, record.usage)
        if any(each is not None for each in found):
            self.learn(record.model, record.account, found)

    def learn(self, model: str, account: int, found: Lesson) -> None:
        """Take in what one request of an account showed of a model."""
        known = self._models.get(model)
        if known is None:
            known = self._models[model] = _Model()
            if len(self._models) > MODELS:
                self._changed.discard(self._models.popitem(last=False)[0])
        self._models.move_to_end(model)
        known.learn(account, found)
        self._changed.add(model)

    def table(self) -> list[tuple[str, int | None, int | None, int | None]]:
        """Return all figures there are, each with its model."""
        return [(model, *known.figures) for model, known in self._models.items() if known.figures != UNKNOWN]

    def names(self) -> list[str]:
        """Return the models that are remembered."""
        return list(self._models)

    def changes(self) -> dict[str, str]:
        """Return, once, the models that have changed since this was last asked, each as text."""
        changed, self._changed = self._changed, set()
        return {model: self._models[model].dump() for model in changed if model in self._models}

    def unsaved(self, models: Mapping[str, str]) -> None:
        """Take back that these changes were kept."""
        self._changed.update(models)

    def restore(self, model: str, text: str) -> None:
        """Take in what `changes` gave. Raises ValueError where the text is not that; nothing is changed."""
        self._models[model] = _Model.load(text)
        self._models.move_to_end(model)
        if len(self._models) > MODELS:
            self._models.popitem(last=False)


def lesson(sizes: Sizes, usage: Usage) -> Lesson:
    """Return what a chat of text alone shows, by the upstream's figures for it."""
    shown = sizes.answer_bytes + sizes.reasoning_bytes
    tokens = usage.completion_tokens
    hidden = tokens >= _LONG_ANSWER and shown < tokens * _HIDDEN
    plain = not (
        hidden or sizes.reasoning_bytes or usage.reasoning or usage.output_audio or usage.output_image
    )
    framing = sizes.turns * MESSAGE_TOKENS
    return Lesson(
        prompt=_ratio(sizes.prompt_bytes, usage.prompt_tokens - framing, sizes.prompt_bytes >= _LONG_PROMPT)
        if sizes.plain
        else None,
        answer=_ratio(shown, tokens, plain and tokens >= _LONG_ANSWER) if sizes.plain else None,
        output=(MAX_TOKENS if hidden else -(-tokens // sizes.choices)) if sizes.open_ended else None,
    )


def _ratio(size: int, tokens: int, telling: bool) -> int | None:  # noqa: FBT001 - ours
    if not telling or tokens <= 0:
        return None
    ratio = size * 1000 // tokens
    return ratio if ratio in _ODD else None


class _Model:
    """The windows of one model, and what was last read from them."""

    __slots__ = ("figures", "since", "windows")

    def __init__(self) -> None:
        self.windows = (_Window(), _Window(), _Window())
        self.figures = UNKNOWN
        self.since = 0

    def learn(self, account: int, found: Lesson) -> None:
        for window, value in zip(self.windows, found, strict=True):
            if value is not None:
                window.add(account, value)
        self.since += 1
        if self.since >= EVERY:
            self.draw()

    def draw(self) -> None:
        self.since = 0
        prompt, answer, output = self.windows
        self.figures = Figures(
            _bounded(prompt.read(500)), _generous(_bounded(answer.read(500))), _held(output.read(950))
        )

    def dump(self) -> str:
        return orjson.dumps([window.dump() for window in self.windows]).decode()

    @classmethod
    def load(cls, text: str) -> _Model:
        model = cls()
        for window, given, most in zip(
            model.windows, _listed(orjson.loads(text), 3), (_ODD[-1], _ODD[-1], MAX_TOKENS), strict=True
        ):
            window.load(given, most)
        model.draw()
        return model


class _Window:
    """The last samples, each account's apart."""

    __slots__ = ("_by_account", "_count")

    def __init__(self) -> None:
        self._by_account: OrderedDict[int, deque[int]] = OrderedDict()
        self._count = 0

    def add(self, account: int, value: int) -> None:
        own = self._by_account.setdefault(account, deque())
        own.append(value)
        self._by_account.move_to_end(account)
        self._count += 1
        if len(own) > SHARE:
            own.popleft()
            self._count -= 1
        elif self._count > SAMPLES:
            # `max` takes the first of equals: the account that was seen least recently.
            fullest = max(self._by_account, key=lambda each: len(self._by_account[each]))
            self._by_account[fullest].popleft()
            self._count -= 1
            if not self._by_account[fullest]:
                del self._by_account[fullest]

    def read(self, per_mille: int) -> int | None:
        """Return the value below which that share of the weight is; None while there are too few."""
        if self._count < ENOUGH:
            return None
        weighed = sorted(
            (value, min(len(own), FULL) * _WEIGHT // len(own))
            for own in self._by_account.values()
            for value in own
        )
        rank = -(-sum(weight for _, weight in weighed) * per_mille // 1000)
        for value, weight in weighed:
            rank -= weight
            if rank <= 0:
                return value
        return weighed[-1][0]

    def dump(self) -> list[Any]:
        return [[account, list(own)] for account, own in self._by_account.items()]

    def load(self, given: Any, most: int) -> None:
        for pair in _listed(given):
            account, values = _listed(pair, 2)
            for value in (account, *_listed(values)):
                if type(value) is not int or value < 0:
                    raise ValueError(f"not a whole number: {value!r:.40}")
            for value in values:
                if value > most:
                    raise ValueError(f"out of range: {value}")
                self.add(account, value)


def _listed(value: Any, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise ValueError(f"not a list of {length or 'any'} parts")
    return value


def _bounded(ratio: int | None) -> int | None:
    return None if ratio is None else min(max(ratio, LEAST), MOST)


def _generous(ratio: int | None) -> int | None:
    """Round up: a hair below the truth would count a short answer's one token as two, and break it off."""
    return None if ratio is None else -(-ratio // STEP) * STEP


def _held(output: int | None) -> int | None:
    """Return the output to hold for: a quarter above the 95th percentile."""
    return None if output is None else max(output * 5 // 4, FLOOR)
