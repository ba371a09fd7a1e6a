"""OpenAI's legacy text completions, over chat: the prompt is one message of the user's.

Source: platform.openai.com/docs/api-reference/completions. A chat answers what it is told rather than going
on with it, so what needs the text itself continued or scored (`suffix`, `logprobs`, `best_of`, prompts of
tokens) is refused; so are several prompts at once, which would be several requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from proxy.words.call import Call
from proxy.words.chat import ChatRequest, Origin

from .base import NO_HEADERS, Answer, Encoder, parse_json
from .completions_answer import Completion, StreamEncoder, WholeEncoder
from .fields import Body, boolean, invalid, refuse, unsupported
from .openai import OpenAIDialect
from .openai_request import read_chat

DEFAULT_TOKENS: Final = 16
"""OpenAI's limit on an answer for which none was asked."""
_REFUSED: Final[Mapping[str, tuple[object, ...]]] = {
    "suffix": (None, ""),
    "logprobs": (None,),
    "best_of": (None, 1),
}
"""Fields that cannot be served over chat, and the values that ask for nothing."""
_OURS: Final = frozenset({"prompt", "echo", *_REFUSED})


class CompletionsDialect(OpenAIDialect):
    """Text completions; failures look as they do for chat completions."""

    def parse(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> ChatRequest:
        """Read and check a request for a text completion."""
        return _read(parse_json(body))

    def encoder(self, call: Call, answer: Answer) -> Encoder:
        """Begin a stream of text, or a whole completion."""
        assert isinstance(call, ChatRequest)  # noqa: S101 - `parse` made it
        echo = _prompt(call.origin.body) if call.origin.body.get("echo") else ""
        completion = Completion(answer, echo)
        if call.stream:
            return StreamEncoder(completion, include_usage=call.include_usage, describe=self.describe)
        return WholeEncoder(completion)


def _read(body: dict[str, Any]) -> ChatRequest:
    for name, harmless in _REFUSED.items():
        if body.get(name) not in harmless:
            raise unsupported(name, "cannot be had of a chat model")
    boolean(body, "echo")
    if body.get("messages") is not None:
        refuse("messages", "belong to chat/completions; this takes a 'prompt'")
    chat = {name: value for name, value in body.items() if name not in _OURS and value is not None}
    chat |= {"messages": [{"role": "user", "content": _prompt(body)}]}
    chat.setdefault("max_tokens", DEFAULT_TOKENS)
    return replace(read_chat(chat), origin=Origin("completions", body))


def _prompt(body: Body) -> str:
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return prompt
    if isinstance(prompt, list) and prompt and all(isinstance(item, str) for item in prompt):
        refuse("prompt", "may hold one text; send a request for each")
    raise invalid("prompt", "must be a string or an array of one, not empty; tokens cannot be read")
