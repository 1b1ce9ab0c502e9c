"""Where a NaN came from."""

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
    """The path of the layer whose output is the first that is not finite in a step, None if all are finite.

    The step that failed has spoilt the weights, so the model goes back to its newest checkpoint and repeats the steps
    up to the one before, which are at most as many as lie between two checkpoints.
    """
    start = checkpoints.steps()[-1]
    checkpoints.load(variables, start)
    for number, batch in zip(range(start + 1, step + 1), keras_batches(feed.train(start, WHOLE)), strict=False):
        if number < step:
            model.train_function(iter([batch]))
    with _watched_layers() as paths:
        model.train_step(batch)  # eagerly, where outputs can be looked at
    return paths[0] if paths else None


@contextlib.contextmanager
def _watched_layers() -> Iterator[list[str]]:
    """Collects the paths of all layers that return something that is not finite, inner ones before outer ones."""
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
