"""`AlibiBias`: a penalty on the distance between query and key."""

import math

import keras
import tensorflow as tf

from ikelos.kernels.arguments import arithmetic
from ikelos.layers.position.positions import bias_shape, distances


@keras.saving.register_keras_serializable(package="ikelos")
class AlibiBias(keras.layers.Layer):
    """Attention bias: minus the head's slope times the distance between query and key (Press et al. 2022, section 3).

    If N is a power of two, the slopes of the N heads are `2 ** (-8 n / N)` for n from 1 to N. For other N they are, as
    in the authors' code, the slopes for the largest power of two below N, followed by every second slope for twice that
    power. Slopes are not learned. Keys ahead of the query are penalised like those behind it.

    `ikelos.kernels.attention(alibi_slopes=layer.slopes())` adds the same bias without an array of all pairs, and does
    not round it under half-precision policies. For other implementations of attention, call the layer.

    Args:
        num_heads: Number of query heads, N.

    Call arguments:
        query_positions: int `[T]` or `[B,T]`.
        key_positions: int `[S]` or `[B,S]`.

    Output shape: `[1,N,T,S]`, or `[B,N,T,S]` if positions have a batch axis; to be added to the scaled logits.

    Raises:
        ValueError: If `num_heads` is below 1, or positions are not integers or have another shape than the above.

    Example:

    >>> layer = AlibiBias(num_heads=2)
    >>> layer.slopes().numpy()
    array([0.0625    , 0.00390625], dtype=float32)
    >>> layer(keras.ops.array([2]), keras.ops.arange(3)).numpy()[0, 0]
    array([[-0.125 , -0.0625, -0.    ]], dtype=float32)
    """

    def __init__(self, num_heads, **kwargs):
        super().__init__(**kwargs)
        if num_heads < 1:
            raise ValueError(f"`num_heads` must be at least 1. Received: num_heads={num_heads}")
        self.num_heads = num_heads
        # There is nothing to build, but Keras would warn about an unbuilt layer if only its slopes are used.
        self.built = True

    def slopes(self):
        """Returns the slopes, float32 `[N]`."""
        power = 2 ** int(math.log2(self.num_heads))
        exponents = [8 * n / power for n in range(1, power + 1)]
        between = [8 * n / (2 * power) for n in range(1, 2 * power, 2)]
        return tf.constant([2.0**-e for e in (exponents + between)[: self.num_heads]], tf.float32)

    def call(self, query_positions, key_positions):
        """Returns the bias for each pair of query and key positions."""
        # Only the result is rounded to half precision, because in bfloat16 the distances 257 and 258 would be equal.
        dtype = arithmetic(tf.as_dtype(self.compute_dtype))
        away = tf.cast(tf.abs(distances(query_positions, key_positions)), dtype)
        bias = -tf.cast(self.slopes(), dtype)[:, None, None] * away[:, None]
        return tf.cast(bias, self.compute_dtype)

    def compute_output_shape(self, query_positions_shape, key_positions_shape):
        """Returns `[1,N,T,S]` or `[B,N,T,S]`."""
        return bias_shape(query_positions_shape, key_positions_shape, self.num_heads)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_heads": self.num_heads}
