"""Accuracy by lag, the number of steps over which a network must remember something."""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from ikelos.pipelines.report import curves
from ikelos.pipelines.report.curves import Curves, Points
from ikelos.pipelines.report.sections import Picture
from ikelos.pipelines.sequences.problems import TEST, Problem, one_batch_per_lag

Answer = Callable[[tf.Tensor], tf.Tensor]
"""Function from inputs to outputs `[B,T,V]`: a network, or the `guess` of a problem."""


def accuracy(problem: Problem, answer: Answer, lags: Sequence[int], examples: int, seed: int) -> Points:
    """Returns the percentage of right answers at each lag: points `(lag, percentage)`.

    Args:
        problem: The problem.
        answer: What is measured.
        lags: The lags.
        examples: Test examples for each lag.
        seed: Seed of the examples.
    """
    points = []
    for lag, batch in zip(lags, one_batch_per_lag(problem, lags, examples, seed, TEST), strict=True):
        is_right = tf.boolean_mask(problem.is_right(answer(batch["x"]), batch["y"]), batch["sample_weight"] > 0)
        points.append((lag, 100 * float(tf.reduce_mean(tf.cast(is_right, tf.float32)))))
    return points


def section(accuracies: Mapping[str, Mapping[str, Points]], guessing: Mapping[str, float]) -> Picture:
    """Returns the report's section with the results of `accuracy`.

    Args:
        accuracies: Points by the title of the problem and the name of the network.
        guessing: Percentage that guessing gets right, by the title of the problem.
    """
    panels = [Curves(title, found, level=("guessing", guessing[title])) for title, found in accuracies.items()]
    return Picture(
        heading="Accuracy by lag",
        prose=["Each network was trained on all lags of the recipe at once."],
        figure=curves.draw(panels, "lag in steps", "log", columns=2),
        alt=". ".join(f"{title} by lag: {curves.ends_in_words(found)}" for title, found in accuracies.items()),
    )
