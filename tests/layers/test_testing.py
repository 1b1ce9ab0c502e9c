import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.testing import check_layer

INPUTS = np.random.default_rng(0).normal(size=[2, 3]).astype("float32")


@keras.saving.register_keras_serializable(package="ikelos_tests")
class Scaled(keras.layers.Layer):
    """Keeps every promise."""

    def __init__(self, factor=1.0, units=3, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")

    def call(self, inputs):
        return self.factor * keras.ops.matmul(inputs, self.kernel)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor, "units": self.units}


def broken(**methods):
    layer_class = type("Broken", (Scaled,), methods)
    return keras.saving.register_keras_serializable(package="ikelos_tests")(layer_class)


def other_init(self, factor=1.0, units=3, **kwargs):
    Scaled.__init__(self, 1.0, units, **kwargs)


def unstable_call(self, inputs):
    self.calls = getattr(self, "calls", 0) + 1
    return Scaled.call(self, inputs) * self.calls


def test_a_good_layer_passes():
    check_layer(Scaled, {"factor": 2.0, "units": 4}, INPUTS)
    check_layer(Scaled, {"factor": 2.0}, INPUTS, config_kwargs={"units": 4})


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"get_config": lambda self: {"units": self.units}}, "leaves out `factor`"),
        ({"__init__": other_init}, r"Received: `factor`=2\.0"),
        ({"from_config": classmethod(lambda cls, config: cls(factor=config["factor"]))}, "changes `units`=4 to 3"),
        ({"compute_output_shape": lambda self, shape: shape}, r"gives \(None, 3\). Received: .*\(2, 4\)"),
        ({"call": lambda self, x: tf.cast(Scaled.call(self, x), tf.float16)}, "dtype float32. Received: float16"),
        ({"call": lambda self, x: Scaled.call(self, tf.stop_gradient(x))}, "`inputs` gets no gradient"),
        ({"call": lambda self, x: x @ tf.stop_gradient(self.kernel.value)}, "kernel` gets no gradient"),
        ({"call": lambda self, x: Scaled.call(self, x) / 0}, "finite outputs"),
        ({"call": lambda self, x: 1 + tf.sqrt(0 * Scaled.call(self, x))}, "gradient that is not finite"),
        ({"call": unstable_call}, "Unequal compiled by XLA"),
        (
            {"save_own_variables": lambda self, store: None, "load_own_variables": lambda self, store: None},
            "keras file",
        ),
        (
            {"call": lambda self, x: Scaled.call(self, x) * (1 + (self.compute_dtype == "bfloat16"))},
            "Unequal under mixed_bfloat16",
        ),
    ],
)
def test_a_broken_promise_is_named(methods, message):
    with pytest.raises(AssertionError, match=message):
        check_layer(broken(**methods), {"factor": 2.0, "units": 4}, INPUTS)


def test_other_things_than_classes_and_batches_are_refused():
    with pytest.raises(
        ValueError, match=r"`layer_class` must be a subclass of keras.layers.Layer. Received: .*=<Scaled"
    ):
        check_layer(Scaled(), {"factor": 2.0, "units": 4}, INPUTS)
    with pytest.raises(ValueError, match=r"`inputs` must have the shape \[B,...\]. Received: inputs.shape=\(\)"):
        check_layer(Scaled, {"factor": 2.0, "units": 4}, 1.0)


def test_an_argument_left_out_is_named():
    with pytest.raises(AssertionError, match=r"Missing: \['units'\]"):
        check_layer(Scaled, {"factor": 2.0}, INPUTS)


def test_an_argument_at_its_default_is_named():
    with pytest.raises(AssertionError, match=r"Received: `factor`=1\.0"):
        check_layer(Scaled, {"factor": 1.0, "units": 4}, INPUTS)


