"""`check_layer`: tests in one call that a Keras 3 layer behaves as users expect of any layer.

It works for layers of any project and in any test framework. It needs only Keras on TensorFlow, uses no random numbers
except for the layer's initial weights, and takes a few seconds, mostly for the export. With pytest:

    def test_keeps_the_contract_of_keras():
        check_layer(MyLayer, {"units": 4, "activation": "tanh"}, inputs=np.ones([2, 5, 3], "float32"))

With unittest, which reports the same message:

    class MyLayerTest(unittest.TestCase):
        def test_keeps_the_contract_of_keras(self):
            check_layer(MyLayer, {"units": 4, "activation": "tanh"}, inputs=np.ones([2, 5, 3], "float32"))

The checks, in order, and the consequences of a failure for users of the layer. A failed check raises an
`AssertionError` whose message describes the failure.

- Config: every argument of the constructor is in `get_config`, as JSON data, and `from_config` restores it. Otherwise a
  saved model is loaded as a different one.
- Shapes and dtypes: outputs have the shape from `compute_output_shape` and the compute dtype of the policy, and are
  finite. Otherwise a functional model cannot be built, or computes in another precision than requested.
- Gradients: each trainable weight has a finite gradient, and so do the inputs if they are floats. Otherwise a weight
  silently never learns.
- Masks, if a `mask` is given: the layer passes it on, and masked inputs do not change valid outputs. Otherwise results
  depend on the padding of a batch.
- Compilation: outputs are the same under `jit_compile=True`.
- Files: outputs are the same when the layer is loaded from a `.keras` file and from an exported SavedModel. Otherwise a
  server loses weights or settings.
- Mixed precision: outputs under the policy `mixed_bfloat16` are the same up to the precision of bfloat16.

Example:

A layer of another project subtracts the mean over the valid steps from each step. It is registered, because Keras
could not load it from a file otherwise.

>>> import keras
>>> import numpy as np
>>> from ikelos.layers.testing import check_layer
>>> @keras.saving.register_keras_serializable(package="my_project")
... class Centred(keras.layers.Layer):
...     def __init__(self, factor=1.0, **kwargs):
...         super().__init__(**kwargs)
...         self.factor = factor
...         self.supports_masking = True
...
...     def build(self, input_shape):
...         self.offset = self.add_weight(shape=(input_shape[-1],), name="offset")
...
...     def call(self, inputs, mask=None):
...         valid = keras.ops.ones_like(inputs[..., :1])
...         if mask is not None:
...             valid = keras.ops.cast(mask, inputs.dtype)[..., None]
...         mean = keras.ops.sum(valid * inputs, axis=1) / keras.ops.sum(valid, axis=1)
...         return self.factor * (inputs - mean[:, None]) + self.offset
...
...     def get_config(self):
...         return {**super().get_config(), "factor": self.factor}
>>> inputs = np.random.default_rng(0).normal(size=[2, 5, 3]).astype("float32")
>>> mask = np.array([[True, True, True, False, False], [True, True, True, True, True]])
>>> check_layer(Centred, {"factor": 2.0}, inputs, mask=mask)

A layer whose config lacks an argument and a layer that ignores the mask both fail:

>>> class Forgetful(Centred):
...     def get_config(self):
...         return keras.layers.Layer.get_config(self)
>>> check_layer(Forgetful, {"factor": 2.0}, inputs)
Traceback (most recent call last):
AssertionError: get_config() leaves out `factor`
>>> class Leaking(Centred):
...     def call(self, inputs):
...         return super().call(inputs)
>>> check_layer(Leaking, {"factor": 2.0}, inputs, mask=mask)  # doctest: +ELLIPSIS
Traceback (most recent call last):
AssertionError: ...
Unequal where the mask is true, after a change where it is false
...
"""

import inspect
import json
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf

# Allows 8 rounding errors in a layer, each half a unit in the last place of bfloat16 at the largest output.
_BFLOAT16_TOLERANCE = 8 * 2.0**-8


