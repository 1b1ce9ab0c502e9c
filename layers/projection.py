"""`Projection`: the dense layers inside other layers."""

import keras
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels.reference.shapes import sizes


class Projection(keras.layers.Dense):
    """`keras.layers.Dense` with fewer ops for inputs of more than two axes; the results are equal up to rounding.

    Keras multiplies `[B,T,D]` by a matrix with `tf.tensordot`, which takes some twenty ops for the shapes if B or T is
    unknown at trace time.
    """

    def call(self, inputs, training=None):
        """Maps `inputs [..., D]` to `[..., units]`."""
        if inputs.shape.rank == 2:
            return super().call(inputs, training=training)
        if reads_weights_once([self], inputs):
            return self.activation(_together([self], inputs)[0])
        rows = super().call(tf.reshape(inputs, [-1, self.input_spec.axes[-1]]), training=training)
        return tf.reshape(rows, [*sizes(inputs)[:-1], self.units])

    def quantize(self, mode=None, type_check=True, config=None):
        """Quantises the weights as in a stock layer; Keras would refuse any other class."""
        super().quantize(mode, type_check=False, config=config)


def reads_weights_once(layers, inputs):
    """Returns whether the projections of `inputs [B,T,D]` run as `ikelos.kernels.dense`: in decoding, where T is known
    to be 1 and B is not known to be large, unless a layer has other weights than its kernel, as after `quantize` or
    `enable_lora`, or another dtype."""
    batch, *steps = inputs.shape[:-1]
    return (
        steps == [1]
        and (batch is None or batch <= 16)
        and not any(layer.quantization_mode or layer.lora_enabled for layer in layers)
        and all(layer.compute_dtype == inputs.dtype.name for layer in layers)
    )


def projected(layers, inputs):
    """Returns the outputs of several layers `Projection` without activations for the same `inputs [B,T,D]`."""
    return _together(layers, inputs) if reads_weights_once(layers, inputs) else [layer(inputs) for layer in layers]


def _together(layers, inputs):
    outputs = kernels.dense(inputs, [layer.kernel for layer in layers])
    return [y if layer.bias is None else y + layer.bias for layer, y in zip(layers, outputs, strict=True)]


def projection(owner, name, input_shape, units, initializer, use_bias=False):
    """Returns a built `Projection` from `input_shape`, `[..., D]`, to `[..., units]`, with the dtype policy of the
    layer `owner`."""
    layer = Projection(
        units,
        use_bias=use_bias,
        # A clone for each layer, because an initializer returns the same values on every call.
        kernel_initializer=initializer.clone(),
        name=name,
        dtype=owner.dtype_policy,
    )
    layer.build(input_shape)
    return layer
