"""The charts in reports of trained models."""

import contextlib
import dataclasses
import itertools
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ikelos.pipelines.metric import Metric
from ikelos.pipelines.report.palette import LIGHT
from ikelos.pipelines.training.history import MODEL, key

_COLOURS = ("ours", "other", "third", "muted")
"""Colours of the curves in one picture, by their names in the palette."""
_OPTIMIZERS = ("ours", "third", "muted")
"""Colours of several optimizers; `other` is the colour of the validation."""
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "text.color": LIGHT["ink"],
    "axes.titlecolor": LIGHT["ink"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.edgecolor": LIGHT["muted"],
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "hatch.color": LIGHT["page"],
    "hatch.linewidth": 1.5,
    "axes.prop_cycle": matplotlib.cycler(color=[LIGHT[name] for name in _COLOURS]),
}


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar of `comparison`: the metric's value for a model, and the model's minutes of training, None if unknown."""

    label: str
    value: float
    minutes: float | None
    kind: Literal["ours", "baseline", "peer"]


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Context manager within which matplotlib has the report's fonts and colours; restores the user's settings."""
    with matplotlib.rc_context(_STYLE):
        yield


def training_curves(history: Sequence[dict[str, Any]], clip_norms: Mapping[str, float], metric: Metric) -> Figure:
    """Draws loss, gradient norm and learning rate over the steps of one stage, with a second axis in minutes.

    Args:
        history: Records of the stage's `history.jsonl` (see `training.history`), at least one.
        clip_norms: Largest gradient norm before clipping, by optimizer.
        metric: Validation metric. If it is not the loss, it has its own chart on top.

    Raises:
        ValueError: If there are no records.
    """
    steps = [record for record in history if record["event"] == "step"]
    epochs = [record for record in history if record["event"] == "epoch"]
    if not history:
        raise ValueError("`history` must have at least one record. Received: none")
    of_loss = metric.name == "loss"
    heights = [5, 3, 2] if of_loss else [3, 5, 3, 2]
    with style():
        figure = Figure(figsize=(6.6, 0.84 * sum(heights)), layout="constrained")
        *top, loss, norm, rate = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        for axes in top:
            _draw_validation(axes, epochs, metric)
            _name(axes, f"Validation: {metric.unit}")
        _draw_loss(loss, steps, epochs, clip_norms, metric)
        _draw_gradient_norms(norm, steps, clip_norms)
        _name(rate, "Learning rate")
        for colour, name in zip(itertools.cycle(_OPTIMIZERS), clip_norms, strict=False):
            rate.plot(
                _column(steps, "step"),
                _column(steps, key(name, "learning_rate")),
                color=LIGHT["third" if name == MODEL else colour],
                marker=_mark(steps),
            )
        if steps:
            rate.set_ylim(bottom=0)
        rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
        rate.set_xlabel("step")
        rate.set_xlim(0, 1.01 * max(record["step"] for record in history))
        rate.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _draw_minutes(rate, history)
    return figure


def validation_curves(runs: Mapping[str, Sequence[dict[str, Any]]], metric: Metric) -> Figure:
    """Draws the validation metric of several runs over their steps.

    Args:
        runs: Epoch records of each run by its name; at least one run.
        metric: Validation metric.
    """
    looks = itertools.product(("-", "--", ":"), (LIGHT[name] for name in _COLOURS))
    with style():
        figure = Figure(figsize=(6.6, 3.4 + 0.25 * len(runs)), layout="constrained")
        axes = figure.subplots()
        for (name, epochs), (line, colour) in zip(runs.items(), itertools.cycle(looks)):
            at, values = _column(epochs, "step"), _column(epochs, f"validation_{metric.name}")
            axes.plot(at, values, line, color=colour, marker="o", markersize=4, label=plain(name))
        _name(axes, f"Validation: {metric.unit}", columns=1)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


@dataclasses.dataclass(frozen=True)
class Panel:
    """One curve of `epoch_curves`: its key in the records, its title, and the upper bound of its values, if any."""

    key: str
    title: str
    most: float | None = None


