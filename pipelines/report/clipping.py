"""A section that compares trainings with and without clipping."""

from collections.abc import Mapping, Sequence

from ikelos.pipelines.report import curves
from ikelos.pipelines.report.curves import Curves, Points
from ikelos.pipelines.report.sections import Picture
from ikelos.pipelines.training.history import Record


def section(histories: Mapping[str, Sequence[Record]], clip_norm: float, unit: str, prose: str) -> Picture:
    """Returns the section with the curves of the loss and of the largest gradient norm.

    Args:
        histories: Records of each training, with one optimizer, by name.
        clip_norm: Largest gradient norm with clipping.
        unit: Unit of the loss, such as `nats per token`.
        prose: What was trained.
    """
    steps = {name: [one for one in records if one["event"] == "step"] for name, records in histories.items()}

    def curves_of(key: str) -> dict[str, Points]:
        return {name: [(one["step"], one[key]) for one in records] for name, records in steps.items()}

    return Picture(
        heading="Clipping",
        prose=[prose],
        figure=curves.draw(
            [
                Curves(f"Loss in {unit}", curves_of("loss")),
                Curves("Largest gradient norm", curves_of("gradient_norm_max"), "log", level=("clip norm", clip_norm)),
            ],
            "step",
        ),
        alt="Loss at the last record: "
        + ", ".join(f"{name} {records[-1]['loss']:.2f}" for name, records in steps.items() if records),
    )
