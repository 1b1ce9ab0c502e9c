"""`VectorQuantizer`: replaces vectors by the nearest of a learned codebook."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.distribution_layer import check_positive


@keras.saving.register_keras_serializable(package="ikelos")
class VectorQuantizer(keras.layers.Layer):
    """Replaces vectors by the nearest code of a codebook (van den Oord et al. 2017, section 3, appendix A.1).

    The gradient passes straight through to the inputs. The codebook has no gradient: in training each code moves to
    the running mean of the vectors that chose it. `commitment_cost` times the squared distance, the mean over all
    values, is added to the loss, so that the inputs stay near their codes.

    Logs of `fit` have `perplexity`, 2 to the power of the entropy in bits of how often the codes were chosen
    in the last `1 / (1 - decay)` batches of training: `num_embeddings` if all are as often, 1 if one is always.

    Args:
        num_embeddings: Number of codes.
        embedding_dim: Size of a code, D.
        commitment_cost: Weight of the commitment loss, the paper's beta.
        decay: Decay of the running means, a step, from 0 to less than 1.
        epsilon: Added to how often each code was chosen, against division by 0.

    Input shape: `[...,D]`. Output shape: `[...,D]`.

    Raises:
        ValueError: If an argument or the inputs' last axis is another.

    Example:

    >>> layer = VectorQuantizer(16, 4)
    >>> ids = layer.encode(keras.ops.ones((2, 7, 4)))
    >>> ids.shape, layer.decode(ids).shape
    (TensorShape([2, 7]), TensorShape([2, 7, 4]))
    """

    def __init__(self, num_embeddings, embedding_dim, commitment_cost=0.25, decay=0.99, epsilon=1e-5, **kwargs):
        super().__init__(autocast=False, **kwargs)
        check_positive(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if not 0 <= decay < 1:
            raise ValueError(f"`decay` must be at least 0 and less than 1. Received: decay={decay}")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.commitment_cost = commitment_cost
        self.decay = decay
        self.epsilon = epsilon
        running = {"trainable": False, "aggregation": "mean"}
        shape = (num_embeddings, embedding_dim)
        self.counts = self.add_weight(name="counts", shape=shape[:1], initializer="ones", **running)
        self.sums = self.add_weight(name="sums", shape=shape, initializer="random_uniform", **running)
        self.perplexity = CodebookPerplexity(self._shares)
        self.built = True

    def codebook(self):
        """The codes, `[num_embeddings,D]`."""
        total = tf.reduce_sum(self.counts)
        # As in the paper's code: the smoothed counts have the same sum.
        smooth = (self.counts + self.epsilon) / (total + self.num_embeddings * self.epsilon) * total
        return self.sums / smooth[:, None]

    def encode(self, inputs):
        """The ids of the nearest codes, int32 `[...]`."""
        vectors = tf.cast(inputs, self.sums.dtype)
        codes = self.codebook()
        # The square of the inputs is the same for all codes.
        products = tf.tensordot(vectors, codes, axes=[[-1], [1]])
        return tf.argmin(tf.reduce_sum(codes**2, axis=-1) - 2 * products, axis=-1, output_type=tf.int32)

    def decode(self, ids):
        """The codes of ids, `[...,D]`."""
        return tf.gather(self.codebook(), ids)

    def call(self, inputs, training=False):
        """The nearest codes."""
        if inputs.shape[-1] != self.embedding_dim:
            raise ValueError(
                f"The last axis of `inputs` must be embedding_dim={self.embedding_dim}. "
                f"Received: inputs.shape={inputs.shape}"
            )
        vectors = tf.cast(inputs, self.sums.dtype)
        ids = self.encode(inputs)
        codes = tf.stop_gradient(self.decode(ids))
        self.add_loss(self.commitment_cost * tf.reduce_mean((vectors - codes) ** 2))
        if training:
            self._update(tf.stop_gradient(vectors), ids)
        return tf.cast(vectors + tf.stop_gradient(codes - vectors), self.compute_dtype)

    def _update(self, vectors, ids):
        vectors = tf.reshape(vectors, [-1, self.embedding_dim])
        chosen = tf.one_hot(tf.reshape(ids, [-1]), self.num_embeddings, dtype=vectors.dtype)
        counts, sums = tf.reduce_sum(chosen, axis=0), tf.matmul(chosen, vectors, transpose_a=True)
        self.counts.assign(self.decay * self.counts + (1 - self.decay) * counts)
        self.sums.assign(self.decay * self.sums + (1 - self.decay) * sums)

    def _shares(self):
        """How often each code was chosen, as shares of 1."""
        return self.counts / tf.reduce_sum(self.counts)

    def compute_output_shape(self, input_shape):
        """The inputs' shape."""
        return input_shape

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "commitment_cost": self.commitment_cost,
            "decay": self.decay,
            "epsilon": self.epsilon,
        }


class CodebookPerplexity(keras.metrics.Metric):
    """The perplexity of shares that a layer keeps.

    It has no variables of its own: nothing is assigned where a model only predicts, nothing reset between epochs.
    """

    def __init__(self, shares, name="perplexity"):
        super().__init__(name=name)
        self._shares = shares

    def update_state(self):
        """Nothing: the layer keeps the shares."""

    def result(self):
        """The exponential of the entropy of the shares."""
        shares = self._shares()
        return tf.exp(-tf.reduce_sum(tf.math.xlogy(shares, shares)))
