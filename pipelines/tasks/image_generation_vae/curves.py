"""How the parts of the loss went over the training."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ikelos.pipelines.report.figures import style
from ikelos.pipelines.report.palette import LIGHT


def parts(epochs: Sequence[dict[str, Any]], latent_size: int) -> Figure:
    """Reconstruction, divergence and active units on the validation images, one above the other.

    Args:
        epochs: The history's records of epochs, at least one.
        latent_size: Z, the most units that can be active.
    """
    panels = (
        ("validation_nll", "Reconstruction, nats per image", "ours"),
        ("validation_kl", "Divergence from the prior, nats per image", "other"),
        ("validation_active_units", f"Active units of {latent_size}", "third"),
    )
    steps = [record["step"] for record in epochs]
    with style():
        figure = Figure(figsize=(6.6, 6.6), layout="constrained")
        for axes, (key, title, colour) in zip(figure.subplots(3, 1, sharex=True), panels, strict=True):
            axes.plot(steps, [record[key] for record in epochs], color=LIGHT[colour], marker="o", markersize=5)
            axes.set_title(title)
        axes.set_ylim(0, 1.1 * latent_size)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure
