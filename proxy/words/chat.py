"""A chat: the request, the events of its answer, and the frames that carry them.

The request keeps two views of the same thing. The typed one is what every wire can read. `origin` is
the client's own JSON, validated, for a wire that speaks the client's language: nothing a vendor added
is lost on the way. Answers likewise: a `Frame` carries typed events and, beside them, the upstream's
payload, so that a same-language relay passes it as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar, Literal, NamedTuple

from .call import Kind
from .usage import Usage, count
from .value import value
from .wishes import NO_WISHES, Wishes

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
Json = Any
IMAGE_TOKENS = 1105
"""What one image is taken to cost in an estimate: OpenAI's high-detail figure for 1024 x 1024
(platform.openai.com/docs/guides/images-vision, "Calculating costs": 85 + 6 x 170)."""
MADE_IMAGE_TOKENS = 1290
"""What one image of an answer is taken to be where nobody reported it: Gemini's figure for 1024 x 1024
(ai.google.dev/gemini-api/docs/image-generation)."""
MESSAGE_TOKENS = 4
"""Framing tokens per message in an estimate."""


@value
class TextPart:
    """A piece of text."""

    text: str
    cache_control: Mapping[str, Json] | None = None
    """The client's mark, in Anthropic's words, that a provider may cache the prompt up to here."""


@value
class ImagePart:
    """An image by URL, `data:` URLs included. It is passed on, never fetched."""

    url: str
    detail: str | None = None


@value
class ReasoningPart:
    """Reasoning from an earlier turn, as its provider gave it: it goes back unchanged or not at all.

    `signature` proves that `text` is the model's own; `redacted` is reasoning that is given encrypted
    alone. `format` names the provider that can read either, as in OpenRouter's `anthropic-claude-v1`.
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    format: str | None = None


@value
class OpaquePart:
    """A part this vocabulary has no word for (audio, file …), whole."""

    kind: str
    raw: Mapping[str, Json]


Part = TextPart | ImagePart | ReasoningPart | OpaquePart


@value
class ToolUse:
    """A function call an assistant made earlier in the conversation."""

    id: str
    name: str
    arguments: str
    signature: str | None = None
    """The vendor's seal on the reasoning behind the call, which it wants back unchanged."""


@value
class Message:
    """One turn of the conversation."""

    role: Role
    content: tuple[Part, ...] = ()
    name: str | None = None
    tool_calls: tuple[ToolUse, ...] = ()
    tool_call_id: str | None = None


@value
class Tool:
    """A function the model may call; `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Json] | None = None
    strict: bool | None = None
    cache_control: Mapping[str, Json] | None = None
    """As for `TextPart`."""


@value
class Sampling:
    """How tokens are chosen; None leaves it to the model."""

    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: Mapping[str, float] | None = None


@value
class Origin:
    """The client's own request body, validated, and the language it is in."""

    language: str
    body: Mapping[str, Json]
    media_type: str = ""
    """What the client wants its answer to be, where its dialect leaves it a choice."""


@value
class ChatRequest:
    """One chat completion, as asked for. It is the chat's `Call`: it knows how to weigh itself."""

    kind: ClassVar[Kind] = "chat"
    slow: ClassVar[bool] = False

    model: str
    messages: tuple[Message, ...]
    origin: Origin
    prompt_bytes: int
    """UTF-8 bytes of all text that becomes prompt tokens, tools included."""
    images: int = 0
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    n: int = 1
    sampling: Sampling = Sampling()
    tools: tuple[Tool, ...] = ()
    other_tools: tuple[Mapping[str, Json], ...] = ()
    """Tools that are no functions, a vendor's own, whole."""
    tool_choice: Json = None
    parallel_tool_calls: bool | None = None
    response_format: Mapping[str, Json] | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    wishes: Wishes = NO_WISHES
    extra: Mapping[str, Json] = field(default_factory=dict)
    """Fields outside this vocabulary, by name."""

    @property
    def choices(self) -> int:
        """How many answers were asked for."""
        return self.n

    @property
    def events(self) -> bool:
        """Whether the answer is a stream of events."""
        return self.stream

    def prompt_tokens(self, ratio: int) -> int:
        """Return the prompt's tokens by our own count (`usage.count`), images by a flat figure."""
        return (
            count(self.prompt_bytes, ratio) + len(self.messages) * MESSAGE_TOKENS + self.images * IMAGE_TOKENS
        )

    def forecast(self, ratio: int, output_cap: int) -> Usage:
        """Return the usage a hold is made for: the whole prompt, and every choice to its limit."""
        limit = output_cap if self.max_tokens is None else min(self.max_tokens, output_cap)
        return Usage(input=self.prompt_tokens(ratio), output=limit * self.n)


