"""Export of a trained model as the next version in a TensorFlow Serving base path."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ikelos.serving.arguments import is_integer, require
from ikelos.serving.batches import Arrays, Run, run_batch, run_example
from ikelos.serving.bounds import Bound
from ikelos.serving.card import Card, write_card
from ikelos.serving.compare import difference
from ikelos.serving.examples import write_examples
from ikelos.serving.graph import MUST_COMPILE, NATIVE, PORTABLE, compiled_functions, custom_ops, native_library
from ikelos.serving.incoming import incoming, publish
from ikelos.serving.keras_signature import keras_signature, rounding_error
from ikelos.serving.saved import is_variable, servable, used_of
from ikelos.serving.signature import Signature, is_name
from ikelos.serving.values import DTYPES
from ikelos.serving.warmup import BATCH_SIZES, write_warmup
from ikelos.serving.weights import FLOAT32, check_format, output_changes, rounded_weights, size_facts

if TYPE_CHECKING:
    import tensorflow as tf


def export(
    base_path: str | os.PathLike,
    model: object,
    signatures: Sequence[Signature] | None = None,
    *,
    example: Mapping[str, Any] | Any = None,
    bounds: Mapping[str, Bound] | None = None,
    max_rows: int | None = None,
    flavour: str = PORTABLE,
    weights: str = FLOAT32,
    card: Card | None = None,
    warmup_batch_sizes: Sequence[int] = BATCH_SIZES,
    begin: Callable[[str], None] = lambda step: None,
) -> pathlib.Path:
    """Writes a SavedModel that TensorFlow Serving loads, as the next version of a base path.

    With the flavour `portable`, a stock server loads it: the functions are traced with the reference kernels, so that
    the graph contains only ops of TensorFlow and TF Text. With `native`, they are traced with our custom ops, for a
    server that links them. The stock check verifies either. Each signature is also run on batches of 1 and 7 rows, in
    which the rows of its example must have the same outputs; and the signature that is made of a Keras model must give
    the model's own outputs.

    The version appears in one rename, so a server that polls the base path never sees a partial version, and a crash
    never leaves one. Variables and tables that no signature uses are not saved, such as those of optimizers and
    metrics, and neither are the gradients of our ops.

    With the weights `bfloat16` or `int8`, the files hold each float32 variable of two axes or more in half or a quarter
    of the bytes; a server computes float32 values of them when it loads the version, so requests take as long as with
    `float32`. All checks are made with these values, which the model has meanwhile; at the end it has its own again.
    The card tells how far the outputs of the examples are from those with float32 weights.

    Args:
        base_path: Folder with the versions `1`, `2`, ...; created if it does not exist.
        model: A Keras model, a tf.Module, or a list or dict of these, which contains all variables, lookup tables
            and tokenizers that the functions use.
        signatures: The signatures of the version, one of them preferably called `serving_default`. None makes
            `serving_default` of a Keras model (`ikelos.serving.keras_signature`).
        example: As in `keras_signature`; only without `signatures`, which have their own.
        bounds: As in `keras_signature`; only without `signatures`.
        max_rows: As in `keras_signature`; only without `signatures`.
        flavour: `portable` or `native`.
        weights: Format in which the weights are stored: `float32`, `bfloat16`, or `int8` with a scale for each index of
            the last axis. Under `ikelos.serving.stored_weights` a model can be measured with these weights.
        card: What the model card says about the model.
        warmup_batch_sizes: Numbers of rows of the requests with which a server warms up, in increasing order; the
            `allowed_batch_sizes` of its batching (`ikelos.serving.deploy`).
        begin: Function that is called with a short description when each of the `export_steps` begins.

    Returns:
        The folder of the new version.

    Raises:
        ValueError: If there is no signature or two have the same name; a function uses a table that `model` does not
            contain, does not return a dict of named, batch-first, dense tensors, has `jit_compile=True`, or returns a
            number that is not finite for its example; with `int8`, a matrix has such a number; an argument is not as
            above; or as in `keras_signature`.
        LibraryError: If the flavour is `native` and the native library cannot be loaded.
        tf.errors.OpError: If a function fails on its example.
        CheckFailed: If a row has other outputs in another batch, the outputs are not those of the Keras model, or the
            version does not run on a server as it does here. The version is deleted.
        OSError: If a file cannot be written. The unfinished version is deleted.
    """
    import keras
    import tensorflow as tf

    from ikelos.serving import stock_check

    _check_arguments(base_path, model, signatures, (example, bounds, max_rows), flavour, card)
    check_format(weights)
    warmup_batch_sizes = _sizes(warmup_batch_sizes)
    is_keras = signatures is None
    if signatures is None:
        signatures = [keras_signature(model, example, bounds, max_rows)]
    names = [signature.name for signature in signatures]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"`signatures` must be at least one, with different names. Received: names={names}")
    functions = {}
    for signature in signatures:
        begin(f"tracing {signature.name}")
        functions[signature.name] = _trace(signature, flavour)
    _check_flavour(functions, flavour)
    used = used_of(model, functions)
    runs = {signature.name: _runner(signature, functions[signature.name]) for signature in signatures}
    base = pathlib.Path(base_path)
    with incoming(base) as folder:
        version = folder / "version"
        with rounded_weights(filter(is_variable, used), weights) as stored:
            begin("saving")
            # A server needs no gradients, and tracing those of our ops takes a sixth of the time of an export.
            options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
            try:
                tf.saved_model.save(servable(used, stored), str(version), signatures=functions, options=options)
            except tf.errors.OpError as error:
                raise OSError(f"The model cannot be written into {base}: {error.message}") from error
            # The functions run after saving, because running may change the state of a function.
            begin("running the examples")
            eps = rounding_error(model) if isinstance(model, keras.Model) else 0.0
            expected = {signature.name: run_example(signature, runs[signature.name], eps) for signature in signatures}
            if is_keras:
                _compare_with_keras(signatures[0], expected[names[0]], eps)
        write_examples(version, signatures, expected)
        write_warmup(version, signatures, warmup_batch_sizes)
        outputs = {name: function.structured_outputs for name, function in functions.items()}
        about = {
            **size_facts(filter(is_variable, used), weights, stored),
            "changes": {} if weights == FLOAT32 else _changes(signatures, runs, expected),
        }
        write_card(version, card or Card(), flavour, about, signatures, outputs, warmup_batch_sizes)
        begin("stock check")
        stock_check(version, library=native_library() if flavour == NATIVE else None)
        return publish(version, base)


def export_steps(signatures: Sequence[Signature]) -> int:
    """Returns the number of steps of an export: a trace of each signature, saving, the examples, the stock check."""
    return len(signatures) + 3


def _check_arguments(base_path, model, signatures, of_keras_signature, flavour, card) -> None:
    is_path = isinstance(base_path, str | os.PathLike)
    require(is_path, "base_path", "a path, with `model` after it: export(path, model)", base_path)
    require(flavour in (PORTABLE, NATIVE), "flavour", f"{PORTABLE!r} or {NATIVE!r}", flavour)
    require(card is None or isinstance(card, Card), "card", "a Card or None", card)
    if signatures is not None:
        are_signatures = isinstance(signatures, list | tuple) and all(isinstance(x, Signature) for x in signatures)
        require(are_signatures, "signatures", "a list of Signatures or None", signatures)
        if any(value is not None for value in of_keras_signature):
            raise ValueError("`example`, `bounds` and `max_rows` must be None with `signatures`, which have their own")
        return
    import keras

    if not isinstance(model, keras.Model):
        raise ValueError(f"`signatures` must be given for what is no Keras model. Received: model={model!r}")


def _sizes(warmup_batch_sizes: Any) -> list[int]:
    """Returns the sizes of the warm-up's batches as numbers of Python, because JSON cannot write those of NumPy."""
    sizes = list(warmup_batch_sizes) if isinstance(warmup_batch_sizes, Iterable) else []
    fits = bool(sizes) and all(map(is_integer, sizes)) and sizes[0] > 0 and sizes == sorted(set(sizes))
    require(fits, "warmup_batch_sizes", "positive integers in increasing order", warmup_batch_sizes)
    return [int(size) for size in sizes]