def epoch_curves(epochs: Sequence[dict[str, Any]], panels: Sequence[Panel]) -> Figure:
    """Draws curves of values that were recorded after each epoch, each in its own chart.

    Args:
        epochs: Epoch records of the history, at least one. Each must have the keys of all panels.
        panels: The curves, at least one.

    Returns:
        The charts in one figure, one below the other, over the training steps.
    """
    steps = [record["step"] for record in epochs]
    with style():
        figure = Figure(figsize=(6.6, 2.2 * len(panels)), layout="constrained")
        rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel, colour in zip(rows, panels, itertools.cycle(_COLOURS)):
            axes.plot(steps, [record[panel.key] for record in epochs], color=LIGHT[colour], marker="o", markersize=5)
            axes.set_title(panel.title)
            if panel.most is not None:
                axes.set_ylim(0, 1.1 * panel.most)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


def comparison(bars: Sequence[Bar], metric: Metric) -> Figure:
    """Draws a metric's values for several models as horizontal bars, the best on top; this run's model is highlighted.

    Raises:
        ValueError: If there are no bars.
    """
    if not bars:
        raise ValueError("`bars` must hold at least one bar. Received: none")
    bars = sorted(bars, key=lambda bar: bar.value, reverse=metric.better == "more")
    longest = max(abs(bar.value) for bar in bars)
    kinds = {"ours": "this run", "baseline": "baseline on the same data", "peer": "peer, measured elsewhere"}
    hatches = {"ours": None, "baseline": None, "peer": "///"}
    with style():
        figure = Figure(figsize=(6.6, 0.46 * len(bars) + 1.1), layout="constrained")
        axes = figure.subplots()
        for place, bar in enumerate(bars):
            weight = "bold" if bar.kind == "ours" else "normal"
            axes.barh(place, bar.value, 0.66, color=LIGHT[bar.kind], hatch=hatches[bar.kind])
            minutes = "" if bar.minutes is None else f"  {_minutes(bar.minutes)}"
            axes.annotate(
                f"{metric.text(bar.value)}{minutes}",
                (max(bar.value, 0.0), place),  # beside the end of a negative bar, the text would cover the bar
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                weight=weight,
                fontsize=10,
            )
        axes.set_yticks(range(len(bars)), [textwrap.fill(plain(bar.label), 24) for bar in bars], fontsize=10)
        for label, bar in zip(axes.get_yticklabels(), bars, strict=True):
            label.set(color=LIGHT["ink"], weight="bold" if bar.kind == "ours" else "normal")
        axes.invert_yaxis()
        lowest = min(0.0, *(bar.value for bar in bars))
        axes.set_xlim(1.05 * lowest, longest * 1.32)  # Leaves room for the text behind the longest bar.
        axes.set_xlabel(f"{metric.unit} ({metric.better} is better)")
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False)  # Every bar is labelled with its value.
        axes.spines["left"].set_visible(False)
        present = [kind for kind in kinds if any(bar.kind == kind for bar in bars)]
        figure.legend(
            handles=[Patch(facecolor=LIGHT[kind], hatch=hatches[kind], label=kinds[kind]) for kind in present],
            loc="outside upper left",
            ncols=len(present),
            handlelength=1.2,
            columnspacing=1.4,
        )
    return figure


def _draw_validation(axes: Axes, epochs: list, metric: Metric) -> list[np.ndarray]:
    """Draws the metric's curve with its best value marked; returns the values in a list, empty if there are none."""
    if not epochs:
        return []
    at, values = _column(epochs, "step"), _column(epochs, f"validation_{metric.name}")
    axes.plot(at, values, color=LIGHT["other"], marker="o", markersize=5, label="validation")
    best = int(np.argmax(values == metric.best(values)))
    axes.annotate(
        f"best {metric.text(values[best])}",
        (at[best], values[best]),
        xytext=(0, 9),
        textcoords="offset points",
        ha="right",
        weight="bold",
        color=LIGHT["other"],
    )
    return [values]