def check_layer(
    layer_class,
    init_kwargs,
    inputs,
    *,
    config_kwargs=None,
    call_kwargs=None,
    mask=None,
    output_dtype=None,
    tolerance=1e-5,
):
    """Checks a layer's config, shapes, dtypes, gradients, masks, compilation and files.

    The docstring of this module describes each check.

    Args:
        layer_class: A subclass of `keras.layers.Layer`, registered with Keras.
        init_kwargs: Arguments of the constructor for a layer without randomness outside training.
        inputs: Array `[B,...]`, the first argument of `call`.
        config_kwargs: A value, other than the default, for each argument of the constructor that is not in
            `init_kwargs`. Only the check of the config uses them.
        call_kwargs: Further tensor arguments of `call`, as arrays `[B,...]` by name.
        mask: bool array `[B,T]` with both values, for a layer that supports masks. It becomes the Keras mask of
            `inputs` `[B,T,...]`. None skips the check of masks. Outputs `[B,T,...]` must have the same mask, and where
            it is True they must not depend on inputs where it is False. Other outputs, such as a last state, must not
            depend on masked inputs in rows with a valid step. No other axis of the outputs may have the size T.
        output_dtype: Dtype of the outputs, if the layer fixes it; by default the compute dtype of the policy.
        tolerance: Largest difference between equal outputs, relative to the largest output.

    Raises:
        AssertionError: If a check fails.
        ValueError: If `layer_class` is not a subclass of `keras.layers.Layer` or `inputs` have no batch axis.
    """
    check_config(layer_class, {**init_kwargs, **(config_kwargs or {})})
    arguments = {"inputs": inputs, **(call_kwargs or {})}
    arguments = {name: tf.convert_to_tensor(x) for name, x in arguments.items()}
    for name, x in arguments.items():
        if x.shape.rank == 0:
            raise ValueError(f"`{name}` must have the shape [B,...]. Received: {name}.shape={x.shape}")

    layer = layer_class(**init_kwargs, dtype="float32")
    model = _model(layer, arguments)
    outputs = _check_outputs(model, arguments, output_dtype or "float32")
    _check_gradients(model, arguments)
    if mask is not None:
        _check_mask(layer, arguments, np.asarray(mask), tolerance)
    _assert_equal(tf.function(model, jit_compile=True)(arguments), outputs, tolerance, "compiled by XLA")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        model.save(path / "model.keras")
        again = keras.saving.load_model(path / "model.keras")
        _assert_equal(again(arguments), outputs, tolerance, "loaded from a .keras file")
        _export(model, layer, arguments, path / "exported")
        exported = tf.saved_model.load(path / "exported")
        _assert_equal(exported.serve(arguments), outputs, tolerance, "loaded from a SavedModel")

    half = _model(layer_class(**init_kwargs, dtype="mixed_bfloat16"), arguments)
    half.set_weights(model.get_weights())
    half_outputs = _check_outputs(half, arguments, output_dtype or "bfloat16")
    _assert_equal(half_outputs, outputs, _BFLOAT16_TOLERANCE, "under mixed_bfloat16")


def check_config(layer_class, init_kwargs):
    """Checks that `get_config` holds every argument of the constructor and that `from_config` takes it back.

    Args:
        layer_class: A subclass of `keras.layers.Layer`.
        init_kwargs: A value, other than the default, for every argument of the constructor. Arguments that the
            constructor takes in `**kwargs` may be given too.

    Raises:
        AssertionError: If an argument is lost or changed, is missing in `init_kwargs`, or has its default value there.
        ValueError: If `layer_class` is not a subclass of `keras.layers.Layer`.
    """
    if keras.layers.Layer not in getattr(layer_class, "__mro__", ()):
        raise ValueError(
            f"`layer_class` must be a subclass of keras.layers.Layer. Received: layer_class={layer_class!r}"
        )
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(layer_class).parameters
    missing = [name for name, p in parameters.items() if p.kind in named and name not in init_kwargs]
    assert not missing, f"Expected a value for every argument of {layer_class.__name__}. Missing: {missing}"

    def config_of(layer):
        return json.loads(json.dumps(layer.get_config()))

    layer = layer_class(**init_kwargs)
    config, again = config_of(layer), config_of(layer_class.from_config(layer.get_config()))
    for name, value in init_kwargs.items():
        assert name in config, f"get_config() leaves out `{name}`"
        assert again[name] == config[name], f"from_config() changes `{name}`={config[name]} to {again[name]}"
        if name in parameters and parameters[name].default is not inspect.Parameter.empty:
            plain = config_of(layer_class(**{**init_kwargs, name: parameters[name].default}))
            assert plain[name] != config[name], (
                f"Expected a config that differs from the default's. Received: `{name}`={value}, "
                f"for which get_config() has {config[name]} as for the default"
            )


