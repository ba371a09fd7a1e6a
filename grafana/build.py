"""From the descriptions in `boards` to the JSON that Grafana loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from .boards import BOARDS
from .panels import SOURCE, Board, built

DIRECTORY: Final = Path(__file__).parent / "dashboards"
_TAG: Final = "headrace"


def files() -> dict[str, str]:
    """Return every dashboard's JSON, by the name of its file."""
    return {f"{board.uid.removeprefix('headrace-')}.json": _json(board) for board in BOARDS}


def _json(board: Board) -> str:
    made = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(_dashboard(board).build())
    # Parsed and written anew: what the library leaves as an object of its own would not survive this.
    return json.dumps(json.loads(made), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def _dashboard(board: Board) -> dashboard.Dashboard:
    made = dashboard.Dashboard(board.title).uid(board.uid).description(board.text).tags([_TAG])
    made.time("now-1h", "now").refresh("30s").timezone("browser").readonly()
    made.tooltip(models.DashboardCursorSync.CROSSHAIR).link(_links())
    made.with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    for name, series, label in board.variables:
        made.with_variable(_variable(name, series, label))
    for row in board.rows:
        made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made.with_panel(built(panel))
    return made


def _links() -> dashboard.DashboardLink:
    """Link to the other dashboards, in the same time range."""
    return (
        dashboard.DashboardLink("Headrace")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([_TAG])
        .keep_time(True)  # noqa: FBT003 - the library's own way
        .include_vars(True)  # noqa: FBT003
    )


def _variable(name: str, series: str, label: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(f"label_values({series}, {label})")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)  # noqa: FBT003
        .include_all(True)  # noqa: FBT003
        .all_value(".*")
    )
