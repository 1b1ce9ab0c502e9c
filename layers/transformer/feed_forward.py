"""`FeedForward`: the position-wise feed-forward network of a Transformer block."""

import keras

from ikelos import kernels
from ikelos.layers.projection import projection, reads_weights_once


@keras.saving.register_keras_serializable(package="ikelos")
class FeedForward(keras.layers.Layer):
    """Position-wise feed-forward network, with or without a gate.

    With the activation `"swiglu"` it is `(silu(x W) * x V) W2` (Shazeer 2020, equation 6). With another activation f,
    such as `"gelu"` (Hendrycks & Gimpel 2016, section 2), it is `f(x V) W2` (Vaswani et al. 2017, section 3.3).

    Args:
        hidden_size: Width between the projections.
        activation: `"swiglu"`, or one of `keras.activations`.
        use_bias: Whether the projections add a bias.
        kernel_initializer: Initializer of the projections before the activation.
        output_initializer: Initializer of the projection after the activation.

    Input and output shape: `[..., D]`.

    Raises:
        ValueError: If `hidden_size` is below 1 or `activation` is unknown.

    Example:

    >>> FeedForward(hidden_size=16)(keras.ops.ones((2, 5, 8))).shape
    TensorShape([2, 5, 8])
    """

    def __init__(
        self,
        hidden_size,
        activation="swiglu",
        use_bias=False,
        kernel_initializer="glorot_uniform",
        output_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if hidden_size < 1:
            raise ValueError(f"`hidden_size` must be at least 1. Received: hidden_size={hidden_size}")
        self.hidden_size = hidden_size
        self.is_gated = activation == "swiglu"
        self.activation = keras.activations.get("silu" if self.is_gated else activation)
        self.use_bias = use_bias
        self.supports_masking = True
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)

    def build(self, input_shape):
        """Creates the projections for `[..., D]`."""
        size, hidden_shape = input_shape[-1], (*input_shape[:-1], self.hidden_size)
        if self.is_gated:
            self.gate = projection(self, "gate", input_shape, self.hidden_size, self.kernel_initializer, self.use_bias)
        self.up = projection(self, "up", input_shape, self.hidden_size, self.kernel_initializer, self.use_bias)
        self.down = projection(self, "down", hidden_shape, size, self.output_initializer, self.use_bias)

    def call(self, inputs):
        """Maps `inputs [..., D]` to the same shape."""
        if self.is_gated and not self.use_bias and reads_weights_once([self.gate, self.up], inputs):
            return self.down(kernels.gated_dense(inputs, self.gate.kernel, self.up.kernel))
        if self.is_gated:
            return self.down(kernels.swiglu(self.gate(inputs), self.up(inputs)))
        return self.down(self.activation(self.up(inputs)))

    def compute_output_shape(self, inputs_shape):
        """Returns the shape of the inputs."""
        return inputs_shape

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "hidden_size": self.hidden_size,
            "activation": "swiglu" if self.is_gated else keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "output_initializer": keras.initializers.serialize(self.output_initializer),
        }
