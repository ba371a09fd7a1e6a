"""Reading an OpenAI chat completion request into words, with a clear refusal for every wrong field.

Source: platform.openai.com/docs/api-reference/chat/create. Bounds are OpenAI's where it states them,
else limits that no honest request meets (research: hostile input).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import orjson

from proxy.words.chat import (
    ChatRequest,
    ImagePart,
    Message,
    OpaquePart,
    Origin,
    Part,
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolUse,
)
from proxy.words.usage import text_size

from .fields import Body, array, boolean, integer, mapping, model_name, number, refuse, string, unsupported
from .openai_reasoning import read_details
from .weight import Weight
from .wishes import take_wishes

MAX_MESSAGES: Final = 20_000
MAX_TOOLS: Final = 1000
MAX_CHOICES: Final = 8
_MAX_TOKENS: Final = 2**31 - 1
_SCHEMA_BYTES: Final = 256 * 1024
_ROLES: Final = frozenset(get_args(Role))
_SCHEMAS: Final = ("tools", "functions", "response_format")
"""Fields whose JSON a model reads as part of its prompt."""
_KNOWN: Final = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n"),
        *("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop"),
        *("logprobs", "top_logprobs", "logit_bias", "tools", "tool_choice", "parallel_tool_calls"),
        *("response_format", "reasoning_effort", "user"),
    }
)

_PRICED_APART: Final = frozenset(
    {
        *("preset", "plugins", "transforms", "web_search_options", "best_of"),
        *("search_parameters", "enable_search", "search_settings", "compound_custom"),
    }
)
"""Fields by which an aggregator would answer with another model, or a provider do work that no token of the
answer shows: the client's price is not made for it (openrouter.ai/docs, "Plugins" and "Presets";
platform.openai.com/docs/guides/tools-web-search; docs.x.ai/docs/guides/live-search; Model Studio's
`enable_search`; console.groq.com/docs/compound; `best_of` bills answers nobody sees)."""
_ASKED_BY_NAME: Final = frozenset({"web_search_options"})
"""Of these an empty object asks for all of it: whoever names one at all wants it."""
_TOOLS: Final = frozenset({"function", "custom"})
"""Kinds of tools the client runs. A provider charges by the call for those it runs itself."""

_WEIGHED: Final = frozenset({"role", "content"})
"""Members of a message that are weighed by themselves, or not at all; of the others the JSON is."""


def read_chat(body: dict[str, Any]) -> ChatRequest:
    """Read a checked request. Raises GatewayError naming the first field at fault."""
    wishes = take_wishes(body)
    _check_priced(body)
    messages, weight = _messages(body)
    tools, other_tools = _tools(body)
    stream = boolean(body, "stream") or False
    effort = string(body, "reasoning_effort", 32)
    extra = {name: value for name, value in body.items() if name not in _KNOWN}
    # What we have no word for is sent on, so it is taken to be prompt, as schemas are.
    weight.text += sum(len(orjson.dumps(body[name])) for name in {*_SCHEMAS, *extra} if body.get(name))
    return ChatRequest(
        model=model_name(body),
        messages=messages,
        origin=Origin("openai", body),
        prompt_bytes=weight.text,
        images=weight.images,
        stream=stream,
        include_usage=_include_usage(body, stream=stream),
        max_tokens=_max_tokens(body),
        n=integer(body, "n", 1, MAX_CHOICES) or 1,
        sampling=_sampling(body),
        tools=tools,
        other_tools=other_tools,
        tool_choice=_tool_choice(body),
        parallel_tool_calls=boolean(body, "parallel_tool_calls"),
        response_format=_response_format(body),
        reasoning_effort=effort,
        user=string(body, "user", 512),
        wishes=wishes,
        extra=extra,
    )


def _check_priced(body: Body) -> None:
    for name in _PRICED_APART & body.keys():
        if body[name] or (name in _ASKED_BY_NAME and body[name] is not None):
            raise unsupported(name)


def _max_tokens(body: Body) -> int | None:
    newer = integer(body, "max_completion_tokens", 1, _MAX_TOKENS)
    older = integer(body, "max_tokens", 1, _MAX_TOKENS)
    # A provider may obey either.
    return max(newer, older) if newer is not None and older is not None else newer or older


def _include_usage(body: Body, *, stream: bool) -> bool:
    options = mapping(body, "stream_options", 16)
    if options is None:
        return False
    if not stream:
        refuse("stream_options", "is only allowed when 'stream' is true")
    wanted = options.get("include_usage")
    if wanted is not None and type(wanted) is not bool:
        refuse("stream_options.include_usage", "must be true or false")
    return wanted is True


def _sampling(body: Body) -> Sampling:
    return Sampling(
        temperature=number(body, "temperature", 0, 2),
        top_p=number(body, "top_p", 0, 1),
        presence_penalty=number(body, "presence_penalty", -2, 2),
        frequency_penalty=number(body, "frequency_penalty", -2, 2),
        seed=integer(body, "seed", -(2**63), 2**63 - 1),
        stop=_stop(body),
        logprobs=boolean(body, "logprobs"),
        top_logprobs=integer(body, "top_logprobs", 0, 20),
        logit_bias=_logit_bias(body),
    )


def _stop(body: Body) -> tuple[str, ...]:
    if isinstance(body.get("stop"), str):
        return (body["stop"],)
    stop = array(body, "stop", 16) or []
    if not all(isinstance(item, str) for item in stop):
        refuse("stop", "must be a string or an array of strings")
    return tuple(stop)


def _logit_bias(body: Body) -> Mapping[str, float] | None:
    bias = mapping(body, "logit_bias", 1024)
    if bias and not all(type(value) in {int, float} and -100 <= value <= 100 for value in bias.values()):
        refuse("logit_bias", "must map tokens to numbers between -100 and 100")
    return bias


def _response_format(body: Body) -> Mapping[str, Any] | None:
    wanted = mapping(body, "response_format", 16)
    if wanted is None:
        return None
    kind = wanted.get("type")
    if not isinstance(kind, str):
        refuse("response_format.type", "must be a string")
    if kind == "json_schema" and not isinstance(wanted.get("json_schema"), dict):
        refuse("response_format.json_schema", "must be an object")
    return wanted


def _tool_choice(body: Body) -> Any:
    choice = body.get("tool_choice")
    if choice is not None and not isinstance(choice, str | dict):
        refuse("tool_choice", "must be a string or an object")
    return choice


def _tools(body: Body) -> tuple[tuple[Tool, ...], tuple[Body, ...]]:
    """Functions become words; a vendor's own kinds of tool are kept whole."""
    found, others = [], []
    for index, tool in enumerate(array(body, "tools", MAX_TOOLS) or []):
        where = f"tools[{index}]"
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            refuse(where, "must be an object with a 'type'")
        if tool["type"] not in _TOOLS:
            raise unsupported(f"{where}.type")
        if tool["type"] == "function":
            found.append(_function(tool.get("function"), f"{where}.function", _cache_control(tool)))
        else:
            others.append(tool)
    return tuple(found), tuple(others)