STEPS = np.random.default_rng(1).normal(size=[3, 6, 4]).astype("float32")
MASK = np.array([[1, 1, 1, 1, 0, 0], [0, 1, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0]], bool)
# The values in place of a masked 0 must be finite too, for a layer that multiplies by its mask.
STEPS[0, 5] = 0


@keras.saving.register_keras_serializable(package="ikelos_tests")
class Running(keras.layers.Layer):
    """The sum of the valid steps so far, and of all of them; keeps every promise."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.supports_masking = True

    def call(self, inputs, mask=None):
        valid = inputs if mask is None else inputs * tf.cast(mask, inputs.dtype)[..., None]
        sums = self.factor * tf.cumsum(valid, axis=1)
        return sums, sums[:, -1]

    def compute_mask(self, inputs, mask):
        return [mask, None]

    def compute_output_shape(self, shape):
        return shape, (shape[0], shape[2])

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def leaking_sums(self, inputs, mask=None):
    return Running.call(self, inputs)


def leaking_total(self, inputs, mask=None):
    return Running.call(self, inputs, mask)[0], Running.call(self, inputs)[1]


def leaking_where_compiled(self, inputs, mask=None):
    return Running.call(self, inputs, mask if tf.executing_eagerly() else None)


@pytest.mark.parametrize(
    ("layer_class", "arguments", "inputs", "rest"),
    [
        (Running, {"factor": 2.0}, STEPS, {}),
        (keras.layers.UnitNormalization, {"axis": 2}, STEPS, {}),
        (keras.layers.GlobalAveragePooling1D, {}, STEPS, {"data_format": "channels_first", "keepdims": True}),
    ],
)
def test_a_layer_that_keeps_to_its_mask_passes(layer_class, arguments, inputs, rest):
    check_layer(layer_class, arguments, inputs, config_kwargs=rest, mask=MASK)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"supports_masking": property(lambda self: False, lambda self, value: None)}, "`supports_masking` is False"),
        ({"compute_mask": lambda self, inputs, mask: None}, r"shape \(3, 6, 4\) do not carry the mask on"),
        ({"compute_mask": lambda self, inputs, mask: None if mask is None else [~mask, None]}, "carry another mask on"),
        ({"call": leaking_sums}, "Unequal where the mask is true, after a change where it is false"),
        ({"call": leaking_total}, "Unequal where the mask is true, after a change where it is false"),
        ({"call": leaking_where_compiled}, "Unequal compiled by XLA, with a mask"),
    ],
)
def test_a_broken_promise_about_masks_is_named(methods, message):
    layer_class = type("BrokenRunning", (Running,), methods)
    with pytest.raises(AssertionError, match=message):
        check_layer(layer_class, {"factor": 2.0}, STEPS, mask=MASK)


@pytest.mark.parametrize("mask", [np.ones([3, 6], bool), np.zeros([3, 6], bool)])
def test_a_mask_that_shows_nothing_is_refused(mask):
    with pytest.raises(AssertionError, match="Expected a mask with true and false in it"):
        check_layer(Running, {"factor": 2.0}, STEPS, mask=mask)


@keras.saving.register_keras_serializable(package="ikelos_tests")
class Codes(keras.layers.Layer):
    """Passes token ids on, as one number a step, and their mask."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        return tf.cast(inputs, self.compute_dtype)[..., None]

    def compute_output_shape(self, shape):
        return (*shape, 1)


def test_masks_of_token_ids():
    ids = np.arange(18, dtype="int32").reshape(3, 6)
    check_layer(Codes, {}, ids, mask=MASK)
    with pytest.raises(AssertionError, match="differ from step to step where the mask is false"):
        check_layer(Codes, {}, np.ones_like(ids), mask=MASK)
    leaking = type("LeakingCodes", (Codes,), {"call": lambda self, ids: tf.cumsum(Codes.call(self, ids), axis=1)})
    with pytest.raises(AssertionError, match="Unequal where the mask is true"):
        check_layer(leaking, {}, ids, mask=MASK)
