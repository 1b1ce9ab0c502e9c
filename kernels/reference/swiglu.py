"""The gated activation of SwiGLU in plain TensorFlow."""

import tensorflow as tf

from ikelos.kernels.arguments import arithmetic


def swiglu(gate: tf.Tensor, up: tf.Tensor) -> tf.Tensor:
    """Computes `ikelos.kernels.swiglu` for two tensors of one dtype and shape."""
    # Half precision is computed in float32, as in the native kernel.
    compute = arithmetic(gate.dtype)
    return tf.cast(tf.nn.silu(tf.cast(gate, compute)) * tf.cast(up, compute), gate.dtype)
