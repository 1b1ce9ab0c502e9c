"""Report sections of sequence dynamics: charts and a table of all networks."""

from collections.abc import Mapping, Sequence
from typing import Any

from ikelos.pipelines.report import curves
from ikelos.pipelines.report.curves import Curves
from ikelos.pipelines.report.sections import Column, Picture, Section, Table
from ikelos.pipelines.training.history import Record

NAMES = {
    "rnn": "plain RNN",
    "lstm": "LSTM",
    "gru": "GRU",
    "transformer": "Transformer",
    "transformer_without_positions": "without positions",
}
"""Names of the networks in charts, where they must be short; "without positions" is a Transformer."""


def of_networks(
    results: Mapping[str, Any], clipping: Mapping[str, Sequence[Record]], clip_norm: float
) -> list[Section]:
    """Returns the sections on all networks, and on clipping.

    Args:
        results: The results of `phases.evaluate`.
        clipping: Training records of the plain RNN with exploding gradients, with and without clipping.
        clip_norm: Largest gradient norm with clipping.
    """
    figures, (guessing,) = results["model"], results["baselines"].values()
    return [
        _by_lag(figures["accuracies"], guessing["accuracies"]),
        _gradients(figures["gradients"]),
        _clipping(clipping, clip_norm),
        _speeds(figures),
        Table(
            heading="Text",
            prose=["Cost of the test text, in windows without overlap."],
            columns=[Column("Network"), Column("Nats per token", ".3f")],
            rows=[[NAMES[kind], nats] for kind, nats in figures["nats_per_token"].items()],
        ),
    ]


def _by_lag(accuracies: Mapping[str, Any], guessing: Mapping[str, Any]) -> Picture:
    titles = {"copying": "Copy problem: % of symbols right", "adding": "Adding problem: % of sums right"}
    panels = [
        Curves(titles[name], _named(found), level=("guessing", guessing[name][0][1]))
        for name, found in accuracies.items()
    ]
    return Picture(
        heading="Accuracy by lag",
        prose=["Each network was trained on all lags of the recipe at once."],
        figure=curves.draw(panels, "lag in steps", "log", columns=2),
        alt=". ".join(f"{titles[name]} by lag: {_words(found)}" for name, found in accuracies.items()),
    )


def _gradients(gradients: Mapping[str, Any]) -> Picture:
    gains = {f"gain {gain}": points for gain, points in gradients["gains"].items()}
    panels = [
        Curves("Before training", _named(gradients["untrained"]), "log"),
        Curves("After training", _named(gradients["trained"]), "log"),
        Curves("Plain RNN, before training", gains, "log"),
    ]
    return Picture(
        heading="Gradients by distance in time",
        prose=[
            "Mean norm of the gradient of the last step's loss with respect to the embedded inputs, by their distance "
            "from the last step, on test text. Below: the plain RNN with orthogonal recurrent weights times a gain."
        ],
        figure=curves.draw(panels, "distance in steps", columns=2),
        alt="Gradient norm by distance in time, before training, from the last step to the farthest: "
        + _words(gradients["untrained"], ".1e"),
    )


def _clipping(histories: Mapping[str, Sequence[Record]], clip_norm: float) -> Picture:
    steps = {name: [one for one in records if one["event"] == "step"] for name, records in histories.items()}

    def curve(key):
        return {name: [(one["step"], one[key]) for one in records] for name, records in steps.items()}

    return Picture(
        heading="Clipping",
        prose=["A plain RNN whose recurrent weights begin so large that its gradients explode, trained on the text."],
        figure=curves.draw(
            [
                Curves("Loss in nats per token", curve("loss")),
                Curves("Largest gradient norm", curve("gradient_norm_max"), "log", level=("clip norm", clip_norm)),
            ],
            "step",
        ),
        alt="Loss at the last record: "
        + ", ".join(f"{name} {records[-1]['loss']:.2f}" for name, records in steps.items() if records),
    )


def _speeds(figures: Mapping[str, Any]) -> Picture:
    training, decoding = figures["step_milliseconds"], figures["tokens_per_second"]
    return Picture(
        heading="Speed by length",
        prose=[
            "A Transformer reads all tokens in parallel, but attends to each pair of them; a recurrent network takes "
            "them one after the other. In decoding, a Transformer attends to all tokens before, and a recurrent "
            "network's state has one size. Medians of interleaved runs on this machine."
        ],
        figure=curves.draw(
            [
                Curves("Milliseconds of a training step", _named(training), "log"),
                Curves("Tokens a second in decoding", _named(decoding), "log"),
            ],
            "length in tokens",
            "log",
            columns=2,
        ),
        alt=f"Milliseconds of a training step by length: {_words(training)}. "
        f"Tokens a second: {_words(decoding, '.0f')}",
    )


def _named(found: Mapping[str, Any]) -> dict[str, Any]:
    return {NAMES[kind]: points for kind, points in found.items()}


def _words(found: Mapping[str, Any], form: str = ".1f") -> str:
    """Returns the first and the last value of each network in words."""
    return ", ".join(f"{NAMES[kind]} {points[0][1]:{form}} to {points[-1][1]:{form}}" for kind, points in found.items())
