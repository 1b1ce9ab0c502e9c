"""Norm of gradients by their distance in time from the loss."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from ikelos.pipelines.report import curves
from ikelos.pipelines.report.curves import Curves, Points
from ikelos.pipelines.report.sections import Picture


def by_distance(model: keras.Sequential, x: tf.Tensor, y: tf.Tensor) -> Points:
    """Returns the mean norm of the gradient of the last step's loss with respect to each embedded input.

    Args:
        model: Layers of which the first embeds the tokens, and the last returns logits.
        x: Tokens, int32 `[B,T]`.
        y: Tokens that follow them, int32 `[B,T]`.

    Returns:
        A point `(distance, norm)` for each distance in time from the last step, 0 to T - 1.
    """
    embedding, *layers = model.layers
    embedded = embedding(x)
    with tf.GradientTape() as tape:
        tape.watch(embedded)
        hidden = embedded
        for layer in layers:
            hidden = layer(hidden)
        # A sum over the texts: the gradient of each is that of its own loss.
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(y[:, -1], hidden[:, -1]))
    # In float32 the squares of a vanished gradient would be 0.
    gradients = tf.cast(tape.gradient(loss, embedded), tf.float64)
    norms = tf.reduce_mean(tf.norm(gradients, axis=-1), axis=0).numpy()
    return [(distance, float(norm)) for distance, norm in enumerate(norms[::-1])]


def section(untrained: Mapping[str, Points], trained: Mapping[str, Points], gains: Mapping[str, Points]) -> Picture:
    """Returns the report's section with the results of `by_distance`.

    Args:
        untrained: Points of networks before training, by name.
        trained: Points of the same networks after training, by name.
        gains: Points of untrained plain RNNs by the gain of their orthogonal recurrent weights.
    """
    panels = [
        Curves("Before training", untrained, "log"),
        Curves("After training", trained, "log"),
        Curves("Plain RNN, before training", {f"gain {gain}": points for gain, points in gains.items()}, "log"),
    ]
    return Picture(
        heading="Gradients by distance in time",
        prose=[
            "Mean norm of the gradient of the last step's loss with respect to the embedded inputs, by their distance "
            "from the last step, on test text. Below: the plain RNN with orthogonal recurrent weights times a gain."
        ],
        figure=curves.draw(panels, "distance in steps", columns=2),
        alt="Gradient norm by distance in time, before training, from the last step to the farthest: "
        + curves.ends_in_words(untrained, ".1e"),
    )
