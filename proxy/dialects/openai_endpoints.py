"""OpenAI's endpoints beside chats, each a dialect: how it is asked, and how it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.words.call import Call
from proxy.words.errors import GatewayError
from proxy.words.media import EmbeddingRequest, SpeechRequest

from .base import NO_HEADERS, Answer, Encoder
from .form import Form
from .openai_faces import OpenAIFaces, Style
from .openai_media import EmbeddingEncoder, EventEncoder, ObjectEncoder, SoundEncoder
from .openai_media_request import read_transcription


class MediaDialect(OpenAIFaces):
    """An endpoint that takes JSON; `read` reads and checks it."""

    def __init__(self, style: Style, read: Callable[[bytes], Call]) -> None:
        super().__init__(style)
        self._read = read

    def parse(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> Call:
        """Read and check a request."""
        return self._read(body)

    def encoder(self, call: Call, answer: Answer) -> Encoder:
        """Begin to pass an answer on, in the form that was asked for."""
        if call.events:
            return EventEncoder(answer, self.describe)
        match call:
            case EmbeddingRequest():
                return EmbeddingEncoder(answer, call.encoding)
            case SpeechRequest():
                return SoundEncoder(answer)
            case _:
                return ObjectEncoder(answer)


class RecordingDialect(MediaDialect):
    """An endpoint that takes a form with a recording in it."""

    def __init__(self, style: Style, *, translate: bool) -> None:
        super().__init__(style, _no_form)
        self._translate = translate

    def parse_form(self, form: Form) -> Call:
        """Read and check a request."""
        return read_transcription(form, translate=self._translate)


def _no_form(_: bytes) -> Call:
    raise GatewayError("unsupported_media_type", "The request's content type must be multipart/form-data.")