def _draw_loss(axes: Axes, steps: list, epochs: list, names: Iterable[str], metric: Metric) -> None:
    shown = []
    for colour, name in zip(itertools.cycle(_OPTIMIZERS), names, strict=False):
        shown.append(_column(steps, key(name, "loss")))
        label = "training" if name == MODEL else name
        axes.plot(_column(steps, "step"), shown[-1], color=LIGHT[colour], label=label, marker=_mark(steps))
    if metric.name == "loss":
        shown += _draw_validation(axes, epochs, metric)
    # The highest 2% are cut off: the first steps of a new model would squeeze the rest into the bottom of the chart.
    values = np.concatenate(shown)
    if values.size:
        low, high = values.min(), np.quantile(values, 0.98)
        margin = max(0.06 * (high - low), 0.01)
        axes.set_ylim(low - 2 * margin, high + margin)
    _name(axes, f"Loss in {metric.unit}" if metric.name == "loss" else "Loss")


def _draw_gradient_norms(axes: Axes, steps: list, clip_norms: Mapping[str, float]) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    drawn = clip_norms if steps else {}
    for colour, (name, clip_norm) in zip(itertools.cycle(_OPTIMIZERS), drawn.items(), strict=False):
        _draw_gradient_norm(axes, steps, name, clip_norm, colour)
    _name(axes, "Gradient norm", columns=4 if MODEL in clip_norms else 2)


def _draw_gradient_norm(axes: Axes, steps: list, name: str, clip_norm: float, colour: str) -> None:
    # With several optimizers, the legend has only the labels that tell them apart.
    alone = name == MODEL
    columns = ("gradient_norm", "gradient_norm_max", "clipped")
    at, mean, most, fraction = _column(steps, "step"), *(_column(steps, key(name, column)) for column in columns)
    axes.fill_between(
        at, mean, most, color=LIGHT[colour], alpha=0.25, linewidth=0, label="up to the largest" if alone else None
    )
    axes.plot(at, mean, color=LIGHT[colour], label="mean" if alone else name)
    axes.axhline(
        clip_norm,
        color=LIGHT["ink" if alone else colour],
        linewidth=1.2,
        linestyle=(0, (5, 3)),
        label=f"clip norm, {clip_norm:g}" if alone else None,
    )
    clipped = fraction > 0
    share = fraction @ np.diff(at, prepend=0) / max(at.max(initial=0), 1)
    axes.plot(
        at[clipped],
        most[clipped],
        color=LIGHT["other" if alone else colour],
        linestyle="none",
        marker="v",
        markersize=5,
        label=f"{'' if alone else f'{name} '}clipped ({share:.1%} of steps)",
    )


def _name(axes: Axes, title: str, columns: int = 4) -> None:
    """Sets the title and puts the legend below it, above the chart: the data may leave no corner free."""
    handles, _ = axes.get_legend_handles_labels()
    axes.set_title(title, pad=6 + 18 * -(-len(handles) // columns))
    if handles:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=min(len(handles), columns),
            borderpad=0,
            borderaxespad=0.4,
            handlelength=1.5,
            handletextpad=0.5,
            columnspacing=1.2,
        )


def _draw_minutes(axes: Axes, history: Sequence[dict[str, Any]]) -> None:
    """Adds a second axis below the steps, with ticks at round numbers of minutes of training."""
    ordered = sorted(history, key=lambda record: record["step"])
    at, minutes = _column(ordered, "step"), _column(ordered, "seconds") / 60
    locator = MaxNLocator(6, steps=[1, 2, 5, 10])
    ticks = [tick for tick in locator.tick_values(0, minutes[-1]) if 0 <= tick <= minutes[-1]]
    below = axes.secondary_xaxis(-0.5)
    below.set_xticks(np.interp(ticks, [0, *minutes], [0, *at]), [f"{tick:g}" for tick in ticks])
    below.set_xlabel("minutes of training")


def _column(records: Sequence[dict[str, Any]], key: str) -> np.ndarray:
    return np.array([record[key] for record in records], np.float64)


def _mark(records: Sequence[dict[str, Any]]) -> str:
    """Returns the marker of a curve: a single point needs one, as it makes no line."""
    return "o" if len(records) == 1 else ""


def plain(name: str) -> str:
    """Escapes a name for matplotlib, which reads `$...$` as a formula and hides labels with a leading underscore."""
    text = name.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _minutes(minutes: float) -> str:
    return f"{60 * minutes:.0f} s" if minutes < 1 else f"{minutes:.1f} min"
