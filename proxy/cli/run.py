"""`headrace serve`, `headrace sim` and `headrace openapi`."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from proxy.settings import Settings, load, split_bind

from .base import positive

_MOST_WORKERS: Final = 256


def add_run(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    serve = commands.add_parser("serve", parents=[common], help="run the gateway")
    serve.add_argument("--bind", metavar="HOST:PORT", type=_bind)
    serve.add_argument(
        "--workers", metavar="N", type=_workers, help="processes that serve, besides those that control"
    )
    serve.set_defaults(run=_serve)

    sim = commands.add_parser("sim", parents=[common], help="run a simulated provider, to develop against")
    sim.add_argument("--bind", metavar="HOST:PORT", type=_bind, default="127.0.0.1:8400")
    sim.set_defaults(run=_sim)

    openapi = commands.add_parser("openapi", parents=[common], help="print the OpenAPI document")
    openapi.set_defaults(run=_openapi)


def _bind(text: str) -> str:
    try:
        split_bind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no address; allowed: {error}") from None
    return text


def _workers(text: str) -> int:
    number = positive(text)
    if number > _MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {_MOST_WORKERS}")
    return number


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    def chosen(settings: Settings) -> Settings:
        """Let what the command line says win."""
        given = {"bind": options.bind, "workers": options.workers}
        server = replace(settings.server, **{name: value for name, value in given.items() if value})
        return replace(settings, server=server)

    def reload() -> Settings:
        return chosen(load(options.config, os.environ, here=Path.cwd()))

    if (options.workers or settings.server.workers) == 1:
        from proxy.app import serve  # noqa: PLC0415 - see `base.command`

        return serve(settings, options.bind, reload)
    from proxy.workers import serve_workers  # noqa: PLC0415

    return serve_workers(chosen(settings), reload)


def _sim(_settings: Settings, options: argparse.Namespace) -> int:
    from proxy.stand_in import serve_sim  # noqa: PLC0415 - see `base.command`

    return serve_sim(options.bind)


def _openapi(settings: Settings, _: argparse.Namespace) -> int:
    # Not needed by any other command.
    from proxy.control.api.document import described  # noqa: PLC0415
    from proxy.edge.surfaces import SURFACES  # noqa: PLC0415

    print(orjson.dumps(described(SURFACES, settings), option=orjson.OPT_INDENT_2).decode())
    return 0
