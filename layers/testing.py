"""`check_layer`: what every Keras layer owes its users, checked in one call.

For layers of any project, in any test framework:

    def test_my_layer():
        check_layer(MyLayer, {"units": 4, "activation": "tanh"}, inputs=np.ones([2, 5, 3], "float32"))

A broken promise raises `AssertionError` with a message that names it.
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
    output_dtype=None,
    tolerance=1e-5,
):
    """Checks a layer's config, shapes, dtypes, gradients, compilation and files.

    In turn: every argument of the constructor is in `get_config` and survives `from_config`; outputs have the
    shape that `compute_output_shape` tells and the policy's compute dtype; each trainable weight gets a
    finite gradient; compiled by XLA, saved as `.keras` and exported as SavedModel the layer gives equal
    outputs; and under the policy `mixed_bfloat16` equal ones up to that type's precision.

    Args:
        layer_class: A subclass of `keras.layers.Layer`, registered with Keras.
        init_kwargs: Arguments of the constructor for a layer without randomness outside training.
        inputs: Array `[B,...]`, the first argument of `call`.
        config_kwargs: A value for each argument in the constructor's signature that `init_kwargs` leaves out.
            They are used for the check of the config alone.
        call_kwargs: Further tensor arguments of `call`, as arrays `[B,...]` by name.
        output_dtype: The outputs' dtype where the layer fixes it; the policy's compute dtype when None.
        tolerance: Largest difference between equal outputs, relative to the largest output.

    Raises:
        AssertionError: If the layer breaks a promise.
    """
    check_config(layer_class, {**init_kwargs, **(config_kwargs or {})})
    arguments = {"inputs": inputs, **(call_kwargs or {})}
    arguments = {name: tf.convert_to_tensor(x) for name, x in arguments.items()}

    model = _model(layer_class(**init_kwargs, dtype="float32"), arguments)
    outputs = _check_outputs(model, arguments, output_dtype or "float32")
    _check_gradients(model, arguments)
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


def _assert_equal(actual, expected, tolerance, where):
    for x, y in zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True):
        x, y = (np.asarray(tf.cast(array, tf.float32)) for array in (x, y))
        np.testing.assert_allclose(x, y, rtol=0, atol=tolerance * np.abs(y).max(), err_msg=f"Unequal {where}")
