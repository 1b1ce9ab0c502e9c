"""`projection`: creates the dense layers inside another layer."""

import keras


def projection(owner, name, input_shape, units, initializer, use_bias=False):
    """Returns a built `keras.layers.Dense` from `input_shape`, `[..., D]`, to `[..., units]`, with the dtype policy of
    the layer `owner`."""
    layer = keras.layers.Dense(
        units,
        use_bias=use_bias,
        # A clone for each layer, because an initializer returns the same values on every call.
        kernel_initializer=initializer.clone(),
        name=name,
        dtype=owner.dtype_policy,
    )
    layer.build(input_shape)
    return layer