def _model(layer, arguments):
    """Returns a functional model of the layer alone, whose output shapes are those from `compute_output_shape`."""
    symbols = {name: keras.Input(x.shape[1:], dtype=x.dtype.name, name=name) for name, x in arguments.items()}
    further = {name: x for name, x in symbols.items() if name != "inputs"}
    return keras.Model(symbols, layer(symbols["inputs"], **further))


def _export(model, layer, arguments, path):
    """Exports like `model.export(path)`, but traces the model twice instead of four times.

    Keras would trace it again for an `input_signature` and for a tracked model.
    """
    specs = {name: tf.TensorSpec([None, *x.shape[1:]], x.dtype, name) for name, x in arguments.items()}
    serve = tf.function(model.__call__, autograph=False)
    serve.get_concrete_function(specs)
    archive = keras.export.ExportArchive()
    archive.track(layer)
    archive.add_endpoint("serve", serve)
    archive.write_out(path, verbose=False)


def _check_outputs(model, arguments, dtype):
    outputs = model(arguments)
    for symbol, output in zip(tf.nest.flatten(model.output), tf.nest.flatten(outputs), strict=True):
        assert output.dtype == dtype, f"Expected outputs of dtype {dtype}. Received: {output.dtype.name}"
        assert output.shape.is_compatible_with(symbol.shape), (
            f"compute_output_shape() gives {symbol.shape}. Received: outputs of shape {output.shape}"
        )
        assert np.isfinite(tf.cast(output, tf.float32)).all(), "Expected finite outputs"
    return outputs


def _check_gradients(model, arguments):
    floats = [x for x in arguments.values() if x.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(floats)
        # Squares, because the gradient of a plain sum is 0 through a softmax.
        loss = sum(tf.reduce_sum(tf.square(x)) for x in tf.nest.flatten(model(arguments)))
    names = [weight.path for weight in model.trainable_variables] + ["inputs"] * len(floats)
    weights = [weight.value for weight in model.trainable_variables]
    for name, gradient in zip(names, tape.gradient(loss, weights + floats), strict=True):
        assert gradient is not None, f"`{name}` gets no gradient"
        assert np.isfinite(tf.convert_to_tensor(gradient)).all(), f"`{name}` gets a gradient that is not finite"


def _check_mask(layer, arguments, mask, tolerance):
    assert np.unique(mask).size == 2, f"Expected a mask with true and false in it. Received: {mask}"
    assert layer.supports_masking, "`supports_masking` is False: Keras drops the mask at this layer"

    def call(inputs):
        # A new tensor for each call, because the mask is attached to it.
        inputs = tf.identity(inputs)
        inputs._keras_mask = tf.constant(mask)
        return tf.nest.flatten(layer(inputs, **{name: x for name, x in arguments.items() if name != "inputs"}))

    def valid(outputs):
        outputs = [tf.convert_to_tensor(x) for x in outputs]
        return [x[mask] if x.shape[:2] == mask.shape else x[mask.any(axis=1)] for x in outputs]

    outputs = call(arguments["inputs"])
    for output in outputs:
        if output.shape[:2] == mask.shape:
            carried = getattr(output, "_keras_mask", None)
            assert carried is not None, f"Outputs of shape {output.shape} do not carry the mask on"
            assert np.array_equal(carried, mask), f"Outputs of shape {output.shape} carry another mask on: {carried}"
    compiled = tf.function(call, jit_compile=True)(arguments["inputs"])
    _assert_equal(valid(compiled), valid(outputs), tolerance, "compiled by XLA, with a mask")
    changed = call(_changed_where_false(arguments["inputs"], mask))
    _assert_equal(valid(changed), valid(outputs), tolerance, "where the mask is true, after a change where it is false")


def _changed_where_false(inputs, mask):
    """Returns `inputs` with other values where `mask` is False.

    Integers and bools are replaced by those of the step before, because these are known to be valid inputs.
    """
    mask = mask.reshape(mask.shape + (1,) * (len(inputs.shape) - 2))
    others = 1 - 2 * inputs if inputs.dtype.is_floating else tf.roll(inputs, 1, axis=1)
    changed = tf.where(mask, inputs, others)
    assert np.any(changed != inputs), "Expected inputs that differ from step to step where the mask is false"
    return changed


def _assert_equal(actual, expected, tolerance, where):
    for x, y in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        x, y = (np.asarray(tf.cast(array, tf.float32)) for array in (x, y))
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * np.abs(y).max(), err_msg=f"Unequal {where}")
