"""The lists of models, and what a key's owner is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .common import AMOUNT
from .operation import LOOKING, Operation
from .schema import Schema, anything, array, boolean, const, integer, nullable, obj, ref, string

_COUNT: Final = nullable(integer())
_SCOPE: Final = nullable(
    string("Whose limit it is, where there are several the tightest: `key`, `project`, `plan`")
)
_LEFT: Final = obj("limit remaining", limit=_COUNT, remaining=_COUNT, reset=integer("Seconds"), scope=_SCOPE)
_MOMENT: Final = string(format="date-time")
_LIMIT: Final = obj("limit remaining", limit=_COUNT, remaining=_COUNT)
_SHARE: Final = obj(
    "scope rate_limit tokens_per_day credits_per_day concurrency",
    scope=string("`key`, `project` or `plan`"),
    rate_limit=_LIMIT,
    tokens_per_day=_LIMIT,
    credits_per_day=obj("limit remaining", limit=nullable(AMOUNT), remaining=nullable(AMOUNT)),
    concurrency=_LIMIT,
    max_request_credits=nullable(AMOUNT),
    max_output_tokens=_COUNT,
    max_input_tokens=_COUNT,
)
SCHEMAS: Final[Mapping[str, Schema]] = {
    "Model": obj(
        "id object created owned_by name provider context_length max_output_tokens capabilities architecture pricing",
        "A model, or an alias",
        id=string(),
        object=const("model"),
        created=integer(),
        owned_by=string(),
        name=string(),
        provider=string("Who is asked first"),
        context_length=nullable(integer("Tokens")),
        max_output_tokens=_COUNT,
        capabilities=array(
            string("`vision`, `tools`, `json`, `structured_output`, `reasoning`, `audio`, `embeddings`, …")
        ),
        architecture=obj(
            "input_modalities output_modalities",
            input_modalities=array(string()),
            output_modalities=array(string()),
        ),
        pricing=obj(
            "prompt completion request",
            "US dollars, as decimal numbers: for one token, request, character, second or image",
            prompt=string(),
            completion=string(),
            request=string(),
        ),
        alias_of=array(string(), "Of an alias: the models it stands for"),
    ),
    "Models": obj("object data", object=const("list"), data=array(ref("Model"))),
    "ProjectModel": obj(
        "id name provider capabilities",
        id=string(),
        name=string(),
        provider=string(),
        capabilities=array(string()),
    ),
    "ProjectModels": obj("data", data=array(ref("ProjectModel"))),
    "Key": obj(
        "data",
        data=obj(
            "label kind usage usage_daily credits rate_limit tokens_per_day concurrency",
            label=string("As much of the key as is shown"),
            name=string(),
            kind=string("`account`, `gateway` or `project`"),
            project=nullable(string()),
            created_at=_MOMENT,
            expires_at=nullable(_MOMENT),
            models=nullable(array(string(), "What it may use; null is everything")),
            usage=AMOUNT,
            usage_daily=AMOUNT,
            limit=nullable({**AMOUNT, "description": "Credits that a UTC day may cost"}),
            limit_remaining=nullable(AMOUNT),
            limit_reset=nullable(string("`daily`, at midnight UTC, where there is such a limit")),
            limit_scope=_SCOPE,
            credits=obj("balance held available", balance=AMOUNT, held=AMOUNT, available=AMOUNT),
            rate_limit=obj(
                "requests interval remaining reset",
                requests=_COUNT,
                interval=string(),
                remaining=_COUNT,
                reset=integer("Seconds"),
                scope=_SCOPE,
            ),
            tokens_per_day=_LEFT,
            concurrency=_LEFT,
            max_request_credits=nullable(AMOUNT),
            max_output_tokens=_COUNT,
            max_input_tokens=_COUNT,
            scopes=array(_SHARE, "Every scope that has limits: the key, its project, its account's plan"),
        ),
    ),
    "Generation": obj(
        "data",
        data=obj(
            "id request_id created_at model streamed outcome generation_time tokens_prompt tokens_completion usage attempts",
            id=string(),
            request_id=string(),
            created_at=_MOMENT,
            model=string(),
            provider_name=nullable(string()),
            upstream_model=nullable(string()),
            streamed=boolean(),
            cancelled=boolean("The client left before the end"),
            outcome=string(
                "`ok`, `client_abort`, `upstream_error`, `insufficient_credits`, `refused`, `shutdown`, `revoked`,"
                " `recovered` (our process was killed)"
            ),
            latency=nullable(integer("Milliseconds to the first token")),
            generation_time=integer("Milliseconds of the whole request"),
            tokens_prompt=integer(),
            tokens_completion=integer(),
            native_tokens_cached=integer(),
            native_tokens_reasoning=integer(),
            tokens=anything("Each class of tokens and units there was"),
            estimated=boolean("The usage is the gateway's own count"),
            usage=AMOUNT,
            total_cost=AMOUNT,
            attempts=array(
                obj(
                    "provider_name model outcome",
                    provider_name=string(),
                    model=string(),
                    outcome=string(),
                    status=_COUNT,
                    started_after=integer("Milliseconds"),
                    latency=_COUNT,
                    generation_time=integer(),
                )
            ),
        ),
    ),
}
_ID: Final = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The model's id, whose slashes are part of the path",
    "schema": {"type": "string"},
}
_LISTED: Final = (
    "What the operator configured, aliases, and what the configured providers have a price for. A key with an"
    " allow-list sees its own models alone."
)
_ONE: Final = "404 too where the key may not use it."
_SHOWN: Final = (*LOOKING, "model_not_found")
OPERATIONS: Final = (
    Operation(
        "GET",
        "models",
        "listModels",
        "Models",
        "List the models",
        _LISTED,
        LOOKING,
        answer=ref("Models"),
        metered=False,
    ),
    Operation(
        "GET",
        "models/{id}",
        "getModel",
        "Models",
        "Show a model",
        _ONE,
        (*_SHOWN, "invalid_request"),
        answer=ref("Model"),
        parameters=(_ID,),
        known={"id": "sim/echo"},
        metered=False,
    ),
    Operation(
        "GET",
        "ai/models",
        "listProjectModels",
        "Projects",
        "List the project's models",
        _LISTED,
        LOOKING,
        "ProjectError",
        answer=ref("ProjectModels"),
        metered=False,
    ),
    Operation(
        "GET",
        "ai/models/{id}",
        "getProjectModel",
        "Projects",
        "Show one of the project's models",
        _ONE,
        (*_SHOWN, "invalid_request"),
        "ProjectError",
        answer=ref("ProjectModel"),
        parameters=(_ID,),
        known={"id": "sim/echo"},
        metered=False,
    ),
    Operation(
        "GET",
        "key",
        "getKey",
        "Account",
        "Where the key stands",
        "What the key that asks may do, what is left of it, and what it has spent. Amounts are credits.",
        LOOKING,
        answer=ref("Key"),
        metered=False,
    ),
    Operation(
        "GET",
        "generation",
        "getGeneration",
        "Account",
        "What became of a request",
        "One finished request of the same account, also where its client lost the stream. Its id is the"
        " `X-Generation-ID` of the answer. 404 for all others.",
        (*LOOKING, "invalid_request", "not_found"),
        answer=ref("Generation"),
        parameters=(
            {
                "name": "id",
                "in": "query",
                "required": True,
                "description": "The `X-Generation-ID` of the answer",
                "schema": {"type": "string"},
            },
        ),
        known={"id": "$GENERATION_ID"},
        metered=False,
    ),
)
