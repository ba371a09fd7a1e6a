"""What becomes of each field of an OpenAI request at an Anthropic upstream: one table.

Nothing is dropped in silence: a field is sent, mapped, ignored for the reason given here, or refused. The
base is Anthropic's own compatibility layer (platform.claude.com/docs/en/api/openai-sdk), which ignores most
of what it cannot do; we refuse where the client would take the answer for another than it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError

How = Literal["sent", "mapped", "ignored", "refused"]


class Row(NamedTuple):
    """The fate of a field, and why or as what."""

    how: How
    note: str = ""


_NO_WORD: Final = "the protocol has nothing like it"
_HINT: Final = "a hint that changes no answer"
COMPATIBILITY: Final[Mapping[str, Row]] = {
    "model": Row("mapped", "to the provider's id"),
    "messages": Row("mapped", "consecutive turns of one role become one"),
    "messages[].role: system, developer": Row(
        "mapped", "to `system`, joined by line ends, wherever they stand"
    ),
    "messages[].role: tool": Row("mapped", "to `tool_result`"),
    "messages[].role: function": Row("refused", "its results name no call; use tools"),
    "messages[].name": Row("ignored", _NO_WORD),
    "messages[].content[].text": Row("sent"),
    "messages[].content[].cache_control": Row("sent", "on text, as OpenRouter takes it"),
    "messages[].content[].prompt_cache_breakpoint": Row("ignored", _HINT),
    "messages[].content[].image_url": Row("mapped", "`data:` and http URLs"),
    "messages[].content[].image_url.detail": Row("ignored", _NO_WORD),
    "messages[].content[].file": Row("mapped", "to `document`: PDF and plain text, as `file_data`"),
    "messages[].content[].input_audio": Row("refused", "the models do not hear"),
    "messages[].tool_calls": Row("mapped", "to `tool_use`; the arguments must be a JSON object"),
    "messages[].function_call": Row("ignored", "its answer, of role function, is refused"),
    "messages[].refusal": Row("ignored", "the member; a part of that type is sent as text"),
    "messages[].audio": Row("ignored", "the models do not hear"),
    "messages[].reasoning_details": Row("mapped", "to signed thinking, where a Claude model gave it"),
    "messages[].reasoning_content": Row("ignored", "without its signature it cannot come back"),
    "stream": Row("mapped", "upstream always streams"),
    "stream_options": Row("mapped", "usage is always reported upstream"),
    "max_tokens": Row("mapped", "the model's own limit where absent: Anthropic demands one"),
    "max_completion_tokens": Row("mapped", "as `max_tokens`"),
    "n": Row("refused", "unless 1"),
    "temperature": Row(
        "mapped", "above 1 it is 1; left out where the model thinks or takes none (from 4.7 on)"
    ),
    "top_p": Row("mapped", "as `temperature`; 1 is left out beside one"),
    "top_k": Row("mapped", "as `temperature`"),
    "presence_penalty": Row("ignored", _NO_WORD),
    "frequency_penalty": Row("ignored", _NO_WORD),
    "seed": Row("ignored", "a wish at OpenAI too, and no promise"),
    "stop": Row("mapped", "to `stop_sequences`; white space alone is refused"),
    "logprobs": Row("refused", "unless false"),
    "top_logprobs": Row("refused", "unless 0"),
    "logit_bias": Row("refused", "unless empty"),
    "tools": Row("mapped", "functions alone"),
    "tools[].function": Row("mapped", "`parameters` to `input_schema`"),
    "tools[].function.strict": Row("sent", "where true"),
    "tools[].cache_control": Row("sent"),
    "tools[].type: other than function": Row("refused", _NO_WORD),
    "tool_choice": Row("mapped", "auto, none, required (any), a function by name (tool)"),
    "parallel_tool_calls": Row("mapped", "false to `disable_parallel_tool_use`"),
    "functions": Row("refused", "use tools"),
    "function_call": Row("refused", "use tool_choice"),
    "response_format": Row(
        "mapped", "json_schema to `output_config.format`, text is nothing; others refused"
    ),
    "reasoning_effort": Row("mapped", "to adaptive thinking and `output_config.effort`, or to a budget"),
    "thinking": Row("sent", "as Anthropic's compatibility layer takes it"),
    "cache_control": Row("sent", "marks the last block that can be cached"),
    "user": Row("mapped", "to `metadata.user_id`"),
    "safety_identifier": Row("mapped", "as `user`, which comes first"),
    "metadata": Row("ignored", "labels of a request stored at OpenAI"),
    "store": Row("ignored", "nothing is stored"),
    "service_tier": Row("ignored", "the account's own tier applies"),
    "prediction": Row("ignored", _HINT),
    "prompt_cache_key": Row("ignored", _HINT),
    "prompt_cache_options": Row("ignored", _HINT),
    "prompt_cache_retention": Row("ignored", _HINT),
    "verbosity": Row("ignored", _NO_WORD),
    "usage": Row("ignored", "usage is always reported"),
    "moderation": Row("refused", _NO_WORD),
    "modalities": Row("refused", "unless text"),
    "audio": Row("refused", "the models do not speak"),
    "web_search_options": Row("refused", _NO_WORD),
}
"""By the field's name in the request; what is not listed is refused."""
_IGNORED: Final = frozenset(
    name for name, row in COMPATIBILITY.items() if row.how == "ignored" and "[" not in name
)
_CARRIED: Final[Mapping[str, tuple[type, str]]] = {
    "thinking": (dict, "an object"),
    "cache_control": (dict, "an object"),
    "top_k": (int, "an integer"),
    "safety_identifier": (str, "a string"),
}
"""Fields outside the words that the request is made of too, and what each must be."""
_SHAPING: Final = ("presence_penalty", "frequency_penalty", "seed", "verbosity")
"""Ignored fields that would change an answer: refused where the request wants none of its own ignored."""
_HARMLESS: Final[Mapping[str, Any]] = {"modalities": ["text"], "functions": [], "function_call": "none"}
"""Values of refused fields that ask for nothing."""


