"""Calls that are no chats: embeddings, speech, transcriptions, images. Each knows how to weigh itself.

They are mostly passed on in the language they came in; typed is what the gateway itself must know to hold,
to bill, and to write them for another wire. What is billed by the piece is known before anything is sent:
characters to be spoken, seconds of sound, images asked for. Where such a model is priced by tokens instead
and its provider reports none, they are estimated from these; each figure says where it is from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from .call import Kind
from .chat import Origin
from .upload import Upload
from .usage import Usage, count
from .wishes import NO_WISHES, Wishes

HEARD_TOKENS: Final = 17
"""Tokens of a second of sound: $0.006 a minute is OpenAI's own estimate at $6 a million
(platform.openai.com/docs/pricing, "Transcription and speech generation")."""
WRITTEN_TOKENS: Final = 5
"""Tokens of the text that a second of speech becomes: fast speech is four words a second."""
FASTEST: Final = 100
"""Bytes of text that no second of speech becomes more of, marks of time included: six words of English a
second are 36, of scripts with three bytes to a letter some 60."""
SPOKEN_TOKENS: Final = 21
"""Tokens of a second of speech that is made: $0.015 a minute at $12 a million (the same page)."""
SPOKEN_CHARACTERS: Final = 15
"""Characters that are spoken in a second: 150 words a minute."""
_SIDES: Final[Mapping[str, int]] = {"low": 408, "medium": 1584, "high": 6240}
_SQUARE: Final[Mapping[str, int]] = {"low": 272, "medium": 1056, "high": 4160}
"""Tokens of an image by its quality, square or not; what is left to the model is taken to be the dearest
(platform.openai.com/docs/guides/image-generation, "Cost and latency")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaCall:
    """What calls that are no chats have in common; see `call.Call`."""

    kind: ClassVar[Kind]
    slow: ClassVar[bool] = False
    max_tokens: ClassVar[int | None] = None
    choices: ClassVar[int] = 1

    model: str
    origin: Origin
    stream: bool = False
    events: bool = False
    wishes: Wishes = NO_WISHES

    def prompt_tokens(self, ratio: int) -> int:
        """Return the tokens that go in, by our own count."""
        return self.forecast(ratio, 0).prompt_tokens

    def forecast(self, ratio: int, output_cap: int) -> Usage:
        """See `call.Call`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest(MediaCall):
    """Texts, or lists of tokens, to be made vectors."""

    kind: ClassVar[Kind] = "embeddings"

    inputs: tuple[str | tuple[int, ...], ...]
    text_bytes: int
    tokens: int
    """Of those inputs that are lists of them."""
    encoding: Literal["float", "base64"] = "float"
    dimensions: int | None = None

    def forecast(self, ratio: int, output_cap: int) -> Usage:
        """See `call.Call`."""
        return Usage(input=count(self.text_bytes, ratio) + self.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest(MediaCall):
    """A text to be spoken. `told_bytes` are of the text and of how to say it."""

    kind: ClassVar[Kind] = "speech"

    characters: int
    told_bytes: int
    format: str = "mp3"

    def forecast(self, ratio: int, output_cap: int) -> Usage:
        """See `call.Call`."""
        sound = -(-self.characters * SPOKEN_TOKENS // SPOKEN_CHARACTERS)
        return Usage(input=count(self.told_bytes, ratio), output_audio=sound, characters=self.characters)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionRequest(MediaCall):
    """A recording to be written down, as it is or in English."""

    kind: ClassVar[Kind] = "transcription"
    slow: ClassVar[bool] = True

    fields: tuple[tuple[str, str], ...]
    """The form's fields but the model, in the order they came."""
    upload: Upload
    filename: str
    content_type: str
    seconds: int
    """How long the recording is, rounded up, as far as can be told."""
    translate: bool = False
    prompt_bytes: int = 0
    format: str = "json"

    def forecast(self, ratio: int, output_cap: int) -> Usage:
        """See `call.Call`."""
        return self.heard(self.seconds, ratio)._replace(output=self.seconds * WRITTEN_TOKENS)

    def at_least(self, written: int) -> int:
        """Return the seconds of a recording that became so many bytes of text: a header may have lied."""
        return max(self.seconds, -(-written // FASTEST))

    def heard(self, seconds: int, ratio: int) -> Usage:
        """Return what goes in where the recording has that many seconds."""
        told = count(self.prompt_bytes, ratio)
        return Usage(input=told, input_audio=seconds * HEARD_TOKENS, seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest(MediaCall):
    """Images to be made."""

    kind: ClassVar[Kind] = "images"
    slow: ClassVar[bool] = True

    prompt_bytes: int
    n: int = 1
    size: str | None = None
    quality: str | None = None

    def forecast(self, ratio: int, output_cap: int) -> Usage:
        """See `call.Call`."""
        return self.made(self.n, ratio)

    def made(self, images: int, ratio: int) -> Usage:
        """Return what so many images come to where nobody counts their tokens."""
        width, _, height = (self.size or "").partition("x")
        table = _SQUARE if width and width == height else _SIDES
        tokens = images * table.get(self.quality or "", table["high"])
        return Usage(input=count(self.prompt_bytes, ratio), output_image=tokens, images=images)
