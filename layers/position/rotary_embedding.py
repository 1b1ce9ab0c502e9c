"""`RotaryEmbedding`: positions as rotations of queries and keys."""

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="ikelos")
class RotaryEmbedding(keras.layers.Layer):
    """Rotates pairs of features by an angle proportional to the position (Su et al. 2021, section 3.4.2).

    Feature `i` of a head is paired with `i + H/2`, and the pair turns by `position * max_wavelength ** (-2 i
    / H)` radians. The product of a rotated query and a rotated key depends on the distance of their positions
    alone.

    Args:
        max_wavelength: What the wavelengths, in positions over 2 pi, tend to at the last pair; the first
            pair's is 1.

    Call arguments:
        inputs: `[B,T,N,H]`, H even.
        positions: int `[T]` or `[B,T]`.

    Output shape: `[B,T,N,H]`.

    Raises:
        ValueError: If `max_wavelength` is not positive or H is odd.

    Example:

    >>> layer = RotaryEmbedding()
    >>> layer(keras.ops.ones((1, 2, 1, 2)), positions=[0, 1]).numpy().round(3)[0, :, 0]
    array([[ 1.   ,  1.   ],
           [-0.301,  1.382]], dtype=float32)
    """

    def __init__(self, max_wavelength=10000.0, **kwargs):
        super().__init__(**kwargs)
        if max_wavelength <= 0:
            raise ValueError(f"`max_wavelength` must be positive. Received: max_wavelength={max_wavelength}")
        self.max_wavelength = max_wavelength
        self.supports_masking = True

    def call(self, inputs, positions):
        """Rotates `inputs [B,T,N,H]` by `positions`."""
        size = inputs.shape[-1]
        if size % 2:
            raise ValueError(f"The last axis of `inputs` must be even. Received: inputs.shape={inputs.shape}")
        # float32 under half-precision policies too: bfloat16 cannot tell position 257 from 258.
        dtype = tf.float64 if inputs.dtype == tf.float64 else tf.float32
        frequencies = tf.constant(self.max_wavelength ** (-np.arange(0, size, 2) / size), dtype)
        angles = tf.cast(positions, dtype)[..., None, None] * frequencies
        sine, cosine = tf.sin(angles), tf.cos(angles)
        first, second = tf.split(tf.cast(inputs, dtype), 2, axis=-1)
        turned = tf.concat([first * cosine - second * sine, second * cosine + first * sine], axis=-1)
        return tf.cast(turned, inputs.dtype)

    def compute_output_shape(self, inputs_shape, positions_shape=None):
        """The inputs' shape."""
        return inputs_shape

    def get_config(self):
        """The constructor's arguments."""
        return {**super().get_config(), "max_wavelength": self.max_wavelength}
