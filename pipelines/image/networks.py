"""Parts of convolutional networks, as functions of Keras tensors."""

import functools

import keras

# Images are `[B,H,W,C]`, whatever image_data_format keras.json sets.
convolution = functools.partial(keras.layers.Conv2D, padding="same", data_format="channels_last")
flattened = functools.partial(keras.layers.Flatten, data_format="channels_last")


def residual_blocks(inputs: keras.KerasTensor, count: int, dropout: float) -> keras.KerasTensor:
    """Applies pre-activation residual blocks (He et al. 2016), each initialised to the identity.

    Args:
        inputs: `[B,H,W,C]`.
        count: Number of blocks.
        dropout: Dropout rate between a block's two convolutions.
    """
    channels = inputs.shape[-1]
    for _ in range(count):
        hidden = convolution(channels, 3, activation="relu")(activated(inputs))
        hidden = keras.layers.Dropout(dropout)(hidden)
        hidden = convolution(channels, 3, kernel_initializer="zeros")(hidden)
        inputs = keras.layers.Add()([inputs, hidden])
    return inputs


def activated(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Applies ReLU."""
    return keras.layers.ReLU()(inputs)


def doubled(inputs: keras.KerasTensor, channels: int, size: int) -> keras.KerasTensor:
    """Doubles the resolution, to `[B,2H,2W,channels]`: a convolution computes four pixels at each place.

    Shi et al. 2016 (https://arxiv.org/abs/1609.05158), section 3.2.

    Args:
        inputs: `[B,H,W,C]`.
        channels: Channels of the result.
        size: Size of the convolution's kernel.
    """
    height, width = inputs.shape[1:3]
    hidden = convolution(4 * channels, size)(inputs)
    hidden = keras.layers.Reshape((height, width, 2, 2, channels))(hidden)
    hidden = keras.layers.Permute((1, 3, 2, 4, 5))(hidden)
    return keras.layers.Reshape((2 * height, 2 * width, channels))(hidden)


def with_classes(
    inputs: keras.KerasTensor, hidden: keras.KerasTensor, num_classes: int
) -> tuple[keras.KerasTensor | tuple[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]:
    """Adds a one-hot input `[B,num_classes]` to a network's inputs, and its values to hidden values `[B,D]`.

    Without classes, `num_classes` 0, it returns both unchanged.
    """
    if not num_classes:
        return inputs, hidden
    classes = keras.Input((num_classes,), name="classes")
    return (inputs, classes), keras.layers.Concatenate()([hidden, classes])
