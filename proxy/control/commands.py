"""Where an operator's command is run: by the running gateway if there is one, else here, on the store.

It imports what a command needs and no more, so that commands are quick: no doors, no upstreams.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from proxy.settings import Settings

from .lock import DirectoryInUseError, own
from .secrets import WeakSecretError
from .socket import ControlError, answers, ask, result_of

_PATIENCE: Final = 30.0
"""Seconds to wait for a directory whose owner is just starting, stopping, or running another command."""
_AGAIN: Final = 0.05
"""Seconds between two tries."""
_SOON: Final = 0.005
"""The same for a gateway, which is to go before any number of commands that wait."""
_FOUNDING: Final = "accounts.create"
"""The one command that makes a database where there is none."""


class CommandError(Exception):
    """A command was not done; the text says why, for a person."""


def command(settings: Settings, name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Run a command and return its result; `database` in it is the one that had to be made for it.

    Raises:
        CommandError: it was refused, there is no database, or the data directory cannot be used.
    """
    try:
        return _command(settings, name, params)
    except (ControlError, WeakSecretError, OSError) as error:
        raise CommandError(str(error)) from error


def _command(settings: Settings, name: str, params: dict[str, Any]) -> dict[str, Any]:
    path = settings.store.file
    directory = settings.store.directory
    deadline = time.monotonic() + _PATIENCE
    # Who has the directory may be about to make the database: a lock is waited for.
    if not (directory / "lock").exists():
        _check_there(path, name)
    while True:
        try:
            with own(directory):
                _check_there(path, name)
                made = {} if path is None or path.exists() else {"database": str(path)}
                return result_of(_alone(settings, name, params)) | made
        except DirectoryInUseError:
            pass
        try:
            return ask(directory / "control.sock", name, params)
        except (FileNotFoundError, ConnectionRefusedError):
            _wait(directory, deadline)


def _check_there(path: Path | None, name: str) -> None:
    """Refuse to look into a new, empty database, for that is rarely the one that was meant."""
    if path is not None and name != _FOUNDING and not path.exists():
        raise ControlError(
            f"there is no database {path}: store.url is relative to the current directory, so run this where"
            " the gateway runs; `headrace serve` and `headrace accounts create` make a new one"
        )


@contextmanager
def own_to_serve(directory: Path) -> Iterator[int]:
    """Hold the directory for a gateway (see `own`): wait for a command that has it, but for no other gateway.

    Raises:
        DirectoryInUseError: another gateway holds it, or a command does for very long.
    """
    deadline = time.monotonic() + _PATIENCE
    with ExitStack() as stack:
        while True:
            try:
                descriptor = stack.enter_context(own(directory))
                break
            except DirectoryInUseError:
                if answers(directory / "control.sock") or time.monotonic() > deadline:
                    raise
            time.sleep(_SOON)
        yield descriptor


def _wait(directory: Path, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise ControlError(f"another process holds {directory} and does not answer")
    time.sleep(_AGAIN)


def _alone(settings: Settings, name: str, params: dict[str, Any]) -> dict[str, Any]:
    # Trio, the store and what they need, a quarter of a second: not for those who only ask.
    import trio  # noqa: PLC0415

    from proxy.bank.store import StoreError  # noqa: PLC0415

    from .bank import open_bank  # noqa: PLC0415
    from .serving import answer  # noqa: PLC0415

    async def run() -> dict[str, Any]:
        async with open_bank(settings) as bank:
            return await answer({"method": name, "params": params}, bank.office.command)

    try:
        return trio.run(run)
    except StoreError as error:
        raise CommandError(str(error)) from error
