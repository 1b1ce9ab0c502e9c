"""Export of a trained model as the next version in a TensorFlow Serving base path."""

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

    The functions are traced with the reference kernels, so that the graph contains only ops of TensorFlow and
    TF Text; the stock check then verifies this. The version appears in one rename, so a server that polls the base path
    never sees a partial version, and a crash never leaves one. Variables and tables that no signature uses are not
    saved, such as those of optimizers and metrics.

    Args:
        base_path: Folder with the versions `1`, `2`, ...; created if it does not exist.
        trackable: A Keras model, a tf.Module, or a list or dict of these, which contains all variables, lookup tables
            and tokenizers that the functions use.
        signatures: The signatures of the version, one of them preferably called `serving_default`.
        provenance: JSON data about the origin of the version, for `read_provenance`.
        begin: Function that is called with a short description when each of the `export_steps` begins.

    Returns:
        The folder of the new version.

    Raises:
        ValueError: If there is no signature or two have the same name, or if a function uses a table that `trackable`
            does not contain or does not return a dict of named, batch-first, dense tensors.
        tf.errors.OpError: If a function fails on its example.
        CheckFailed: If the version does not run on a stock server as it does here. The version is deleted.
        OSError: If a file cannot be written. The unfinished version is deleted.
    """
    import tensorflow as tf

    from ikelos.serving import stock_check

    names = [signature.name for signature in signatures]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"`signatures` must be at least one, with different names. Received: names={names}")
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
            raise OSError(f"The model cannot be written into {base}: {error.message}") from error
        # The functions run after saving, because running may change the state of a function.
        begin("running the examples")
        write_examples(version, signatures, _run_examples(signatures, functions))
        write_warmup(version, signatures)
        if provenance is not None:
            write_provenance(version, provenance)
        begin("stock check")
        stock_check(version)
        return publish(version, base)


def export_steps(signatures: Sequence[Signature]) -> int:
    """Returns the number of steps of an export: a trace of each signature, saving, the examples, the stock check."""
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
        return tf.function(call, autograph=False).get_concrete_function(**specs)


def _check_outputs(name: str, outputs: object) -> None:
    import tensorflow as tf

    if not isinstance(outputs, dict) or not outputs:
        raise ValueError(f"Signature {name!r}: `function` must return a dict of tensors. Received: {outputs!r}")
    for key, tensor in outputs.items():
        label = f"Signature {name!r}: output {key!r}"
        if not is_name(key):
            raise ValueError(f"{label} must have a name of letters, digits and _, with a letter first")
        if not isinstance(tensor, tf.Tensor):
            raise ValueError(f"{label} must be a dense tensor. Received: {tensor!r}")
        if tensor.dtype.name not in DTYPES:
            raise ValueError(f"{label} must have one of the dtypes {', '.join(DTYPES)}. Received: {tensor.dtype.name}")
        if tensor.shape.rank == 0 or (tensor.shape.rank and tensor.shape[0] is not None):
            raise ValueError(f"{label} must be batch-first, with shape [None, ...]. Received: shape {tensor.shape}")


def _servable(trackable: object, functions: dict) -> tf.Module:
    """Returns a module with the variables and tables of `trackable` that the functions use.

    Saving `trackable` would also save the optimizer of a compiled Keras model, which can be twice the size of the
    weights.

    Raises:
        ValueError: If a function uses a table that `trackable` does not contain.
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
                raise ValueError(
                    f"Signature {name!r}: `trackable` must contain every table that it uses. Missing: {tensor}"
                )
            module.used.append(resources[id(tensor)])
    return module


def _run_examples(signatures: Sequence[Signature], functions: dict) -> Outputs:
    """Returns the outputs of the traced functions for their examples, with which the stock check compares.

    Raises:
        ValueError: If an output has another number of rows than the example.
    """
    import tensorflow as tf

    expected = {}
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
        expected[signature.name] = outputs
    return expected