def _function(function: Any, where: str, cache_control: Mapping[str, Any] | None) -> Tool:
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        refuse(where, "must be an object with a 'name'")
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        refuse(f"{where}.parameters", "must be an object")
    if parameters and len(orjson.dumps(parameters)) > _SCHEMA_BYTES:
        refuse(f"{where}.parameters", f"must have at most {_SCHEMA_BYTES} bytes")
    strict = function.get("strict")
    if strict is not None and type(strict) is not bool:
        refuse(f"{where}.strict", "must be true or false")
    described = _string(function, "description", where)
    return Tool(function["name"], described, parameters, strict, cache_control)


def _messages(body: Body) -> tuple[tuple[Message, ...], Weight]:
    items = array(body, "messages", MAX_MESSAGES)
    if not items:
        refuse("messages", "must be a non-empty array")
    weight = Weight()
    return tuple([_message(item, f"messages[{index}]", weight) for index, item in enumerate(items)]), weight


def _message(item: Any, where: str, weight: Weight) -> Message:
    if not isinstance(item, dict):
        refuse(where, "must be an object")
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        refuse(f"{where}.role", f"must be one of {', '.join(sorted(_ROLES))}")
    uses = _tool_uses(item, where)
    content = _content(item.get("content"), f"{where}.content", weight)
    if role == "assistant":
        content = (*read_details(item), *content)
    elif not content:
        refuse(f"{where}.content", "is required")
    call_id = _string(item, "tool_call_id", where)
    if role == "tool" and call_id is None:
        refuse(f"{where}.tool_call_id", "is required")
    if len(item) > len(_WEIGHED):
        weight.text += sum(len(orjson.dumps(item[name])) for name in item.keys() - _WEIGHED if item[name])
    return Message(role, content, _string(item, "name", where), uses, call_id)  # type: ignore[arg-type]


