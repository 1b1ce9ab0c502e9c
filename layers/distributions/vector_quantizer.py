"""`VectorQuantizer`: replaces vectors by the nearest of a learned codebook."""

import keras
import tensorflow as tf

from ikelos.layers.distributions.support import REAL, checked, classes
from ikelos.layers.options import check_positive, deserialized, is_number, serialized, weight


@keras.saving.register_keras_serializable(package="ikelos")
class VectorQuantizer(keras.layers.Layer):
    """Replaces vectors by the nearest code of a codebook (van den Oord et al. 2017, section 3, appendix A.1).

    The gradient passes straight through to the inputs. The codebook has no gradient: in training, each code moves to
    the running mean of the vectors nearest to it. The mean squared distance between inputs and codes, times
    `commitment_cost`, is added to the loss, so that the inputs stay near their codes.

    The logs of `fit` have `perplexity`, the exponential of the entropy of the shares with which the codes were chosen
    in about the last `1 / (1 - decay)` training batches. It is `num_embeddings` if all codes are chosen equally often,
    and 1 if always the same code is chosen.

    Args:
        num_embeddings: Number of codes.
        embedding_dim: Size of a code, D.
        commitment_cost: Weight of the commitment loss (beta in the paper): a number, or a `keras.Variable` or
            `tf.Variable`, which a callback can change.
        decay: Decay of the running means per step, from 0 to less than 1.
        epsilon: Number added to the count of each code, against division by 0.

    Input shape: `[...,D]`. Output shape: `[...,D]`.

    Raises:
        ValueError: If an argument is not as described. When called: if the inputs are not real numbers or their last
            axis is not D; in eager execution also if an input is not finite. In `decode`: if an id is not an integer
            from 0 to `num_embeddings - 1`.
        tf.errors.InvalidArgumentError: When a graph runs, if an input is not finite or an id is out of range.

    Example:

    >>> layer = VectorQuantizer(16, 4)
    >>> ids = layer.encode(keras.ops.ones((2, 7, 4)))
    >>> ids.shape, layer.decode(ids).shape
    (TensorShape([2, 7]), TensorShape([2, 7, 4]))
    """

    def __init__(self, num_embeddings, embedding_dim, commitment_cost=0.25, decay=0.99, epsilon=1e-5, **kwargs):
        super().__init__(autocast=False, **kwargs)
        check_positive(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if not is_number(decay) or not 0 <= decay < 1:
            raise ValueError(f"`decay` must be a number from 0 to less than 1. Received: decay={decay!r}")
        if not is_number(epsilon) or epsilon <= 0:
            raise ValueError(f"`epsilon` must be a positive number. Received: epsilon={epsilon!r}")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.commitment_cost = weight("commitment_cost", commitment_cost)
        self.decay = decay
        self.epsilon = epsilon
        running = {"trainable": False, "aggregation": "mean"}
        shape = (num_embeddings, embedding_dim)
        self.counts = self.add_weight(name="counts", shape=shape[:1], initializer="ones", **running)
        self.sums = self.add_weight(name="sums", shape=shape, initializer="random_uniform", **running)
        self.perplexity = CodebookPerplexity(self._shares)
        self.built = True

    def codebook(self):
        """Returns the codes, `[num_embeddings,D]`."""
        total = tf.reduce_sum(self.counts)
        # As in the authors' code, smoothing does not change the sum of the counts.
        smooth = (self.counts + self.epsilon) / (total + self.num_embeddings * self.epsilon) * total
        return self.sums / smooth[:, None]

    def encode(self, inputs):
        """Returns the ids of the nearest codes, int32 `[...]`, for `inputs [...,D]`."""
        return self._nearest(self._vectors(inputs))

    def decode(self, ids):
        """Returns the codes with the given ids, `[...,D]` for `[...]`."""
        places = checked("ids", ids, classes(self.num_embeddings), (), self.sums.dtype)
        codes = tf.gather(self.codebook(), tf.cast(places, tf.int32))
        # NaN marks an invalid id, because XLA drops the check.
        return tf.where(tf.math.is_nan(places)[..., None], places[..., None], codes)

    def call(self, inputs, training=False):
        """Returns the codes nearest to the inputs, and adds the commitment loss."""
        vectors = self._vectors(inputs)
        ids = self._nearest(vectors)
        codes = tf.stop_gradient(tf.gather(self.codebook(), ids))
        distance = tf.reduce_mean((vectors - codes) ** 2)
        self.add_loss(tf.cast(self.commitment_cost, distance.dtype) * distance)
        if training:
            self._update(tf.stop_gradient(vectors), ids)
        return tf.cast(vectors + tf.stop_gradient(codes - vectors), self.compute_dtype)

    def _vectors(self, inputs):
        return checked("inputs", inputs, REAL, (self.embedding_dim,), self.sums.dtype)

    def _nearest(self, vectors):
        codes = self.codebook()
        # The square of the vector is left out of the distance, because it is the same for all codes.
        products = tf.tensordot(vectors, codes, axes=[[-1], [1]])
        return tf.argmin(tf.reduce_sum(codes**2, axis=-1) - 2 * products, axis=-1, output_type=tf.int32)

    def _update(self, vectors, ids):
        vectors = tf.reshape(vectors, [-1, self.embedding_dim])
        chosen = tf.one_hot(tf.reshape(ids, [-1]), self.num_embeddings, dtype=vectors.dtype)
        counts, sums = tf.reduce_sum(chosen, axis=0), tf.matmul(chosen, vectors, transpose_a=True)
        self.counts.assign(self.decay * self.counts + (1 - self.decay) * counts)
        self.sums.assign(self.decay * self.sums + (1 - self.decay) * sums)

    def _shares(self):
        """Returns the share of each code among all that were chosen."""
        return self.counts / tf.reduce_sum(self.counts)

    def compute_output_shape(self, input_shape):
        """Returns the shape of the inputs."""
        return tuple(input_shape)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "commitment_cost": serialized(self.commitment_cost),
            "decay": self.decay,
            "epsilon": self.epsilon,
        }

    @classmethod
    def from_config(cls, config):
        """Returns a layer with the constructor's arguments in `config`."""
        return cls(**config | {"commitment_cost": deserialized(config["commitment_cost"])})


class CodebookPerplexity(keras.metrics.Metric):
    """Perplexity of the shares that a layer keeps.

    The metric has no variables, so that prediction assigns nothing and nothing is reset between epochs.
    """

    def __init__(self, shares, name="perplexity"):
        super().__init__(name=name)
        self._shares = shares

    def update_state(self):
        """Does nothing: the layer keeps the shares."""

    def result(self):
        """Returns the exponential of the entropy of the shares."""
        shares = self._shares()
        return tf.exp(-tf.reduce_sum(tf.math.xlogy(shares, shares)))
