"""Export: a trained model as the next version of a TF Serving base path."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ikelos.serving.examples import Outputs, write_examples
from ikelos.serving.incoming import incoming, publish
from ikelos.serving.provenance import write_provenance
from ikelos.serving.signature import Signature, is_name
from ikelos.serving.values import DTYPES
from ikelos.serving.warmup import write_warmup

if TYPE_CHECKING:
    import tensorflow as tf


def export(
    base_path: str | os.PathLike,
    trackable: object,
    signatures: Sequence[Signature],
    provenance: dict[str, Any] | None = None,
    begin: Callable[[str], None] = lambda step: None,
) -> pathlib.Path:
    """Writes a SavedModel that a stock TensorFlow Serving loads, as the next version of a base path.

    The functions are traced on the reference path of the kernels, so that the graph has ops of TensorFlow and
    TF Text only; the stock check then proves it. The version appears whole, by one rename: a server that
    polls the base path, or a crash at any moment, never sees a part of it. Only what the signatures use is
    saved: no optimizer, no metrics.

    Args:
        base_path: the folder with the versions `1`, `2`, ...; made if it isn't there.
        trackable: what the functions use: a Keras model, a tf.Module, or a list or dict of such, with their
            lookup tables and tokenizers.
        signatures: what the version offers, one of them preferably called `serving_default`.
        provenance: JSON that says what the version was made from, kept for `read_provenance`.
        begin: is told of each of the `export_steps` when it begins, in a few words.

    Returns:
        The folder of the new version.

    Raises:
        ValueError: two signatures have one name, or a function uses what `trackable` doesn't hold or returns
            something else than a dict of named, batch-first, dense tensors.
        tf.errors.OpError: a function fails on its own example.
        CheckFailed: the version does not run on a stock server as it does here. It gets no number.
        OSError: something can't be written. Nothing is left behind.
    """
    import tensorflow as tf

    from ikelos.serving import stock_check

    names = [signature.name for signature in signatures]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"signatures must have different names, at least one. Received: {names}")
    functions = {}
    for signature in signatures:
        begin(f"tracing {signature.name}")
        functions[signature.name] = _trace(signature)
    module = _servable(trackable, functions)
    base = pathlib.Path(base_path)
    with incoming(base) as folder:
        version = folder / "version"
        begin("saving")
        try:
            tf.saved_model.save(module, str(version), signatures=functions)
        except tf.errors.OpError as error:
            raise OSError(f"Can't write the model into {base}: {error.message}") from error
        # After saving: a function with a state must not have moved it on.
        begin("running the examples")
        write_examples(version, signatures, _answers(signatures, functions))
        write_warmup(version, signatures)
        if provenance is not None:
            write_provenance(version, provenance)
        begin("stock check")
        stock_check(version)
        return publish(version, base)


def export_steps(signatures: Sequence[Signature]) -> int:
    """How many steps an export of these signatures takes: a trace of each, saving, their examples, the stock check."""
    return len(signatures) + 3


def _trace(signature: Signature) -> tf.types.experimental.ConcreteFunction:
    import tensorflow as tf

    from ikelos import kernels

    def call(**inputs):
        outputs = signature.function(**inputs)
        _check_outputs(signature.name, outputs)
        return outputs

    # The name of a spec becomes the name of the input.
    specs = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in signature.inputs.items()}
    with kernels.use("reference"):
        return tf.function(call).get_concrete_function(**specs)


def _check_outputs(name: str, outputs: object) -> None:
    import tensorflow as tf

    if not isinstance(outputs, dict) or not outputs:
        raise ValueError(f"Signature {name!r}: function must return a dict of tensors. Received: {outputs!r}")
    for key, tensor in outputs.items():
        label = f"Signature {name!r}: output {key!r}"
        if not is_name(key):
            raise ValueError(f"{label} must be named by letters, digits and _, a letter first")
        if not isinstance(tensor, tf.Tensor):
            raise ValueError(f"{label} must be a dense tensor. Received: {tensor!r}")
        if tensor.dtype.name not in DTYPES:
            raise ValueError(f"{label} must have one of the dtypes {', '.join(DTYPES)}. Received: {tensor.dtype.name}")
        if tensor.shape.rank == 0 or (tensor.shape.rank and tensor.shape[0] is not None):
            raise ValueError(f"{label} must be batch-first, with shape [None, ...]. Received: shape {tensor.shape}")


def _servable(trackable: object, functions: dict) -> tf.Module:
    """A module with the variables and tables that the functions use, and nothing else that `trackable` holds.

    Saving `trackable` itself would save a compiled Keras model's optimizer too: twice the size of the
    weights.
    """
    import tensorflow as tf

    root, module = tf.Module(), tf.Module()
    root.held = trackable
    module.used = [variable for function in functions.values() for variable in function.variables]
    resources = {id(variable.handle): variable for variable in module.used}
    for held in tf.train.TrackableView(root).descendants():
        resources[id(getattr(held, "resource_handle", None))] = held
    for name, function in functions.items():
        for tensor in function.captured_inputs:
            if tensor.dtype != tf.resource:
                continue
            if id(tensor) not in resources:
                raise ValueError(f"Signature {name!r}: its function uses a table that trackable doesn't hold: {tensor}")
            module.used.append(resources[id(tensor)])
    return module


def _answers(signatures: Sequence[Signature], functions: dict) -> Outputs:
    """What the traced functions give for the examples, for the stock check to compare with."""
    import tensorflow as tf

    answers = {}
    for signature in signatures:
        arrays = signature.example_arrays()
        rows = len(next(iter(arrays.values())))
        inputs = {name: tf.constant(array, signature.inputs[name].dtype) for name, array in arrays.items()}
        outputs = {name: tensor.numpy() for name, tensor in functions[signature.name](**inputs).items()}
        for name, array in outputs.items():
            if len(array) != rows:
                raise ValueError(
                    f"Signature {signature.name!r}: output {name!r} must have a row for each of the "
                    f"{rows} rows of the example. Received: shape {array.shape}"
                )
        answers[signature.name] = outputs
    return answers
