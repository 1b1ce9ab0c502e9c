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
        ({"compute_output_shape": lambda self, shape: shape}, r"tells \(None, 3\). Received: .*\(2, 4\)"),
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


def test_an_argument_left_out_is_named():
    with pytest.raises(AssertionError, match=r"Missing: \['units'\]"):
        check_layer(Scaled, {"factor": 2.0}, INPUTS)


def test_an_argument_at_its_default_is_named():
    with pytest.raises(AssertionError, match=r"Received: `factor`=1\.0"):
        check_layer(Scaled, {"factor": 1.0, "units": 4}, INPUTS)