def _check_flavour(functions: Mapping[str, tf.types.experimental.ConcreteFunction], flavour: str) -> None:
    for name, function in functions.items():
        if compiled := compiled_functions(function):
            raise ValueError(f"Signature {name!r}: {MUST_COMPILE}. Received: {', '.join(compiled)}")
    if flavour == NATIVE and not any(map(custom_ops, functions.values())):
        raise ValueError(
            f"`flavour` must be {PORTABLE!r} for a model without native ops: any server runs it. Received: "
            f"flavour={NATIVE!r}"
        )


def _trace(signature: Signature, flavour: str) -> tf.types.experimental.ConcreteFunction:
    import tensorflow as tf

    from ikelos import kernels
    from ikelos.kernels import in_place

    def call(**inputs):
        outputs = signature(**inputs)
        _check_outputs(signature.name, outputs)
        return outputs

    # The name of a spec becomes the name of the input.
    specs = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in signature.inputs.items()}
    # Without a scope, the ops that have no native kernel for their inputs are traced with the reference.
    with contextlib.ExitStack() as scopes:
        if flavour == PORTABLE:
            scopes.enter_context(kernels.use("reference"))
            scopes.enter_context(in_place.allow_updates_in_place())
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


def _compare_with_keras(signature: Signature, expected: Mapping[str, Any], eps: float) -> None:
    """Raises CheckFailed if the outputs of an example are not those of the Keras model of the signature."""
    for name, array in _runner(signature, signature.function)(signature.example_arrays()).items():
        difference(f"Output {name!r}", expected[name], array, of="that of the Keras model", eps=eps)


def _changes(
    signatures: Iterable[Signature], runs: Mapping[str, Run], expected: Mapping[str, Arrays]
) -> dict[str, dict[str, float]]:
    """Returns how far the outputs of each signature's example differ from those with float32 weights."""
    return {
        one.name: output_changes(run_batch(one, runs[one.name], one.example_arrays()), expected[one.name])
        for one in signatures
    }


def _runner(signature: Signature, function: Callable) -> Run:
    """Returns a function from a batch of arrays to the outputs of a function of the signature's inputs."""
    import tensorflow as tf

    def run(arrays):
        inputs = {name: tf.constant(array, signature.inputs[name].dtype) for name, array in arrays.items()}
        return {name: tensor.numpy() for name, tensor in function(**inputs).items()}

    return run
