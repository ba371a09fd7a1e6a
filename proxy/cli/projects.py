"""`headrace projects`."""

from __future__ import annotations

import argparse
from typing import Any

from .base import command, positive, printable, show_value
from .terms import PROJECT_TERMS, add_changes, add_terms


def add_projects(commands: Any, shown: argparse.ArgumentParser) -> None:
    """Add the commands."""
    group = commands.add_parser("projects", help="projects, each with a key").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = group.add_parser("create", parents=[shown], help="make a project and its key, shown once")
    create.add_argument("email", type=printable)
    create.add_argument("name", type=printable)
    add_terms(create, (*PROJECT_TERMS, "webhook"))
    create.set_defaults(
        run=command("projects.create", show_value("key")),
        params=("email", "name", "webhook", *PROJECT_TERMS),
    )
    listing = group.add_parser("list", parents=[shown], help="list an account's projects")
    listing.add_argument("email", type=printable)
    listing.set_defaults(run=command("projects.list", _show_projects), params=("email",))
    change = group.add_parser("set", parents=[shown], help="change or clear what is set of a project")
    change.add_argument("id", type=positive)
    add_changes(change, ("name", *PROJECT_TERMS, "webhook"))
    change.set_defaults(run=command("projects.set", show_value("id")), params=("id", "changes"))
    for name, value, text in (
        ("show", "id", "tell what is set of a project"),
        ("rotate", "key", "end its key and make the next, shown once; what runs finishes"),
        ("delete", "project", "revoke its key and delete it; what runs is ended"),
    ):
        one = group.add_parser(name, parents=[shown], help=text)
        one.add_argument("id", type=positive)
        one.set_defaults(run=command(f"projects.{name}", show_value(value)), params=("id",))


def _show_projects(result: dict[str, Any], *, quiet: bool) -> int:
    for project in result["projects"]:
        own = [f"{name}={_text(project[name])}" for name in PROJECT_TERMS if project[name] is not None]
        webhook = ["webhook"] if project["webhook"] else []
        said = " ".join([project["name"], *own, *webhook])
        line = f"{project['id']:>6}  {project['key'] or 'no key':20} {said}"
        print(project["id"] if quiet else line)
    return 0


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)