def _string(item: Body, name: str, where: str) -> str | None:
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        refuse(f"{where}.{name}", "must be a string")
    return value


def _tool_uses(item: Body, where: str) -> tuple[ToolUse, ...]:
    calls = item.get("tool_calls")
    if calls is None:
        return ()
    if not isinstance(calls, list):
        refuse(f"{where}.tool_calls", "must be an array")
    return tuple([_tool_use(call, f"{where}.tool_calls[{i}]") for i, call in enumerate(calls)])


def _tool_use(call: Any, where: str) -> ToolUse:
    if not isinstance(call, dict) or not isinstance(call.get("id"), str):
        refuse(where, "must be an object with an 'id'")
    function = call.get("function")
    if not isinstance(function, dict):
        # A vendor's own kind of call: it travels in `origin`.
        return ToolUse(call["id"], str(call.get("type", "")), "")
    name, arguments = function.get("name"), function.get("arguments", "")
    if not isinstance(name, str) or not isinstance(arguments, str):
        refuse(f"{where}.function", "must have a 'name' and 'arguments', both strings")
    return ToolUse(call["id"], name, arguments, _signature(call, f"{where}.extra_content"))


def _signature(call: Body, where: str) -> str | None:
    """Read where Google's OpenAI compatibility puts it (ai.google.dev/gemini-api/docs/thought-signatures)."""
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    if signature is not None and not isinstance(signature, str):
        refuse(f"{where}.google.thought_signature", "must be a string")
    return signature


def _content(content: Any, where: str, weight: Weight) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        weight.text += text_size(content)
        return (TextPart(content),)
    if not isinstance(content, list):
        refuse(where, "must be a string or an array of parts")
    return tuple([_part(part, f"{where}[{index}]", weight) for index, part in enumerate(content)])


def _part(part: Any, where: str, weight: Weight) -> Part:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        refuse(where, "must be an object with a 'type'")
    if part["type"] == "text":
        if not isinstance(part.get("text"), str):
            refuse(f"{where}.text", "must be a string")
        weight.text += text_size(part["text"])
        return TextPart(part["text"], _cache_control(part))
    if part["type"] == "image_url":
        weight.images += 1
        return _image(part.get("image_url"), f"{where}.image_url")
    weight.text += len(orjson.dumps(part))
    return OpaquePart(part["type"], part)


def _cache_control(member: Body) -> Mapping[str, Any] | None:
    """Read the mark OpenRouter takes on parts (openrouter.ai/docs/features/prompt-caching), unchecked.

    It is for the provider alone, which says what is wrong with it.
    """
    value = member.get("cache_control")
    return value if isinstance(value, dict) else None


def _image(image: Any, where: str) -> ImagePart:
    if not isinstance(image, dict) or not isinstance(image.get("url"), str):
        refuse(where, "must be an object with a 'url'")
    detail = image.get("detail")
    if detail is not None and not isinstance(detail, str):
        refuse(f"{where}.detail", "must be a string")
    return ImagePart(image["url"], detail)
