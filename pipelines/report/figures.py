"""The pictures that every report of a trained model shows."""

import contextlib
import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ikelos.pipelines.report.palette import LIGHT

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
    "axes.prop_cycle": matplotlib.cycler(color=[LIGHT[name] for name in ("ours", "other", "third", "muted")]),
}


@dataclasses.dataclass(frozen=True)
class Bar:
    """A model's figure in `comparison`: `minutes` is what its training took, None if nobody knows."""

    label: str
    value: float
    minutes: float | None
    kind: Literal["ours", "baseline", "peer"]


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Within it, figures are drawn in the report's fonts and colours; the user's settings come back after."""
    with matplotlib.rc_context(_STYLE):
        yield


def training_curves(history: Sequence[dict[str, Any]], clip_norm: float | None, unit: str) -> Figure:
    """Loss, gradient norm and learning rate over the steps of one stage, with the minutes below them.

    Args:
        history: the records of the stage's `history.jsonl` (see `training.history`), at least one.
        clip_norm: the longest gradient that was not clipped, None if none was.
        unit: what the loss is measured in, such as `nats per token`.
    """
    steps = [record for record in history if record["event"] == "step"]
    epochs = [record for record in history if record["event"] == "epoch"]
    if not history:
        raise ValueError("`history` must have at least one record. Received: none")
    with style():
        figure = Figure(figsize=(6.6, 8.4), layout="constrained")
        loss, norm, rate = figure.subplots(3, 1, sharex=True, height_ratios=(5, 3, 2))
        _draw_loss(loss, steps, epochs, unit)
        _draw_gradient_norm(norm, steps, clip_norm)
        _name(rate, "Learning rate")
        rate.plot(_column(steps, "step"), _column(steps, "learning_rate"), color=LIGHT["third"])
        rate.set_ylim(bottom=0)
        rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
        rate.set_xlabel("step")
        rate.set_xlim(0, 1.01 * max(record["step"] for record in history))
        rate.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _draw_minutes(rate, history)
    return figure


def comparison(bars: Sequence[Bar], unit: str) -> Figure:
    """Horizontal bars of figures on the same data in `unit`, the lowest and so best on top; ours stand out."""
    if not bars:
        raise ValueError("`bars` must hold at least one bar. Received: none")
    bars = sorted(bars, key=lambda bar: bar.value)
    longest = bars[-1].value
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
                f"{bar.value:.3f}{minutes}",
                (bar.value, place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                weight=weight,
                fontsize=10,
            )
        axes.set_yticks(range(len(bars)), [textwrap.fill(bar.label, 24) for bar in bars], fontsize=10)
        for label, bar in zip(axes.get_yticklabels(), bars, strict=True):
            label.set(color=LIGHT["ink"], weight="bold" if bar.kind == "ours" else "normal")
        axes.invert_yaxis()
        axes.set_xlim(0, longest * 1.32)  # Room for the words behind the longest bar.
        axes.set_xlabel(f"{unit} (less is better)")
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False)  # Every bar says its value.
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


def _draw_loss(axes: Axes, steps: list, epochs: list, unit: str) -> None:
    axes.plot(_column(steps, "step"), _column(steps, "loss"), color=LIGHT["ours"], label="training")
    shown = [_column(steps, "loss")]
    if epochs:
        at, validation = _column(epochs, "step"), _column(epochs, "validation_loss")
        axes.plot(at, validation, color=LIGHT["other"], marker="o", markersize=5, label="validation")
        best = int(np.argmin(validation))
        axes.annotate(
            f"best {validation[best]:.3f}",
            (at[best], validation[best]),
            xytext=(0, 9),
            textcoords="offset points",
            ha="right",
            weight="bold",
            color=LIGHT["other"],
        )
        shown.append(validation)
    # The first steps of a fresh model would squeeze everything after them into the bottom of the picture.
    values = np.concatenate(shown)
    low, high = values.min(), np.quantile(values, 0.98)
    margin = max(0.06 * (high - low), 0.01)
    axes.set_ylim(low - 2 * margin, high + margin)
    _name(axes, f"Loss in {unit}")


def _draw_gradient_norm(axes: Axes, steps: list, clip_norm: float | None) -> None:
    at, mean, most = (_column(steps, key) for key in ("step", "gradient_norm", "gradient_norm_max"))
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.fill_between(at, mean, most, color=LIGHT["ours"], alpha=0.25, linewidth=0, label="to the largest")
    axes.plot(at, mean, color=LIGHT["ours"], label="mean")
    if clip_norm is not None:
        axes.axhline(
            clip_norm,
            color=LIGHT["ink"],
            linewidth=1.2,
            linestyle=(0, (5, 3)),
            label=f"longest allowed, {clip_norm:g}",
        )
        fraction = _column(steps, "clipped")
        clipped = fraction > 0
        share = fraction @ np.diff(at, prepend=0) / max(at.max(initial=0), 1)
        axes.plot(
            at[clipped],
            most[clipped],
            color=LIGHT["other"],
            linestyle="none",
            marker="v",
            markersize=5,
            label=f"clipped ({share:.1%} of steps)",
        )
    _name(axes, "Gradient norm")


def _name(axes: Axes, title: str) -> None:
    """A title, and under it what the lines are: above the data, which may leave no corner free."""
    handles, _ = axes.get_legend_handles_labels()
    axes.set_title(title, pad=24 if handles else 6)
    if handles:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=len(handles),
            borderpad=0,
            borderaxespad=0.4,
            handlelength=1.5,
            handletextpad=0.5,
            columnspacing=1.2,
        )


def _draw_minutes(axes: Axes, history: Sequence[dict[str, Any]]) -> None:
    """A second axis below the steps: round numbers of minutes of training where they had passed."""
    ordered = sorted(history, key=lambda record: record["step"])
    at, minutes = _column(ordered, "step"), _column(ordered, "seconds") / 60
    locator = MaxNLocator(6, steps=[1, 2, 5, 10])
    ticks = [tick for tick in locator.tick_values(0, minutes[-1]) if 0 <= tick <= minutes[-1]]
    below = axes.secondary_xaxis(-0.5)
    below.set_xticks(np.interp(ticks, [0, *minutes], [0, *at]), [f"{tick:g}" for tick in ticks])
    below.set_xlabel("minutes of training")


def _column(records: Sequence[dict[str, Any]], key: str) -> np.ndarray:
    return np.array([record[key] for record in records], np.float64)


def _minutes(minutes: float) -> str:
    return f"{60 * minutes:.0f} s" if minutes < 1 else f"{minutes:.1f} min"
