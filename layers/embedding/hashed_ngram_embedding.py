"""`HashedNgramEmbedding`: embeddings of n-grams, from hash tables."""

import keras
import tensorflow as tf

# Prime and multiplier of the polynomial hash. Products of two numbers below the prime fit into int64.
_MODULUS = 2**31 - 1
_MULTIPLIER = 1_000_000_007


@keras.saving.register_keras_serializable(package="ikelos")
class HashedNgramEmbedding(keras.layers.Layer):
    """Embeds the n-grams that end at each token, hashed into tables (Pagnoni et al. 2024, section 3.2.1).

    Without this layer, a small model spends its first layers on recognising the last few characters. The lookup needs
    parameters but no matrix products. Each length n has a separate table. The bucket of an n-gram is
    `sum_i (token[t-i] + 1) a^i`, modulo a prime and then modulo the number of buckets, so n-grams may share a bucket.

    Args:
        num_buckets: Number of rows in the table of each length.
        size: Number of output features, D. Each length contributes `D / len(orders)` of them.
        orders: The lengths n; each at least 1.
        embeddings_initializer: Initializer of the tables.

    Call arguments:
        tokens: int `[B,T]`.
        previous: int `[B,R]`, the R tokens before `tokens`, R at least `max(orders) - 1`; ids 0 if None.

    Output shape: `[B,T,D]`.

    Raises:
        ValueError: If `num_buckets` or `size` is below 1, `orders` is empty or has a number below 1, or the number of
            orders does not divide `size`.

    Example:

    >>> layer = HashedNgramEmbedding(num_buckets=64, size=8, orders=(2, 3))
    >>> layer(tf.constant([[5, 6, 7]])).shape
    TensorShape([1, 3, 8])
    """

    def __init__(self, num_buckets, size, orders, embeddings_initializer="uniform", **kwargs):
        super().__init__(**kwargs)
        if num_buckets < 1:
            raise ValueError(f"`num_buckets` must be at least 1. Received: num_buckets={num_buckets}")
        orders = tuple(orders)
        if not orders or min(orders) < 1:
            raise ValueError(f"`orders` must hold one or more lengths of at least 1. Received: orders={orders}")
        if size < 1 or size % len(orders):
            raise ValueError(
                f"`size` must be a positive multiple of the number of orders. Received: size={size}, orders={orders}"
            )
        self.num_buckets = num_buckets
        self.size = size
        self.orders = orders
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)

    def build(self, tokens_shape, previous_shape=None):
        """Creates the tables, in a single weight."""
        self.embeddings = self.add_weight(
            shape=(len(self.orders) * self.num_buckets, self.size // len(self.orders)),
            initializer=self.embeddings_initializer,
            name="embeddings",
            # Mixed precision would cast the whole table for a lookup of a few rows.
            autocast=False,
        )

    def call(self, tokens, previous=None):
        """Returns the vectors `[B,T,D]` of the n-grams that end at each of `tokens [B,T]`."""
        longest, steps = max(self.orders), tf.shape(tokens)[1]
        codes = tf.cast(tokens, tf.int64)
        if previous is None:
            codes = tf.pad(codes, [[0, 0], [longest - 1, 0]])
        else:
            codes = tf.concat([tf.cast(previous, tf.int64), codes], axis=1)
        codes = codes[:, tf.shape(codes)[1] - steps - longest + 1 :] + 1
        hashed, factor = tf.zeros_like(tokens, tf.int64), 1
        buckets = {}
        for order in range(1, longest + 1):
            back = longest - order
            hashed = (hashed + codes[:, back : back + steps] * factor) % _MODULUS
            factor = factor * _MULTIPLIER % _MODULUS
            buckets[order] = hashed % self.num_buckets
        rows = tf.stack([buckets[n] + i * self.num_buckets for i, n in enumerate(self.orders)], axis=-1)
        vectors = tf.cast(tf.gather(self.embeddings.value, rows), self.compute_dtype)
        return tf.reshape(vectors, [tf.shape(tokens)[0], steps, self.size])

    def compute_output_shape(self, tokens_shape, previous_shape=None):
        """Returns `[B,T,D]`."""
        return (*tokens_shape, self.size)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_buckets": self.num_buckets,
            "size": self.size,
            "orders": self.orders,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
