"""`SinusoidalPositionEmbedding`: sines and cosines of positions, added to the features."""

import keras
import numpy as np
import tensorflow as tf

from ikelos.kernels.positions import check_axes
from ikelos.kernels.reference.rotary import wave_angles
from ikelos.layers.position.positions import positions_of


@keras.saving.register_keras_serializable(package="ikelos")
class SinusoidalPositionEmbedding(keras.layers.Layer):
    """Adds sines and cosines of the position to each token (Vaswani et al. 2017, section 3.5).

    Feature `2 i` is increased by `sin(position * max_wavelength ** (-2 i / D))`, and feature `2 i + 1` by the cosine of
    the same angle. Nothing is learned, and every position has an embedding.

    Args:
        max_wavelength: Upper limit of the wavelengths of the features, divided by 2 pi. The first feature has 1.

    Call arguments:
        inputs: `[B,T,D]`, D even.
        positions: int `[T]` or `[B,T]`; 0 to T-1 if None.

    Output shape: `[B,T,D]`.

    Raises:
        ValueError: If `max_wavelength` is not positive, D is odd, `positions` are not integers, or a shape is not as
            above.

    Example:

    >>> layer = SinusoidalPositionEmbedding()
    >>> layer(keras.ops.zeros((1, 2, 4))).numpy().round(3)
    array([[[0.   , 1.   , 0.   , 1.   ],
            [0.841, 0.54 , 0.01 , 1.   ]]], dtype=float32)
    """

    def __init__(self, max_wavelength=10000.0, **kwargs):
        super().__init__(**kwargs)
        if max_wavelength <= 0:
            raise ValueError(f"`max_wavelength` must be positive. Received: max_wavelength={max_wavelength}")
        self.max_wavelength = max_wavelength
        self.supports_masking = True

    def call(self, inputs, positions=None):
        """Adds the embeddings of `positions` to `inputs [B,T,D]`."""
        check_axes(inputs, "BTD")
        size = inputs.shape[-1]
        if size % 2:
            raise ValueError(f"The last axis of `inputs` must be even. Received: inputs.shape={inputs.shape}")
        frequencies = self.max_wavelength ** (-np.arange(0, size, 2) / size)
        angles = wave_angles(positions_of(inputs, positions), frequencies, inputs.dtype)
        waves = tf.stack([tf.sin(angles), tf.cos(angles)], axis=-1)
        waves = tf.reshape(waves, tf.concat([tf.shape(angles)[:-1], [size]], axis=0))
        # In half precision, only the sum is rounded.
        return tf.cast(tf.cast(inputs, waves.dtype) + waves, inputs.dtype)

    def compute_output_shape(self, inputs_shape, positions_shape=None):
        """Returns the shape of the inputs."""
        return inputs_shape

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "max_wavelength": self.max_wavelength}
