"""The dense maps inside a layer."""

import keras


def projection(owner, name, input_shape, units, initializer, use_bias=False):
    """A built `keras.layers.Dense` from `input_shape`, `[..., D]`, to `[..., units]`, in the dtype policy of the layer
    `owner`."""
    layer = keras.layers.Dense(
        units,
        use_bias=use_bias,
        # A clone for each: one initializer gives the same weights each time.
        kernel_initializer=initializer.clone(),
        name=name,
        dtype=owner.dtype_policy,
    )
    layer.build(input_shape)
    return layer
