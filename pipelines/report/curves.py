"""A chart of several curves over a common axis, in one panel or several."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from ikelos.pipelines.report.charts import style
from ikelos.pipelines.report.palette import LIGHT

_COLOURS = ("ours", "other", "third", "muted")
_LINES = ("-", "--", ":")
_MOST_TICKS = 7
"""Most ticks of a logarithmic axis."""
_MOST_MARKED = 16
"""Most points of a curve that are marked."""

Points = Sequence[Sequence[float]]
"""Points `(x, y)` of a curve."""
Scale = Literal["linear", "log"]


@dataclasses.dataclass(frozen=True)
class Curves:
    """A panel of curves.

    Attributes:
        title: Title of the panel, which names the vertical axis and its unit.
        curves: Points `(x, y)` of each curve by its name, in the order of x. A logarithmic scale leaves out those that
            are not positive.
        vertical: Scale of the vertical axis.
        level: Name and height of a horizontal line to compare with, such as the accuracy of guessing; None for none.
    """

    title: str
    curves: Mapping[str, Points]
    vertical: Scale = "linear"
    level: tuple[str, float] | None = None


def draw(panels: Sequence[Curves], label: str, horizontal: Scale = "linear", columns: int = 1) -> Figure:
    """Draws panels with one legend; a curve's name has the same colour in all of them.

    Args:
        panels: The panels, at least one.
        label: Name of the horizontal axis, with its unit.
        horizontal: Scale of the horizontal axis.
        columns: Number of panels beside each other.
    """
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    looks = dict(zip(names, itertools.cycle(itertools.product(_LINES, _COLOURS))))
    rows = -(-len(panels) // columns)
    with style():
        figure = Figure(figsize=(6.6, 2.4 * rows + 0.7), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for index, (axes, panel) in enumerate(zip(grid.flat, panels, strict=False)):
            _draw(axes, panel, looks, horizontal)
            if index >= len(panels) - columns:
                axes.set_xlabel(label)
        found = {
            text: handle for axes in grid.flat for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            found.values(), found.keys(), loc="outside upper left", ncols=min(4, len(found)), handlelength=1.8
        )
    return figure


def ends_in_words(curves: Mapping[str, Points], form: str = ".1f") -> str:
    """Returns the first and the last value of each curve in words, for readers who cannot see them.

    Args:
        curves: Points of each curve by its name.
        form: Format specification of the values, as for `format`.
    """
    return ", ".join(f"{name} {points[0][1]:{form}} to {points[-1][1]:{form}}" for name, points in curves.items())


def _draw(axes: Axes, panel: Curves, looks: Mapping[str, tuple[str, str]], horizontal: Scale) -> None:
    for name, points in panel.curves.items():
        values = np.array(points, np.float64).reshape(-1, 2)
        for column, scale in enumerate((horizontal, panel.vertical)):
            values = values[values[:, column] > 0] if scale == "log" else values
        line, colour = looks[name]
        mark = "o" if len(values) <= _MOST_MARKED else ""
        axes.plot(*values.T, line, color=LIGHT[colour], label=name, marker=mark, markersize=4)
    if panel.level is not None:
        axes.axhline(panel.level[1], color=LIGHT["ink"], linewidth=1, linestyle=(0, (5, 3)), label=panel.level[0])
    axes.set_title(panel.title)
    if horizontal == "log":
        axes.set_xscale("log")
        _label(axes.xaxis, sorted({x for points in panel.curves.values() for x, _ in points if x > 0}))
    if panel.vertical == "log":
        axes.set_yscale("log")
        _label(axes.yaxis, [])


def _label(axis: Axis, values: Sequence[float]) -> None:
    """Sets the ticks of a logarithmic axis: at a few values, else at the tens, or closer if there are few of these."""
    low, high = axis.get_view_interval()
    if 0 < len(values) <= _MOST_TICKS:
        axis.set_major_locator(FixedLocator(values))
    elif high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:
        axis.set_major_locator(LogLocator(numticks=_MOST_TICKS))
        axis.set_minor_formatter(NullFormatter())
        return
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
