"""Search for the layer in which a NaN first appears."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf

from ikelos.pipelines.data.order import WHOLE
from ikelos.pipelines.training.checkpoint import Checkpoints
from ikelos.pipelines.training.stage import Feed, keras_batches


def first_bad_layer(
    feed: Feed, model: keras.Model, variables: Sequence[keras.Variable], checkpoints: Checkpoints, step: int
) -> str | None:
    """Returns the path of the first layer in a step whose output is not finite, None if all outputs are finite.

    The failed step has spoilt the weights. So the newest checkpoint is loaded and the steps from there to the failed
    one are repeated, at most as many as lie between two checkpoints.
    """
    start = checkpoints.steps()[-1]
    checkpoints.load(variables, start)
    for number, batch in zip(range(start + 1, step + 1), keras_batches(feed.train(start, WHOLE)), strict=False):
        if number < step:
            model.train_function(iter([batch]))
    with _watched_layers() as paths:
        model.train_step(batch)  # eager, so that the outputs can be inspected
    return paths[0] if paths else None


@contextlib.contextmanager
def _watched_layers() -> Iterator[list[str]]:
    """Context manager that yields a list and adds to it the path of each layer with an output that is not finite.

    Inner layers come before outer ones.
    """
    call, paths = keras.layers.Layer.__call__, []

    def watched(layer, *args, **kwargs):
        outputs = call(layer, *args, **kwargs)
        floats = [o for o in keras.tree.flatten(outputs) if tf.is_tensor(o) and o.dtype.is_floating]
        if not all(tf.reduce_all(tf.math.is_finite(o)) for o in floats):
            paths.append(layer.path)
        return outputs

    keras.layers.Layer.__call__ = watched
    try:
        yield paths
    finally:
        keras.layers.Layer.__call__ = call
