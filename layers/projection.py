"""`Projection`: the dense layers inside other layers."""

import keras
import tensorflow as tf

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
        rows = super().call(tf.reshape(inputs, [-1, self.input_spec.axes[-1]]), training=training)
        return tf.reshape(rows, [*sizes(inputs)[:-1], self.units])

    def quantize(self, mode=None, type_check=True, config=None):
        """Quantises the weights as in a stock layer; Keras would refuse any other class."""
        super().quantize(mode, type_check=False, config=config)


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
