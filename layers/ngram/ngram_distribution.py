"""`NgramDistribution`: predicts the next token from the n-grams of the training text."""

import math

import keras
import numpy as np
import tensorflow as tf

from ikelos.layers.ngram.counting import count, discounts


@keras.saving.register_keras_serializable(package="ikelos")
class NgramDistribution(keras.layers.Layer):
    """Interpolated n-gram model of the next token, as a layer.

    Smoothed by interpolated modified Kneser-Ney (S. F. Chen and J. Goodman, "An Empirical Study of Smoothing
    Techniques for Language Modeling", TR-10-98, Harvard, 1998, section 4): each context gives its discounted counts,
    and the discounted mass goes to the context that is one token shorter.

    The counts are non-trainable weights. `adapt` sets them, and they are saved and exported with the model.

    With `training=True` each prediction leaves out the occurrence that it predicts (leave-one-out). Otherwise a
    network that trains on the counted text would learn to trust these probabilities too much. The token after the end
    of a window is unknown, so the last prediction of each row then uses contexts of at most one token.

    XLA cannot compile this layer, since the sizes of its lookups depend on the data.

    Args:
        vocabulary_size: Number of token ids, V.
        order: Length N of the longest n-grams: a prediction depends on the last N - 1 tokens.
        num_ngrams: Largest number of distinct n-grams of all lengths together; the tables take 12 bytes for each. If
            the text has more, the longest lengths are dropped.

    Call arguments:
        tokens: int `[B,T]`. Contexts do not extend to before the first token.
        training: Whether to leave out the occurrences that are predicted.

    Output shape: `[B,T,V]` float32, the probabilities of the token that follows each token.

    Example:

    >>> layer = NgramDistribution(vocabulary_size=5, order=3, num_ngrams=100)
    >>> layer.adapt([[1, 2, 3, 1, 2, 3, 1, 2, 3, 4]])
    >>> int(tf.argmax(layer(tf.constant([[1, 2]]))[0, 1]))
    3
    """

    def __init__(self, vocabulary_size, order, num_ngrams, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("vocabulary_size", vocabulary_size), ("order", order), ("num_ngrams", num_ngrams)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}")
        self.vocabulary_size = vocabulary_size
        self.order = order
        self.num_ngrams = num_ngrams
        self.supports_jit = False

    def build(self, tokens_shape=None):
        """Creates the tables, empty."""

        def table(name, size, dtype="int32"):
            return self.add_weight(
                shape=size, initializer="zeros", dtype=dtype, trainable=False, autocast=False, name=name
            )

        # A trie. Node 0 is the empty context, the others are n-grams, shorter ones first. The children of node i, the
        # n-grams that continue it by one token, are the nodes from `first[i]` to `first[i + 1]`, sorted by that token.
        self.following = table("following", (self.num_ngrams + 1,))
        self.counts = table("counts", (self.num_ngrams + 1,))
        self.first = table("first", (self.num_ngrams + 2,))
        self.discounts = table("discounts", (self.order, 4), "float32")

    def adapt(self, documents):
        """Counts the n-grams of the training text.

        Args:
            documents: Sequence of int arrays `[T]` of ids in `[0, V)`. No n-gram spans two documents.

        Raises:
            ValueError: If `documents` is empty, a document is not an array of ids as above, or `num_ngrams` is less
                than the number of distinct tokens.
        """
        if not self.built:
            self.build()
        levels = count(documents, self.order, self.vocabulary_size, self.num_ngrams)
        if levels[0].keys.size > self.num_ngrams:
            raise ValueError(
                f"`num_ngrams` must be at least {levels[0].keys.size}, the number of distinct tokens. "
                f"Received: num_ngrams={self.num_ngrams}"
            )
        following, counts, first = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)], []
        nodes, contexts = 1, 1
        rates = np.zeros((self.order, 4), np.float32)
        for n, level in enumerate(levels):
            counted = level.occurrences if level.preceding is None else level.preceding
            rates[n] = discounts(counted)
            # Contexts that include the start of a document come last in each level. They are dropped, since a window
            # may start anywhere.
            kept = np.searchsorted(level.keys, contexts * self.vocabulary_size)
            following.append(level.keys[:kept] % self.vocabulary_size)
            counts.append(counted[:kept])
            first.append(nodes + np.searchsorted(level.keys[:kept], np.arange(contexts) * self.vocabulary_size))
            nodes, contexts = nodes + kept, kept
        self.following.assign(_filled(following, self.num_ngrams + 1, 0))
        self.counts.assign(_filled(counts, self.num_ngrams + 1, 0))
        self.first.assign(_filled(first, self.num_ngrams + 2, nodes))
        self.discounts.assign(rates)

    def call(self, tokens, training=None):
        """Returns the probabilities `[B,T,V]` of the token that follows each of `tokens` `[B,T]`."""
        return self.evidence(tokens, training)[0]

    def evidence(self, tokens, training=None):
        """Returns the probabilities, and how far the counts of each context can be trusted.

        Args:
            tokens: int `[B,T]`.
            training: As for the call.

        Returns:
            Three float32 tensors: the probabilities `[B,T,V]`; and for the contexts of 0 to N - 1 tokens the total
            count of each and the probability mass that it passes to the shorter one, both `[B,T,N]`.
        """
        tokens = tf.cast(tokens, tf.int32)
        contexts = self.contexts(tokens)
        next_tokens = None
        if training:
            rows = tf.shape(tokens)[0]
            next_tokens = tf.concat([tokens[:, 1:], tf.fill([rows, 1], -1)], axis=1)
            short = [
                *tf.unstack(contexts[:, -1:, :2], axis=-1),
                *[tf.fill([rows, 1], self._unknown)] * (self.order - 2),
            ]
            contexts = tf.concat([contexts[:, :-1], tf.stack(short[: self.order], axis=-1)], axis=1)
        return self.following_probabilities(contexts, next_tokens)

    def contexts(self, tokens):
        """Returns the nodes, int32 `[B,T,N]`, of the contexts of 0 to N - 1 tokens that end at each token."""
        longer = tf.zeros_like(tokens)
        found = [longer]
        for n in range(1, self.order):
            before = tf.pad(longer[:, :-1], [[0, 0], [1, 0]], constant_values=self._unknown if n > 1 else 0)
            longer = self._child(before, tokens)
            found.append(longer)
        return tf.stack(found, axis=-1)

    def extended(self, contexts, tokens):
        """Returns the nodes `[B,N]` of the contexts after one more token per row, `[B]`."""
        longer = self._child(contexts[:, :-1], tokens[:, None])
        return tf.concat([tf.zeros_like(longer[:, :1]) if self.order > 1 else contexts, longer], axis=1)

    def following_probabilities(self, contexts, next_tokens=None):
        """Returns what `evidence` does, for given contexts.

        Args:
            contexts: Nodes, int32 `[...,N]`, as `contexts` and `extended` return them.
            next_tokens: int32 `[...]`, the tokens that follow; one occurrence of each is left out of the counts. None
                leaves out nothing.

        Returns:
            Tensors `[...,V]`, `[...,N]` and `[...,N]`.
        """
        shape = tf.shape(contexts)[:-1]
        rows, order, size = tf.reduce_prod(shape), self.order, self.vocabulary_size
        flat = tf.reshape(contexts, [-1])
        begin, end = tf.gather(self.first.value, flat), tf.gather(self.first.value, flat + 1)
        # The children of all contexts in one list; `owner` is the index of the context of each.
        owner = tf.repeat(tf.range(rows * order), end - begin)
        offset = begin - tf.cumsum(end - begin, exclusive=True)
        nodes = tf.range(tf.size(owner)) + tf.gather(offset, owner)
        tokens = tf.gather(self.following.value, nodes)
        counts = tf.cast(tf.gather(self.counts.value, nodes), tf.float32)
        row, level = owner // order, owner % order
        if next_tokens is not None:
            here = tf.cast(tokens == tf.gather(tf.reshape(next_tokens, [-1]), row), tf.float32)
            own = tf.reshape(tf.math.unsorted_segment_sum(here * counts, owner, rows * order), [rows, order])
            counts -= here * tf.gather(tf.reshape(_left_out(own), [-1]), owner)
        place = level * 4 + tf.cast(tf.minimum(counts, 3.0), tf.int32)
        discount = tf.gather(tf.reshape(self.discounts.value, [-1]), place)
        totals = tf.math.unsorted_segment_sum(counts, owner, rows * order)
        freed = tf.math.unsorted_segment_sum(discount, owner, rows * order)
        backoff = tf.reshape(tf.where(totals > 0, freed / tf.maximum(totals, 1.0), 1.0), [rows, order])
        # The probability mass that the longer contexts pass on to each.
        left = tf.math.cumprod(backoff, axis=1, exclusive=True, reverse=True)
        share = (counts - discount) * tf.gather(tf.reshape(left, [-1]) / tf.maximum(totals, 1.0), owner)
        counted = tf.math.unsorted_segment_sum(share, row * size + tokens, rows * size)
        probabilities = tf.reshape(counted, [rows, size]) + left[:, :1] * backoff[:, :1] / size
        known = tf.concat([shape, [order]], axis=0)
        return (
            tf.reshape(probabilities, tf.concat([shape, [size]], axis=0)),
            tf.reshape(totals, known),
            tf.reshape(backoff, known),
        )

    @property
    def _unknown(self):
        """A node without children: the context that the training text does not have."""
        return self.num_ngrams

    def _child(self, contexts, tokens):
        """Returns the child of each context for one more token, by binary search; `_unknown` if there is none."""
        low, end = tf.gather(self.first.value, contexts), tf.gather(self.first.value, contexts + 1)
        high = end
        for _ in range(math.ceil(math.log2(self.vocabulary_size + 1))):
            middle = (low + high) // 2
            below = (tf.gather(self.following.value, tf.minimum(middle, self.num_ngrams)) < tokens) & (low < high)
            low, high = tf.where(below, middle + 1, low), tf.where(below, high, middle)
        found = tf.gather(self.following.value, tf.minimum(low, self.num_ngrams)) == tokens
        return tf.where(found & (low < end), low, self._unknown)

    def compute_output_shape(self, tokens_shape):
        """`[B,T,V]`."""
        return (*tokens_shape, self.vocabulary_size)

    def compute_output_spec(self, tokens, training=None):
        """Returns the output's shape, and float32 under every policy."""
        return keras.KerasTensor(self.compute_output_shape(tokens.shape), dtype="float32")

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "order": self.order,
            "num_ngrams": self.num_ngrams,
        }


def _left_out(own):
    """Returns how much smaller the counts of an n-gram of each length, `own` `[P,N]`, are without one occurrence.

    The longest n-gram loses one. The count of a shorter one is the number of distinct tokens that precede it, so it
    loses one only if the longer n-gram has no other occurrence.
    """
    left_out, alone = [], tf.ones_like(own[:, 0])
    for n in reversed(range(own.shape[1])):
        counted = tf.cast(own[:, n] > 0, tf.float32)
        left_out.append(alone * counted)
        alone = tf.where(own[:, n] > 0, alone * tf.cast(own[:, n] < 2, tf.float32), alone)
    return tf.stack(left_out[::-1], axis=1)


def _filled(parts, size, value):
    parts = np.concatenate(parts)
    return np.concatenate([parts, np.full(size - parts.size, value)]).astype(np.int32)
