"""`LearnedPositionEmbedding`: a learned vector for each position, added to the features."""

import keras
import tensorflow as tf

from ikelos.kernels.arguments import arithmetic
from ikelos.kernels.positions import check_axes
from ikelos.layers.position.positions import positions_of


@keras.saving.register_keras_serializable(package="ikelos")
class LearnedPositionEmbedding(keras.layers.Layer):
    """Adds a learned vector of the position to each token (Gehring et al. 2017, section 3.1).

    Args:
        max_length: Number of positions that have a vector.
        embeddings_initializer: Initializer of the vectors, `[max_length, D]`.

    Call arguments:
        inputs: `[B,T,D]`.
        positions: int `[T]` or `[B,T]`, at least 0 and below `max_length`; 0 to T-1 if None.

    Output shape: `[B,T,D]`.

    Raises:
        ValueError: If `max_length` is below 1, T is known to be above it and `positions` is None, `positions` are not
            integers, or a shape is not as above.
        tf.errors.InvalidArgumentError: If a position has no vector, with TensorFlow's CPU kernels. Compiled by XLA,
            such a position gets the vector of the nearest one, on a GPU zeros.

    Example:

    >>> layer = LearnedPositionEmbedding(max_length=8)
    >>> x = keras.random.normal((1, 5, 4))
    >>> layer(x).shape
    TensorShape([1, 5, 4])
    >>> bool((layer(x[:, 3:], positions=[3, 4]) == layer(x)[:, 3:]).numpy().all())
    True
    """

    def __init__(self, max_length, embeddings_initializer="uniform", **kwargs):
        super().__init__(**kwargs)
        if max_length < 1:
            raise ValueError(f"`max_length` must be at least 1. Received: max_length={max_length}")
        self.max_length = max_length
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.supports_masking = True

    def build(self, inputs_shape, positions_shape=None):
        """Creates the vectors for `[B,T,D]`."""
        self.embeddings = self.add_weight(
            shape=(self.max_length, inputs_shape[-1]),
            initializer=self.embeddings_initializer,
            name="embeddings",
            # Mixed precision would cast the whole table for a lookup of a few rows.
            autocast=False,
        )

    def call(self, inputs, positions=None):
        """Adds the vectors of `positions` to `inputs [B,T,D]`."""
        check_axes(inputs, "BTD")
        if positions is None and inputs.shape[1] is not None and inputs.shape[1] > self.max_length:
            raise ValueError(
                f"`inputs` must have at most `max_length`={self.max_length} positions. "
                f"Received: inputs.shape={inputs.shape}"
            )
        vectors = tf.gather(self.embeddings.value, positions_of(inputs, positions))
        # In half precision, only the sum is rounded.
        dtype = arithmetic(inputs.dtype)
        return tf.cast(tf.cast(inputs, dtype) + tf.cast(vectors, dtype), inputs.dtype)

    def compute_output_shape(self, inputs_shape, positions_shape=None):
        """Returns the shape of the inputs."""
        return inputs_shape

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }
