"""`check_layer`: what every Keras 3 layer owes its users, checked in one call.

For layers of any project, in any test framework. It needs Keras on TensorFlow and no more, draws nothing at random
beyond the layer's initial weights, and takes some seconds, most of them for the export. With pytest:

    def test_keeps_the_contract_of_keras():
        check_layer(MyLayer, {"units": 4, "activation": "tanh"}, inputs=np.ones([2, 5, 3], "float32"))

With unittest, whose output then has the same message:

    class MyLayerTest(unittest.TestCase):
        def test_keeps_the_contract_of_keras(self):
            check_layer(MyLayer, {"units": 4, "activation": "tanh"}, inputs=np.ones([2, 5, 3], "float32"))

The promises, in the order in which they are checked, and what a user loses without each. A broken one raises
`AssertionError` with a message that names it.

- Config: every argument of the constructor is in `get_config`, as data that JSON can hold, and comes back by
  `from_config`. Else a saved model is loaded as another one.
- Shapes and dtypes: outputs have the shape that `compute_output_shape` tells and the policy's compute dtype, and are
  finite. Else a functional model can't be built, or computes in another precision than asked for.
- Gradients: each trainable weight gets one, and so do the inputs if they are floats; all are finite. Else something
  never learns, and no error says so.
- Masks, where a `mask` is given: the layer passes it on, and what is masked changes no valid output. Else padding
  leaks into results, which then hang on how a batch was padded.
- Compilation: under `jit_compile=True` outputs are equal.
- Files: outputs are equal when loaded from a `.keras` file and from an exported SavedModel. Else weights or settings
  are lost on the way to a server.
- Mixed precision: under the policy `mixed_bfloat16` outputs are equal up to that type's precision.

Example:

A layer of another project, which subtracts from each step the mean over the valid steps. It is registered, since
else Keras could not load it from a file.

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

One that forgets an argument, and one that forgets the mask:

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

# Half of a bfloat16's last place, relative to the largest output, for each of a layer's few roundings.
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

    What is promised in each is told at the top of this module.

    Args:
        layer_class: A subclass of `keras.layers.Layer`, registered with Keras.
        init_kwargs: Arguments of the constructor for a layer without randomness outside training.
        inputs: Array `[B,...]`, the first argument of `call`.
        config_kwargs: A value for each argument in the constructor's signature that `init_kwargs` leaves out.
            They are used for the check of the config alone.
        call_kwargs: Further tensor arguments of `call`, as arrays `[B,...]` by name.
        mask: bool array `[B,T]` with true and false in it, for a layer that supports masks; not checked when
            None. It is attached to `inputs` `[B,T,...]` as Keras does. Outputs `[B,T,...]` must carry it on, and
            be the same where it is true whatever stands in the inputs where it is false; other outputs, such as
            a last state, must be the same for all rows that have a valid step. T must not be the size of
            another axis of outputs.
        output_dtype: The outputs' dtype where the layer fixes it; the policy's compute dtype when None.
        tolerance: Largest difference between equal outputs, relative to the largest output.

    Raises:
        AssertionError: If the layer breaks a promise.
    """
    check_config(layer_class, {**init_kwargs, **(config_kwargs or {})})
    arguments = {"inputs": inputs, **(call_kwargs or {})}
    arguments = {name: tf.convert_to_tensor(x) for name, x in arguments.items()}

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
        model.export(path / "exported", verbose=False)
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
        init_kwargs: A value for every argument in the constructor's signature, different from its default.
            Arguments that `**kwargs` hides may be given too.

    Raises:
        AssertionError: If an argument is lost, or `init_kwargs` leaves one out or at its default.
    """
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
    """A functional model of the layer alone; its output shapes are those the layer foretells."""
    symbols = {name: keras.Input(x.shape[1:], dtype=x.dtype.name, name=name) for name, x in arguments.items()}
    further = {name: x for name, x in symbols.items() if name != "inputs"}
    return keras.Model(symbols, layer(symbols["inputs"], **further))


def _check_outputs(model, arguments, dtype):
    outputs = model(arguments)
    for symbol, output in zip(tf.nest.flatten(model.output), tf.nest.flatten(outputs), strict=True):
        assert output.dtype == dtype, f"Expected outputs of dtype {dtype}. Received: {output.dtype.name}"
        assert output.shape.is_compatible_with(symbol.shape), (
            f"compute_output_shape() tells {symbol.shape}. Received: outputs of shape {output.shape}"
        )
        assert np.isfinite(tf.cast(output, tf.float32)).all(), "Expected finite outputs"
    return outputs


def _check_gradients(model, arguments):
    floats = [x for x in arguments.values() if x.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(floats)
        # A plain sum would have no gradient through a softmax.
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
        # A tensor of its own for each call, since the mask is attached to it.
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
    """Other floats; or, of integers and booleans, those of the step before, which the layer can take too."""
    mask = mask.reshape(mask.shape + (1,) * (len(inputs.shape) - 2))
    others = 1 - 2 * inputs if inputs.dtype.is_floating else tf.roll(inputs, 1, axis=1)
    changed = tf.where(mask, inputs, others)
    assert np.any(changed != inputs), "Expected inputs that differ from step to step where the mask is false"
    return changed


def _assert_equal(actual, expected, tolerance, where):
    for x, y in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        x, y = (np.asarray(tf.cast(array, tf.float32)) for array in (x, y))
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * np.abs(y).max(), err_msg=f"Unequal {where}")
