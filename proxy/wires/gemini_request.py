"""A chat request as the body of `streamGenerateContent`, and the path it goes to.

Sources: ai.google.dev/api/generate-content ("Request body", GenerationConfig) and /gemini-api/docs/openai.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from proxy.words.chat import ChatRequest
from proxy.words.errors import GatewayError

from .base import THINKING, Target, within
from .compatibility import unsupported
from .gemini_compatibility import TABLE
from .gemini_contents import Conversation
from .gemini_parts import Json
from .gemini_thinking import generation, thinking_config
from .gemini_tools import schema_of, tools_of

_COLLECTIONS: Final = frozenset({"models", "tunedModels"})
_MAX_STOPS: Final = 5
_MAX_SEED: Final = 2**31


def path_of(model: str) -> str:
    """Return the path of a model's streaming method."""
    return method_path(model, "streamGenerateContent?alt=sse")


def method_path(model: str, method: str) -> str:
    """Return the path of a model's method."""
    collection, _, name = resource(model).partition("/")
    return f"/{collection}/{quote(name, safe='')}:{method}"


def resource(model: str) -> str:
    """Return a model's full name; an id may name its collection."""
    collection, slash, _ = model.partition("/")
    return model if slash and collection in _COLLECTIONS else f"models/{model}"


def body_of(call: ChatRequest, target: Target) -> Json:
    """Write the body.

    Raises:
        GatewayError: the request asks for what Gemini cannot do; `param` names the client's field.
    """
    TABLE.check(call)
    conversation = Conversation(signed=generation(target.model) > (2, 5))
    for index, message in enumerate(call.messages):
        conversation.add(message, f"messages[{index}]")
    body: Json = {"contents": conversation.contents, **tools_of(call)}
    if not body["contents"]:
        raise GatewayError("invalid_request", "'messages' must hold one of the user's.", param="messages")
    if conversation.system:
        body["systemInstruction"] = {"parts": conversation.system}
    config = _generation_config(call, target)
    if config:
        body["generationConfig"] = config
    return body


def _generation_config(call: ChatRequest, target: Target) -> Json:
    sampling = call.sampling
    config: Json = {
        "maxOutputTokens": within(call.max_tokens, target.max_output),
        "candidateCount": call.n if call.n != 1 else None,
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": _top_k(call.extra.get("top_k")),
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
        "seed": _seed(sampling.seed),
        "stopSequences": _stop(sampling.stop),
        "responseLogprobs": sampling.logprobs or None,
        "logprobs": sampling.top_logprobs if sampling.logprobs else None,
        "thinkingConfig": thinking_config(call, target.model, THINKING if target.think else None),
        "responseModalities": _modalities(call.extra.get("modalities")),
        **_format(call.response_format),
    }
    return {name: value for name, value in config.items() if value is not None}


def _top_k(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 1 <= value < _MAX_SEED):
        raise unsupported("top_k", "must be a positive integer")
    return value


def _seed(seed: int | None) -> int | None:
    """Fit a seed into Gemini's 32 bits: all it promises is that the same one gives the same answer."""
    if seed is None or -_MAX_SEED <= seed < _MAX_SEED:
        return seed
    return seed % _MAX_SEED


def _stop(stop: tuple[str, ...]) -> list[str] | None:
    if len(stop) > _MAX_STOPS:
        raise unsupported("stop", f"must have at most {_MAX_STOPS} items for this model")
    return [item for item in stop if item] or None


def _modalities(value: Any) -> list[str] | None:
    if value is None or value == ["text"]:
        return None
    if not isinstance(value, list) or not value or not all(item in ("text", "image") for item in value):
        raise unsupported("modalities", "must be text and image for this model")
    return [item.upper() for item in value]


def _format(wanted: Any) -> Json:
    kind = None if wanted is None else wanted.get("type")
    if kind is None or kind == "text":
        return {}
    if kind == "json_object":
        return {"responseMimeType": "application/json"}
    if kind != "json_schema":
        raise unsupported("response_format.type", "must be text, json_object or json_schema")
    schema = wanted["json_schema"].get("schema")
    return {
        "responseMimeType": "application/json",
        "responseJsonSchema": None if schema is None else schema_of(schema),
    }
