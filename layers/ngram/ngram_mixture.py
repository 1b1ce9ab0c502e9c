"""`NgramMixture`: what counting knows of the next token, for a neural language model to start from."""

from typing import NamedTuple

import keras
import tensorflow as tf

from ikelos.layers.ngram.ngram_distribution import NgramDistribution
from ikelos.layers.ngram.suffix_copy import SuffixCopy

_RARE = 5.0
"""Nats: the network is not told of tokens that the n-grams find rarer than `exp(-5)`."""
_SOURCES = (1.0, 0.0, -1.0)
"""Where the gates of network, n-grams and copies start."""


class Evidence(NamedTuple):
    """What counting knows of the next token.

    Attributes:
        ngrams: Its probabilities by the training text, float32 `[B,T,V]`.
        copies: Its probabilities by repetitions within the text at hand, which sum to less than 1, float32 `[B,T,V]`.
        features: What the network is told of both, float32 `[B,T,F]`.
    """

    ngrams: tf.Tensor
    copies: tf.Tensor
    features: tf.Tensor


@keras.saving.register_keras_serializable(package="ikelos")
class NgramMixture(keras.layers.Layer):
    """Mixes a network's prediction with those of an n-gram model and of repetitions in the text, token by token.

    The network is told what both predict (`embed`), and its logits are added to the logarithm of the n-gram model's
    probabilities, so that it learns what counting misses (H. Li et al. 2022, "Residual Learning of Neural Text
    Generation with n-gram Language Model"). Of what it then makes of the next token, of what the n-gram model does, and
    of what repetitions do, it takes the mean by weights that it gives them at each place (`mix`), as in pointer
    sentinel mixtures (Merity et al. 2017). A model that is small or trained for minutes gains most.

    Args:
        vocabulary_size: Number of token ids, V.
        size: Width of the network, D.
        order: Longest n-grams, as in `ikelos.layers.NgramDistribution`.
        num_ngrams: Room for so many n-grams, as there.
        longest_match: As `longest` in `ikelos.layers.SuffixCopy`.
        window: As there.

    Call arguments:
        tokens: int `[B,T]`.
        training: Whether the n-grams leave out what they predict, as in `ikelos.layers.NgramDistribution`.

    Output shape: float32 `[B,T,D]`, to be added to the network's embedding of each token.

    Example:

    A network of one layer, which predicts from the last token alone:

    >>> mixture = NgramMixture(vocabulary_size=5, size=8, order=3, num_ngrams=100, longest_match=4, window=16)
    >>> mixture.adapt([np.array([1, 2, 3, 1, 2, 3, 1, 2, 3, 4])])
    >>> embedding, head = keras.layers.Embedding(5, 8), keras.layers.Dense(5)
    >>> tokens = tf.constant([[1, 2]])
    >>> evidence = mixture.evidence(tokens)
    >>> hidden = embedding(tokens) + mixture.embed(evidence)
    >>> log_probabilities = mixture.mix(head(hidden), hidden, evidence)
    >>> int(tf.argmax(log_probabilities[0, 1]))
    3
    """

    def __init__(self, vocabulary_size, size, order, num_ngrams, longest_match, window, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.size = size
        self.order = order
        self.num_ngrams = num_ngrams
        self.longest_match = longest_match
        self.window = window
        self.supports_jit = False
        # Probabilities are float32 under every policy.
        self.ngrams = NgramDistribution(vocabulary_size, order, num_ngrams, name="ngrams", dtype="float32")
        self.copies = SuffixCopy(vocabulary_size, longest_match, window, name="copies", dtype="float32")
        self.input_embedding = keras.layers.Dense(
            size,
            use_bias=False,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="embedding",
            dtype=self.dtype_policy,
        )
        self.gates = keras.layers.Dense(1 + len(_SOURCES), kernel_initializer="zeros", name="gates", dtype="float32")

    def build(self, tokens_shape=None):
        """Creates the weights."""
        self.ngrams.build(tokens_shape)
        self.copies.build(tokens_shape)
        features = 2 * self.vocabulary_size + 2 * self.order + self.longest_match + 1
        self.input_embedding.build((None, None, features))
        self.gates.build((None, None, self.size))

    def adapt(self, documents):
        """Counts the n-grams of the training text, as `NgramDistribution.adapt`."""
        if not self.built:
            self.build()
        self.ngrams.adapt(documents)

    def call(self, tokens, training=None):
        """What `embed` gives of each of `tokens [B,T]`."""
        return self.embed(self.evidence(tokens, training))

    def evidence(self, tokens, training=None):
        """What is known of what follows each of `tokens [B,T]`."""
        return self._evidence(self.ngrams.evidence(tokens, training), self.copies.evidence(tokens))

    def embed(self, evidence):
        """What the network is told, `[B,T,D]`."""
        return self.input_embedding(evidence.features)

    def mix(self, logits, hidden, evidence):
        """The mixture.

        Args:
            logits: Of the network, float32 `[...,V]`.
            hidden: The states that they were made of, `[...,D]`.
            evidence: Of the same places.

        Returns:
            Log-probabilities, float32 `[...,V]`.
        """
        gates = self.gates(hidden)
        logits += (1.0 + gates[..., :1]) * tf.math.log(evidence.ngrams)
        network, ngrams, copies = tf.split(tf.nn.softmax(gates[..., 1:] + _SOURCES), len(_SOURCES), axis=-1)
        left = 1.0 - tf.reduce_sum(evidence.copies, axis=-1, keepdims=True)
        ngrams += copies * left
        return tf.math.log(network * tf.nn.softmax(logits) + ngrams * evidence.ngrams + copies * evidence.copies)

    def start(self, tokens, lengths, capacity):
        """The state behind prompts, to `advance` from; arguments as of `SuffixCopy.start`."""
        contexts = self.ngrams.contexts(tf.cast(tokens, tf.int32))
        contexts = tf.gather(contexts, lengths - 1, axis=1, batch_dims=1)
        return contexts, self.copies.start(tokens, lengths, capacity)

    def advance(self, tokens, state):
        """Reads one more token a row, int32 `[B]`; returns its evidence, T = 1, and the new state."""
        contexts, copying = state
        contexts = self.ngrams.extended(contexts, tokens)
        copied, copying = self.copies.advance(tokens, copying)
        known = self.ngrams.following_probabilities(contexts[:, None])
        return self._evidence(known, copied), (contexts, copying)

    def _evidence(self, known, copied):
        (ngrams, totals, backoff), (copies, longest) = known, copied
        features = [
            tf.maximum(tf.math.log(ngrams) + _RARE, 0.0),
            tf.math.log1p(totals),
            backoff,
            tf.one_hot(longest, self.longest_match + 1),
            copies,
        ]
        return Evidence(tf.stop_gradient(ngrams), copies, tf.concat(features, axis=-1))

    def compute_output_shape(self, tokens_shape):
        """`[B,T,D]`."""
        return (*tokens_shape, self.size)

    def compute_output_spec(self, tokens, training=None):
        """In the compute dtype of the policy."""
        return keras.KerasTensor(self.compute_output_shape(tokens.shape), dtype=self.compute_dtype)

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "size": self.size,
            "order": self.order,
            "num_ngrams": self.num_ngrams,
            "longest_match": self.longest_match,
            "window": self.window,
        }
