"""`RotaryEmbedding`: rotations of queries and keys by their positions."""

import keras
import tensorflow as tf

from ikelos import kernels
from ikelos.layers.position import rotary_scaling


@keras.saving.register_keras_serializable(package="ikelos")
class RotaryEmbedding(keras.layers.Layer):
    """Rotates pairs of features by an angle proportional to the position (Su et al. 2021, section 3.4.2).

    Feature `i` of a head is paired with `i + H/2`, and the pair is rotated by `position * max_wavelength ** (-2 i / H)`
    radians. The product of a rotated query and a rotated key depends on positions only through their distance.

    With a `scaling`, a model trained on positions up to L can read texts of up to `factor * L`, and reads them well
    after some further training. A scaling is a dictionary with a `kind` and the options of this kind:

    - `{"kind": "linear", "factor": s}`: all pairs rotate s times slower, so that longer texts fit into the range of
      trained positions (Chen et al. 2023, section 2.3).
    - `{"kind": "ntk", "factor": s}`: a larger `max_wavelength`, with which the last pair rotates s times slower and the
      first pair at the same speed (Peng et al. 2023, "NTK-aware" interpolation).
    - `{"kind": "yarn", "factor": s, "original_length": L, "low_rotations": 1.0, "high_rotations": 32.0}`: pairs with
      fewer than `low_rotations` rotations within L rotate s times slower, and those with more than `high_rotations` at
      the same speed. Between them the speed is interpolated linearly in the number of rotations. Queries and keys are
      multiplied by `0.1 ln(s) + 1` (Peng et al. 2023, "NTK-by-parts" interpolation and attention scaling). The authors'
      code interpolates along the features instead, and so differs from their formula for the pairs in between.
    - `{"kind": "llama3", "factor": s, "original_length": L, "low_rotations": 1.0, "high_rotations": 4.0}`: the same as
      `"yarn"`, but with another default and without multiplying queries and keys (the published code of Llama 3.1,
      Grattafiori et al. 2024, where the options are called `low_freq_factor` and `high_freq_factor`).

    Args:
        max_wavelength: Upper limit of the wavelengths of the pairs, divided by 2 pi. The first pair has 1.
        scaling: A dictionary as above, or None. `factor` is at least 1; the numbers of rotations may be left out.

    Call arguments:
        inputs: `[B,T,N,H]`, H even.
        positions: int `[T]` or `[B,T]`.

    Output shape: `[B,T,N,H]`.

    Raises:
        ValueError: If `max_wavelength` is not positive, `scaling` is none of the above, H is odd, `positions` are not
            integers, or a shape is not as above.

    Example:

    >>> layer = RotaryEmbedding()
    >>> layer(keras.ops.ones((1, 2, 1, 2)), positions=[0, 1]).numpy().round(3)[0, :, 0]
    array([[ 1.   ,  1.   ],
           [-0.301,  1.382]], dtype=float32)
    >>> slower = RotaryEmbedding(scaling={"kind": "linear", "factor": 4.0})
    >>> slower(keras.ops.ones((1, 2, 1, 2)), positions=[0, 4]).numpy().round(3)[0, :, 0]
    array([[ 1.   ,  1.   ],
           [-0.301,  1.382]], dtype=float32)
    """

    def __init__(self, max_wavelength=10000.0, scaling=None, **kwargs):
        super().__init__(**kwargs)
        if max_wavelength <= 0:
            raise ValueError(f"`max_wavelength` must be positive. Received: max_wavelength={max_wavelength}")
        self.max_wavelength = max_wavelength
        self.scaling = rotary_scaling.complete(scaling)
        self.supports_masking = True

    def call(self, inputs, positions):
        """Rotates `inputs [B,T,N,H]` by `positions`."""
        return self._rotated(inputs, positions, inputs.shape[-1])

    def rotate_both(self, query, key, positions):
        """Rotates `query [B,T,N,H]` and `key [B,T,K,H]` by one op, which computes each sine and cosine once.

        They are computed in the layer's compute dtype, as in a call, and returned in their own.
        """
        turned = self._rotated([tf.cast(x, self.compute_dtype) for x in (query, key)], positions, query.shape[-1])
        return [tf.cast(x, like.dtype) for x, like in zip(turned, (query, key), strict=True)]

    def _rotated(self, inputs, positions, size):
        frequencies = rotary_scaling.frequencies(size, self.max_wavelength, self.scaling)
        return kernels.rotary(inputs, positions, frequencies, rotary_scaling.magnitude(self.scaling))

    def compute_output_shape(self, inputs_shape, positions_shape=None):
        """Returns the shape of the inputs."""
        return inputs_shape

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "max_wavelength": self.max_wavelength, "scaling": self.scaling}
