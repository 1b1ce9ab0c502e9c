"""`RelativePositionBias`: a learned attention bias for each head and range of distances."""

import keras
import tensorflow as tf

from ikelos.layers.position.positions import bias_shape, distances


@keras.saving.register_keras_serializable(package="ikelos")
class RelativePositionBias(keras.layers.Layer):
    """Attention bias with a learned value for each head and bucket of distances between query and key (Raffel et al.
    2020, section 2.1).

    With `bidirectional`, one half of the buckets is for keys ahead of the query and the other half for all other keys.
    Without it, all keys ahead share the bucket of distance 0. In each direction, the first half of the buckets have a
    single distance each: 0, 1, and so on. The ranges of the others grow geometrically up to `max_distance`, and all
    larger distances share the last bucket.

    Args:
        num_heads: Number of query heads, N.
        num_buckets: Number of buckets; even and at least 4 with `bidirectional`, otherwise at least 2.
        max_distance: Distance from which all distances share the last bucket. It must be larger than the number of
            buckets with a single distance: a quarter of `num_buckets` with `bidirectional`, otherwise half of it.
        bidirectional: Whether keys ahead have separate buckets; False for decoders, which see no keys ahead.
        embeddings_initializer: Initializer of the learned values, `[num_buckets, N]`.

    Call arguments:
        query_positions: int `[T]` or `[B,T]`.
        key_positions: int `[S]` or `[B,S]`.

    Output shape: `[1,N,T,S]`, or `[B,N,T,S]` if positions have a batch axis; to be added to the scaled logits.

    Raises:
        ValueError: If a number is out of range, positions are not integers, or a shape is not as above.

    Example:

    >>> layer = RelativePositionBias(num_heads=1, num_buckets=8, max_distance=8)
    >>> layer(keras.ops.arange(3), keras.ops.arange(4)).shape
    TensorShape([1, 1, 3, 4])
    >>> layer.buckets([9], [0, 7, 8, 9, 10, 11, 90]).numpy()
    array([[[3, 2, 1, 0, 5, 6, 7]]], dtype=int32)
    """

    def __init__(
        self,
        num_heads,
        num_buckets=32,
        max_distance=128,
        bidirectional=True,
        embeddings_initializer="uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if num_heads < 1:
            raise ValueError(f"`num_heads` must be at least 1. Received: num_heads={num_heads}")
        if num_buckets < 2 or (bidirectional and (num_buckets < 4 or num_buckets % 2)):
            raise ValueError(
                "`num_buckets` must be at least 2, and with `bidirectional` even and at least 4. "
                f"Received: num_buckets={num_buckets}, bidirectional={bidirectional}"
            )
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        # `single` is the number of buckets in one direction that hold a single distance.
        self._per_direction = num_buckets // 2 if bidirectional else num_buckets
        single = self._per_direction // 2
        if max_distance <= single:
            raise ValueError(
                f"`max_distance` must be larger than the {single} distances with a bucket of their own. "
                f"Received: max_distance={max_distance}"
            )
        self._table = self._buckets_of_distances(single)

    def _buckets_of_distances(self, single):
        """Returns the bucket of each distance from 0 to `max_distance` in one direction.

        The first `single` distances have a bucket each.
        """
        growing = self._per_direction - single
        table = list(range(single))
        step = 0
        for distance in range(single, self.max_distance + 1):
            # The condition is (distance / single) ** growing >= (max_distance / single) ** (step + 1), but in integers:
            # with logarithms, rounding would decide the bucket of distances at a boundary.
            while step < growing - 1 and (
                distance**growing >= self.max_distance ** (step + 1) * single ** (growing - step - 1)
            ):
                step += 1
            table.append(single + step)
        return tuple(table)

    def build(self, query_positions_shape, key_positions_shape=None):
        """Creates the learned values."""
        self.embeddings = self.add_weight(
            shape=(self.num_buckets, self.num_heads),
            initializer=self.embeddings_initializer,
            name="embeddings",
            # The gradient of a value is a sum over many pairs, too many for the precision of float16 or bfloat16.
            autocast=False,
        )

    def buckets(self, query_positions, key_positions):
        """Returns the bucket of each pair of a query and a key, int32 `[1,T,S]` or `[B,T,S]`."""
        ahead = distances(query_positions, key_positions)
        away = tf.abs(ahead) if self.bidirectional else tf.maximum(-ahead, 0)
        buckets = tf.gather(tf.constant(self._table, tf.int32), tf.minimum(away, self.max_distance))
        return buckets + tf.where(ahead > 0, self._per_direction, 0) if self.bidirectional else buckets

    def call(self, query_positions, key_positions):
        """Returns the bias for each pair of query and key positions."""
        rows = tf.gather(self.embeddings.value, self.buckets(query_positions, key_positions))
        return tf.transpose(tf.cast(rows, self.compute_dtype), [0, 3, 1, 2])

    def compute_output_shape(self, query_positions_shape, key_positions_shape):
        """Returns `[1,N,T,S]` or `[B,N,T,S]`."""
        return bias_shape(query_positions_shape, key_positions_shape, self.num_heads)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "num_buckets": self.num_buckets,
            "max_distance": self.max_distance,
            "bidirectional": self.bidirectional,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
