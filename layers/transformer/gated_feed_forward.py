"""`GatedFeedForward`: the SwiGLU network of a Transformer block."""

import keras
import tensorflow as tf

from ikelos.layers.projection import projection


@keras.saving.register_keras_serializable(package="ikelos")
class GatedFeedForward(keras.layers.Layer):
    """Position-wise network with a gate, `(silu(x W) * x V) W2` (Shazeer 2020, equation 6).

    Args:
        hidden_size: Width between the projections.
        kernel_initializer: Of the gate and the first projection.
        output_initializer: Of the second projection.

    Input and output shape: `[..., D]`.

    Raises:
        ValueError: If `hidden_size` is below 1.

    Example:

    >>> GatedFeedForward(hidden_size=16)(keras.ops.ones((2, 5, 8))).shape
    TensorShape([2, 5, 8])
    """

    def __init__(self, hidden_size, kernel_initializer="glorot_uniform", output_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        if hidden_size < 1:
            raise ValueError(f"`hidden_size` must be at least 1. Received: hidden_size={hidden_size}")
        self.hidden_size = hidden_size
        self.supports_masking = True
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)

    def build(self, input_shape):
        """Creates the projections for `[..., D]`."""
        size = input_shape[-1]
        self.gate = projection(self, "gate", input_shape, self.hidden_size, self.kernel_initializer)
        self.up = projection(self, "up", input_shape, self.hidden_size, self.kernel_initializer)
        self.down = projection(self, "down", (*input_shape[:-1], self.hidden_size), size, self.output_initializer)

    def call(self, inputs):
        """Maps `inputs [..., D]` to the same shape."""
        return self.down(tf.nn.silu(self.gate(inputs)) * self.up(inputs))

    def compute_output_shape(self, inputs_shape):
        """The inputs' shape."""
        return inputs_shape

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "hidden_size": self.hidden_size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
        }