def check(call: ChatRequest) -> None:
    """Refuse what an Anthropic upstream would answer wrongly.

    Raises:
        GatewayError: `unsupported_parameter`, with the first such field in `param`.
    """
    sampling = call.sampling
    asked: dict[str, Any] = {
        "n": call.n != 1,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
        "logit_bias": sampling.logit_bias,
        "tools": call.other_tools,
        "stop": any(not text.strip() for text in sampling.stop),
    }
    if call.wishes.require_parameters:
        shaping = {name: getattr(sampling, name, call.extra.get(name)) for name in _SHAPING}
        asked |= {name: value is not None for name, value in shaping.items()}
    for name, value in asked.items():
        if value:
            raise _refusal(name)
    for name, value in call.extra.items():
        if name in _CARRIED:
            _check_shape(name, value)
        elif name not in _IGNORED and value is not None and value != _HARMLESS.get(name):
            raise _refusal(name)


def markdown() -> str:
    """Write the table for people."""
    rows = [f"| `{name}` | {row.how} | {row.note} |" for name, row in COMPATIBILITY.items()]
    return "\n".join(["| field | | |", "|---|---|---|", *rows, ""])


def _check_shape(name: str, value: object) -> None:
    kind, called = _CARRIED[name]
    if value is not None and type(value) is not kind:
        raise GatewayError("invalid_request", f"'{name}' must be {called}.", param=name)


def _refusal(name: str) -> GatewayError:
    row = COMPATIBILITY.get(name)
    why = f" ({row.note})" if row is not None and row.how == "refused" and row.note else ""
    text = f"'{name[:64]}' is not supported by this model's provider{why}."
    return GatewayError("unsupported_parameter", text, param=name[:64])
