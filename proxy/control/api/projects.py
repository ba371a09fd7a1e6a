"""Projects: models and limits of their own, one active key each."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, UnsetType

from .house import Visit
from .limits import Limited, Limits
from .own import check_project
from .route import Answer, Done, Route, Text, Word

_TAG: Final = "Projects"


class ProjectTerms(Limits, frozen=True, kw_only=True):
    """What may be set of a project; null clears it."""

    name: Word | UnsetType = UNSET
    webhook: Text | UnsetType | None = UNSET


class NewProject(ProjectTerms, frozen=True, kw_only=True):
    """A project to be made."""

    name: Word


class Project(Limited, frozen=True, kw_only=True):
    """A project. `key` is as much of its key as may be shown; `…_applied` counts where nothing is set."""

    id: int
    name: str
    key_id: int | None
    key: str | None
    created_at: int
    rpm_applied: int
    tokens_per_day_applied: int
    webhook: str | None
    webhook_secret: str | None = None
    """Of a new webhook, shown once."""


class Projects(Answer, frozen=True, kw_only=True):
    """The account's projects."""

    projects: list[Project]


class MadeProject(Answer, frozen=True, kw_only=True):
    """A project that was made, or has a new key. Key and secret are never shown again."""

    project: int
    key: str
    webhook_secret: str | None = None


async def list_projects(visit: Visit) -> object:
    """List the account's projects."""
    return await visit.mine("projects.list")


async def create_project(visit: Visit, body: NewProject) -> object:
    """Make a project and its key, which is shown this once."""
    most = visit.house.settings.dashboard.max_projects
    return await visit.mine("projects.create", most=most, **body.given())


async def show_project(visit: Visit, id: int) -> object:  # noqa: A002 - the parameter's name is the path's
    """Tell what is set of a project."""
    await check_project(visit, id)
    return await visit.do("projects.show", id=id)


async def change_project(visit: Visit, id: int, body: ProjectTerms) -> object:  # noqa: A002 - as above
    """Rename a project, and set its models, limits and webhook."""
    await check_project(visit, id)
    return await visit.do("projects.set", id=id, changes=body.given())


async def rotate_key(visit: Visit, id: int) -> object:  # noqa: A002 - as above
    """End a project's key and make the next, which is shown this once."""
    await check_project(visit, id)
    return await visit.do("projects.rotate", id=id)


async def delete_project(visit: Visit, id: int) -> object:  # noqa: A002 - as above
    """Delete a project: its key ends, and what runs by it."""
    await check_project(visit, id)
    await visit.do("projects.delete", id=id)
    return Done()


_ALL: Final = "/api/user/projects"
_ONE: Final = f"{_ALL}/<int:id>"
ROUTES: Final = (
    Route("GET", _ALL, list_projects, Projects, _TAG),
    Route(
        "POST",
        _ALL,
        create_project,
        MadeProject,
        _TAG,
        body=NewProject,
        fresh=True,
        status=201,
        errors=("conflict", "limit_reached"),
    ),
    Route("GET", _ONE, show_project, Project, _TAG),
    Route("PUT", _ONE, change_project, Project, _TAG, body=ProjectTerms, fresh=True, errors=("conflict",)),
    Route("DELETE", _ONE, delete_project, Done, _TAG),
    Route("POST", f"{_ONE}/rotate-key", rotate_key, MadeProject, _TAG, fresh=True, status=201),
)
