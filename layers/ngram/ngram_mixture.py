"""`NgramMixture`: mixes n-grams and repetitions into the predictions of a neural language model."""

from typing import NamedTuple

import keras
import tensorflow as tf

from ikelos.layers.ngram.ngram_distribution import NgramDistribution
from ikelos.layers.ngram.suffix_copy import SuffixCopy
from ikelos.layers.options import check_positive
from ikelos.layers.projection import Projection

_RARE = 5.0
"""The network's input ignores tokens to which the n-gram model gives a probability below `exp(-5)`."""
_SOURCES = (1.0, 0.0, -1.0)
"""Initial logits of the weights of network, n-grams and copies."""


class Evidence(NamedTuple):
    """Predictions of n-grams and of repetitions at each position.

    Attributes:
        ngrams: Probabilities by `ikelos.layers.NgramDistribution`, float32 `[B,T,V]`.
        copies: Probabilities by `ikelos.layers.SuffixCopy`, float32 `[B,T,V]`.
        features: Description of both predictions, an input of the network, float32 `[B,T,F]`.
    """

    ngrams: tf.Tensor
    copies: tf.Tensor
    features: tf.Tensor


@keras.saving.register_keras_serializable(package="ikelos")
class NgramMixture(keras.layers.Layer):
    """Mixes the predictions of an n-gram model and of repetitions into those of a language model.

    1. `evidence` computes the probabilities of the next token by `ikelos.layers.NgramDistribution` and
       `ikelos.layers.SuffixCopy`.
    2. `embed` turns them into an input of the network.
    3. `mix` adds the network's logits to the n-gram model's log-probabilities, so that the network learns a correction
       (Li et al. 2022, "Residual Learning of Neural Text Generation with n-gram Language Model", section 3). The result
       is a weighted mean of this corrected distribution, the n-gram model's and that of the repetitions. The weights
       are a softmax of the hidden state, as in pointer sentinel mixtures (Merity et al. 2017, section 2).

    Args:
        vocabulary_size: Number of token ids, V.
        size: Width of the network, D.
        order: `order` of `ikelos.layers.NgramDistribution`.
        max_ngrams: `max_ngrams` of `ikelos.layers.NgramDistribution`.
        longest_match: `longest` of `ikelos.layers.SuffixCopy`.
        window: `window` of `ikelos.layers.SuffixCopy`.

    Call arguments:
        tokens: int `[B,T]`.
        training: Whether the n-gram model leaves out the occurrences that it predicts.

    Output shape: `[B,T,D]`, the result of `embed`, to be added to the network's token embeddings.

    Example:

    The network in this example is a single layer that sees only the last token:

    >>> mixture = NgramMixture(vocabulary_size=5, size=8, order=3, max_ngrams=100, longest_match=4, window=16)
    >>> mixture.adapt([[1, 2, 3, 1, 2, 3, 1, 2, 3, 4]])
    3
    >>> embedding, head = keras.layers.Embedding(5, 8), keras.layers.Dense(5)
    >>> tokens = tf.constant([[1, 2]])
    >>> evidence = mixture.evidence(tokens)
    >>> hidden = embedding(tokens) + mixture.embed(evidence)
    >>> log_probabilities = mixture.mix(head(hidden), hidden, evidence)
    >>> int(tf.argmax(log_probabilities[0, 1]))
    3
    """

    def __init__(self, vocabulary_size, size, order, max_ngrams, longest_match, window, **kwargs):
        super().__init__(**kwargs)
        check_positive(size=size)
        self.vocabulary_size = vocabulary_size
        self.size = size
        self.order = order
        self.max_ngrams = max_ngrams
        self.longest_match = longest_match
        self.window = window
        self.supports_jit = False
        # Probabilities are float32 under every policy.
        self.ngrams = NgramDistribution(vocabulary_size, order, max_ngrams, name="ngrams", dtype="float32")
        self.copies = SuffixCopy(vocabulary_size, longest_match, window, name="copies", dtype="float32")
        self.input_embedding = Projection(
            size,
            use_bias=False,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="embedding",
            dtype=self.dtype_policy,
        )
        self.gates = Projection(1 + len(_SOURCES), kernel_initializer="zeros", name="gates", dtype="float32")

    def build(self, tokens_shape=None):
        """Creates the weights."""
        self.ngrams.build(tokens_shape)
        self.copies.build(tokens_shape)
        features = 2 * self.vocabulary_size + 2 * self.order + self.longest_match + 1
        self.input_embedding.build((None, None, features))
        self.gates.build((None, None, self.size))

    def adapt(self, documents):
        """Counts the n-grams of the training text.

        Args:
            documents: Sequence of int arrays `[T]` of ids in `[0, V)`. No n-gram spans two documents.

        Returns:
            The length of the longest n-grams that were kept.

        Raises:
            ValueError: If `documents` is empty, a document is not an array of ids as above, or `max_ngrams` is less
                than the number of distinct tokens.
        """
        if not self.built:
            self.build()
        return self.ngrams.adapt(documents)

    def call(self, tokens, training=None):
        """Returns the input of the network, `[B,T,D]`, for `tokens [B,T]`."""
        return self.embed(self.evidence(tokens, training))

    def evidence(self, tokens, training=None):
        """Returns the `Evidence` at each token.

        Args:
            tokens: int `[B,T]`.
            training: Whether the n-gram model leaves out the occurrences that it predicts.
        """
        return self._evidence(self.ngrams.evidence(tokens, training), self.copies.evidence(tokens))

    def embed(self, evidence):
        """Returns the input of the network, `[B,T,D]`, for the `Evidence`."""
        return self.input_embedding(evidence.features)

    def mix(self, logits, hidden, evidence):
        """Returns the log-probabilities of the mixture, float32 `[...,V]`.

        Args:
            logits: Logits of the network, float32 `[...,V]`.
            hidden: The hidden states from which the logits were computed, `[...,D]`.
            evidence: The `Evidence` at the same positions.
        """
        gates = self.gates(hidden)
        logits += (1.0 + gates[..., :1]) * tf.math.log(evidence.ngrams)
        network, ngrams, copies = tf.split(tf.nn.softmax(gates[..., 1:] + _SOURCES), len(_SOURCES), axis=-1)
        left = 1.0 - tf.reduce_sum(evidence.copies, axis=-1, keepdims=True)
        ngrams += copies * left
        return tf.math.log(network * tf.nn.softmax(logits) + ngrams * evidence.ngrams + copies * evidence.copies)

    def start(self, tokens, lengths, capacity):
        """Returns the state after the prompts, to `advance` from.

        Args:
            tokens: int `[B,P]`, padded at the end.
            lengths: int32 `[B]`, each at least 1.
            capacity: Number of positions to reserve: P plus one for each `advance`.

        Returns:
            Nested tuples of tensors whose first axis is the batch.
        """
        contexts = self.ngrams.contexts(tf.cast(tokens, tf.int32))
        contexts = tf.gather(contexts, lengths - 1, axis=1, batch_dims=1)
        return contexts, self.copies.start(tokens, lengths, capacity)

    def advance(self, tokens, state):
        """Reads one more token per row.

        Args:
            tokens: The tokens, int32 `[B]`.
            state: The state from `start` or from the last `advance`.

        Returns:
            The `Evidence` at the new tokens, with T = 1, and the new state.
        """
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
        """Returns `[B,T,D]`."""
        return (*tokens_shape, self.size)

    def compute_output_spec(self, tokens, training=None):
        """Returns the shape of the output, and the policy's compute dtype."""
        return keras.KerasTensor(self.compute_output_shape(tokens.shape), dtype=self.compute_dtype)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "size": self.size,
            "order": self.order,
            "max_ngrams": self.max_ngrams,
            "longest_match": self.longest_match,
            "window": self.window,
        }
