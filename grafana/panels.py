"""What every panel looks like: few kinds, and each with its unit, a description and its thresholds.

Widths are of Grafana's 24 columns. Everything that a query, a legend or a colour needs is given where the
panel is described, in the dashboard's own file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
Kind = Literal["lines", "stacked", "number", "states"]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, and how each series is called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        text: what it shows, and what to make of it.
        unit: Grafana's name of the unit.
        steps: from which value on it has which colour; below the first it is green.
        states: words for values, with their colours.
    """

    title: str
    text: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = "lines"
    width: int = 8
    height: int = 8
    steps: Sequence[tuple[float, str]] = ()
    states: Mapping[int, tuple[str, str]] | None = None
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard.

    Attributes:
        variables: what can be chosen: a name, and the series and the label its values are those of.
    """

    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    variables: Sequence[tuple[str, str, str]] = ()


Builder = timeseries.Panel | stat.Panel | statetimeline.Panel


def built(panel: Panel) -> Builder:
    """Make a panel as Grafana describes it."""
    builder: Builder = _MAKERS[panel.kind](panel)
    builder.title(panel.title).description(panel.text).unit(panel.unit).datasource(SOURCE)
    builder.span(panel.width).height(panel.height).thresholds(_thresholds(panel.steps))
    if panel.decimals is not None:
        builder.decimals(panel.decimals)
    if panel.states is not None:
        builder.mappings([_words(panel.states)])
    for place, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + place))
        target.format(PromQueryFormat.TIME_SERIES).legend_format(query.legend or "__auto")
        builder.with_target(target)
    return builder


def _lines(panel: Panel) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.TABLE)
        .placement(common_models.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
        .show_legend(True)  # noqa: FBT003 - the library's own way
    )
    tooltip = (
        common.VizTooltipOptions()
        .mode(common_models.TooltipDisplayMode.MULTI)
        .sort(common_models.SortOrder.DESCENDING)
    )
    builder = timeseries.Panel().legend(legend).tooltip(tooltip).line_width(1).min(0)
    builder.show_points(common_models.VisibilityMode.NEVER)
    if panel.steps:
        style = common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
        builder.thresholds_style(style)
    return builder.fill_opacity(8)


def _stacked(panel: Panel) -> timeseries.Panel:
    stacking = common.StackingConfig().mode(common_models.StackingMode.NORMAL)
    return _lines(panel).stacking(stacking).fill_opacity(35)


def _number(_panel: Panel) -> stat.Panel:
    reduced = common.ReduceDataOptions().calcs(["lastNotNull"])
    builder = stat.Panel().reduce_options(reduced).graph_mode(common_models.BigValueGraphMode.AREA)
    return builder.color_mode(common_models.BigValueColorMode.VALUE)


def _states(_panel: Panel) -> statetimeline.Panel:
    return statetimeline.Panel().row_height(0.8).show_value(common_models.VisibilityMode.NEVER)


_MAKERS: Final[dict[Kind, Callable[[Panel], Builder]]] = {
    "lines": _lines,
    "stacked": _stacked,
    "number": _number,
    "states": _states,
}


def _thresholds(steps: Sequence[tuple[float, str]]) -> dashboard.ThresholdsConfig:
    found = [models.Threshold(value=value, color=color) for value, color in steps]
    config = dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
    return config.steps([models.Threshold(value=None, color=GREEN), *found])


def _words(states: Mapping[int, tuple[str, str]]) -> models.ValueMap:
    options = {
        str(value): models.ValueMappingResult(text=word, color=color, index=place)
        for place, (value, (word, color)) in enumerate(states.items())
    }
    return models.ValueMap(options=options)