class Started(NamedTuple):
    """The upstream began an answer."""

    id: str
    model: str
    created: int


class TextDelta(NamedTuple):
    """Answer text."""

    text: str
    choice: int = 0


class ReasoningDelta(NamedTuple):
    """Text of the model's reasoning."""

    text: str
    choice: int = 0


class ReasoningSealed(NamedTuple):
    """A stretch of reasoning is over; `part` holds all of it, for the client to send back with its next turn.

    The deltas before it carried the same text.
    """

    part: ReasoningPart
    choice: int = 0


class RefusalDelta(NamedTuple):
    """Text of a refusal."""

    text: str
    choice: int = 0


class ImageDelta(NamedTuple):
    """An image the model made, whole, as a `data:` URL."""

    url: str
    choice: int = 0


class ToolCallDelta(NamedTuple):
    """A fragment of a tool call; `id` and `name` come with the first fragment at each `position`."""

    position: int
    id: str | None
    name: str | None
    arguments: str
    choice: int = 0
    signature: str | None = None
    """As `ToolUse.signature`; with the first fragment."""


class TokenScore(NamedTuple):
    """A token of the answer, its log probability, and those of the likeliest tokens in its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class ScoresDelta(NamedTuple):
    """How likely the next tokens of the answer were; no text of its own."""

    scores: tuple[TokenScore, ...]
    choice: int = 0


class OpaqueDelta(NamedTuple):
    """Output this vocabulary has no word for (audio, images …); `size` is the bytes of text it counts as."""

    size: int
    choice: int = 0


class Embedded(NamedTuple):
    """Vectors, in the order of what they were made of."""

    vectors: tuple[tuple[float, ...], ...]
    choice: int = 0


class UsageReport(NamedTuple):
    """What the upstream says it used; `trusted` is False where the figures cannot be true."""

    usage: Usage
    trusted: bool = True


class Finished(NamedTuple):
    """A choice ended; `reason` is `stop`, `length`, `tool_calls`, `content_filter` or the upstream's own."""

    reason: str
    choice: int = 0


Event = (
    Started
    | TextDelta
    | ReasoningDelta
    | ReasoningSealed
    | RefusalDelta
    | ImageDelta
    | ToolCallDelta
    | OpaqueDelta
    | Embedded
    | ScoresDelta
    | UsageReport
    | Finished
)
CONTENT = (
    TextDelta,
    ReasoningDelta,
    ReasoningSealed,
    RefusalDelta,
    ImageDelta,
    ToolCallDelta,
    OpaqueDelta,
    Embedded,
    Finished,
)
"""Events that show the model has answered; the first of them decides a race."""


class Run(NamedTuple):
    """Payloads alike but for their text, as they came."""

    before: bytes
    """What stands before the text in each."""
    texts: list[bytes]
    after: bytes
    raw: bytes
    """All of them, framed as server-sent events."""
    choice: int = 0
    says_usage: bool = False
    """They have a member `usage`, which is null."""

    def apart(self) -> list[Frame]:
        """Return a frame for each."""
        return [
            Frame(
                (TextDelta(text.decode(), self.choice),),
                plain=True,
                run=self._replace(texts=[text], raw=b"data: %b%b%b\n\n" % (self.before, text, self.after)),
            )
            for text in self.texts
        ]

    def within(self, written: int, size: int) -> int:
        """Return the bytes of text in those that `size` of `written` bytes hold whole."""
        lengths = list(map(len, self.texts))
        frame = (written - sum(lengths)) // len(lengths)
        whole = 0
        for length in lengths:
            size -= frame + length
            if size < 0:
                break
            whole += length
        return whole


class Frame(NamedTuple):
    """One upstream payload: its events, and the payload itself for a relay in the same language.

    With a `run` it stands for several, whose text is one event.
    """

    events: tuple[Event, ...]
    payload: bytes = b""
    body: Json = None
    """The payload, parsed."""
    plain: bool = False
    """Content alone: no usage, error or finish, so that the payload may pass as it came."""
    run: Run | None = None
