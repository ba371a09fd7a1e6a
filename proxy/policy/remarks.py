"""What a configuration may say but seldom means to: for `config check`, and for the log at a start."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.settings import Provider, Settings
from proxy.words.errors import GatewayError

from .prices import PriceBook
from .routes import UNPRICED, Routes


def remarks(settings: Settings, book: PriceBook) -> list[str]:
    """Return a sentence for each provider without its key, and model that is refused or free."""
    routes = Routes(settings, book)
    said = [f"provider {one.name}: {said}" for one in settings.providers for said in _of_provider(one)]
    for model in settings.models:
        said += [f"model {model.id}: {text}" for text in _of_model(routes, model.id)]
    known = {model.id for model in settings.models}
    for name, alias in settings.aliases.items():
        others = [target for target in alias.models if target not in known]
        said += [f"alias {name}: {target} {text}" for target in others for text in _of_model(routes, target)]
    return said


def _of_provider(provider: Provider) -> Iterator[str]:
    """Remark on a missing key."""
    if provider.byok_only and provider.key_variable:
        yield f"{provider.key_variable} is not set, so only customers' own keys are served"
    elif provider.byok_only:
        yield "it has no key (api_key_env, api_key_file or api_key), so only customers' own are served"


def _of_model(routes: Routes, name: str) -> Iterator[str]:
    try:
        (route,) = routes.find(name).routes
    except GatewayError as error:
        if error.detail.get("reason") == UNPRICED:
            yield "has no price, so it is refused (404); set its price, or money.allow_unpriced"
        else:
            yield f"cannot be asked for: {error.message}"
    else:
        if route.version == UNPRICED:
            yield "has no price and is served for nothing (money.allow_unpriced)"
