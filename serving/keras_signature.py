"""The signature of a Keras model: its named inputs and outputs, batch-first, with an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ikelos.serving.arguments import most
from ikelos.serving.bounds import Bound, fitted
from ikelos.serving.keras_inputs import inputs_of
from ikelos.serving.keras_outputs import named_outputs
from ikelos.serving.made_example import made_example
from ikelos.serving.signature import Signature

if TYPE_CHECKING:
    import keras

_NAME = "serving_default"


def keras_signature(
    model: keras.Model,
    example: Mapping[str, Any] | Any = None,
    bounds: Mapping[str, Bound] | None = None,
    max_rows: int | None = None,
) -> Signature:
    """Returns the signature `serving_default` of a model, with its own names, shapes and dtypes.

    An only input without a name is called `inputs`, and an only output whose layer was not given a name `outputs`.
    Other outputs have the names of their layers, with a number if the layer has several: the next one that is not part
    of another layer's name. Outputs of a subclassed model are called `output_0`, `output_1`, .... Where there are
    dicts, an output has its key; in dicts and lists within each other the keys and places on the way to it, such as
    `state_0` for the first of the list `state`.

    Args:
        model: A functional or Sequential model, or a subclassed one that was called on tensors of the shapes to serve,
            or on a dict of them. An input with `sparse=True` is served as a dense one.
        example: A batch of values for each input, by name, or for the only input. A subclassed model needs one, because
            Keras does not keep the dtypes of its inputs: they are those of the example, float32 for float64, and int32
            for Python's integers. Their shapes are those of the first call, or of an example by name. For other models
            None makes two rows of small numbers: integers of 1 and 2 (fewer if an embedding has fewer rows), floats
            between 0 and 1, one word in the first row and two in the second, and 32 positions along each axis of any
            size; or the numbers, rows, positions and words next to these that the bounds allow.
        bounds: Bounds of inputs by name.
        max_rows: Most rows of a batch.

    Raises:
        ValueError: If the model is not built, keeps a state between calls, has several inputs of which one has no
            name, two outputs of the same name, or an input or output that cannot be served, such as a ragged one; an
            example is missing or does not fit; or the bounds are not of the inputs, or their numbers not of the dtypes.
    """
    import tensorflow as tf

    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False):
            raise ValueError(
                f"`model` must not keep a state between calls: the next request may be another client's. Make the "
                f"state an input (`initial_state`) and an output (`return_state`). Received: layer {layer.name!r} with "
                "stateful=True"
            )
    label, max_rows = f"Signature {_NAME!r}", most("max_rows", max_rows)
    found = inputs_of(model, example)
    specs = {x.name: tf.TensorSpec(x.shape, x.dtype) for x in found.inputs}
    bounds = fitted(label, {} if bounds is None else bounds, specs)
    if found.example is None:
        batches = made_example(model, found.inputs, bounds, max_rows)
    else:
        batches = {name: _lists(batch) for name, batch in found.example.items()}
    return Signature(
        name=_NAME,
        function=lambda **tensors: named_outputs(model, found.call(tensors)),
        inputs=specs,
        example=batches,
        doc=f"Outputs of the Keras model {model.name}.",
        bounds=bounds,
        max_rows=max_rows,
    )


def rounding_error(model: keras.Model) -> float:
    """Returns the relative rounding error of the coarsest numbers with which a layer of a model computes."""
    import ml_dtypes  # which TensorFlow installs; NumPy does not know bfloat16

    names = {layer.compute_dtype for layer in model._flatten_layers() if "float" in (layer.compute_dtype or "")}
    return max((float(ml_dtypes.finfo(name).eps) for name in names), default=0.0)


def _lists(batch: Any) -> Any:
    # A list stays: NumPy would drop the zero bytes at the end of its bytes.
    return batch if isinstance(batch, list | tuple) else np.asarray(batch).tolist()
