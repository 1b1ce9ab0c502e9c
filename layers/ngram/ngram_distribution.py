"""`NgramDistribution`: predicts the next token from the n-grams of the training text."""

import math

import keras
import numpy as np
import tensorflow as tf

from ikelos.layers.ngram.counting import count, discounts
from ikelos.layers.options import check_positive


@keras.saving.register_keras_serializable(package="ikelos")
class NgramDistribution(keras.layers.Layer):
    """Interpolated n-gram model of the next token, as a layer.

    The model is smoothed by interpolated modified Kneser-Ney (S. F. Chen and J. Goodman, "An Empirical Study of
    Smoothing Techniques for Language Modeling", TR-10-98, Harvard, 1998, section 4): a context contributes its
    discounted counts and passes the discounted mass to the context that is one token shorter.

    The counts are non-trainable weights. `adapt` sets them, and they are saved and exported with the model.

    With `training=True` each prediction leaves out the occurrence that it predicts (leave-one-out). Otherwise a
    network that trains on the counted text would learn to trust these probabilities too much. The token after the end
    of a row is unknown, so in training the last prediction of each row uses contexts of at most one token.

    XLA cannot compile this layer, because the sizes of its lookups depend on the data.

    Args:
        vocabulary_size: Number of token ids, V.
        order: Length N of the longest n-grams: a prediction depends on the last N - 1 tokens.
        max_ngrams: Largest number of distinct n-grams of all lengths together; the tables take 12 bytes for each. If
            the text has more, the longest lengths are dropped.
        padding_id: Token id that fills shorter rows at the end.

    Call arguments:
        tokens: int `[B,T]`. Contexts begin at the first token of a row.
        training: Whether to leave out the occurrences that are predicted.

    Output shape: `[B,T,V]` float32, the probabilities of the token that follows each token.

    Example:

    >>> layer = NgramDistribution(vocabulary_size=5, order=3, max_ngrams=100)
    >>> layer.adapt([[1, 2, 3, 1, 2, 3, 1, 2, 3, 4]])
    3
    >>> int(tf.argmax(layer(tf.constant([[1, 2]]))[0, 1]))
    3
    """

    def __init__(self, vocabulary_size, order, max_ngrams, padding_id=0, **kwargs):
        super().__init__(**kwargs)
        check_positive(vocabulary_size=vocabulary_size, order=order, max_ngrams=max_ngrams)
        self.vocabulary_size = vocabulary_size
        self.order = order
        self.max_ngrams = max_ngrams
        self.padding_id = padding_id
        self.supports_jit = False

    def build(self, tokens_shape=None):
        """Creates empty tables."""

        def table(name, size, dtype="int32"):
            return self.add_weight(
                shape=size, initializer="zeros", dtype=dtype, trainable=False, autocast=False, name=name
            )

        # A trie. Node 0 is the empty context, the others are n-grams, shorter ones first. The children of node i, the
        # n-grams that continue it by one token, are the nodes from `first[i]` to `first[i + 1]`, sorted by that token.
        self.following = table("following", (self.max_ngrams + 1,))
        self.counts = table("counts", (self.max_ngrams + 1,))
        self.first = table("first", (self.max_ngrams + 2,))
        self.discounts = table("discounts", (self.order, 4), "float32")

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
        levels = count(documents, self.order, self.vocabulary_size, self.max_ngrams)
        if levels[0].keys.size > self.max_ngrams:
            raise ValueError(
                f"`max_ngrams` must be at least {levels[0].keys.size}, the number of distinct tokens. "
                f"Received: max_ngrams={self.max_ngrams}"
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
        self.following.assign(_fill_up(following, self.max_ngrams + 1, 0))
        self.counts.assign(_fill_up(counts, self.max_ngrams + 1, 0))
        self.first.assign(_fill_up(first, self.max_ngrams + 2, nodes))
        self.discounts.assign(rates)
        return len(levels)

    def call(self, tokens, training=None):
        """Returns the probabilities `[B,T,V]` of the token that follows each of `tokens [B,T]`."""
        return self.evidence(tokens, training)[0]

    def evidence(self, tokens, training=None):
        """Returns the probabilities, and two measures of the reliability of each context.

        Args:
            tokens: int `[B,T]`.
            training: As in the call.

        Returns:
            Three float32 tensors: the probabilities, `[B,T,V]`; the total count of the contexts of 0 to N - 1 tokens,
            `[B,T,N]`; and the probability mass that each of these passes to the shorter context, `[B,T,N]`.
        """
        tokens = tf.cast(tokens, tf.int32)
        contexts = self.contexts(tokens)
        next_tokens = None
        if training:
            next_tokens = tf.where(tokens == self.padding_id, -1, tokens)[:, 1:]
            next_tokens = tf.pad(next_tokens, [[0, 0], [0, 1]], constant_values=-1)
            last = (next_tokens < 0)[:, :, None] & (tf.range(self.order) > 1)
            contexts = tf.where(last, self._unknown, contexts)
        return self.following_probabilities(contexts, next_tokens)

    def contexts(self, tokens):
        """Returns the nodes, int32 `[B,T,N]`, of the contexts of 0 to N - 1 tokens that end at each token.

        Args:
            tokens: int32 `[B,T]`.
        """
        longer = tf.zeros_like(tokens)
        found = [longer]
        for n in range(1, self.order):
            before = tf.pad(longer[:, :-1], [[0, 0], [1, 0]], constant_values=self._unknown if n > 1 else 0)
            longer = self._child(before, tokens)
            found.append(longer)
        return tf.stack(found, axis=-1)

    def extended(self, contexts, tokens):
        """Returns the nodes of the contexts after one more token per row, int32 `[B,N]`.

        Args:
            contexts: Nodes of the contexts before that token, int32 `[B,N]`.
            tokens: The tokens, int32 `[B]`.
        """
        longer = self._child(contexts[:, :-1], tokens[:, None])
        return tf.concat([contexts[:, :1], longer], axis=1)  # the empty context stays

    def following_probabilities(self, contexts, next_tokens=None):
        """Returns the results of `evidence` for given contexts.

        Args:
            contexts: Nodes, int32 `[...,N]`, as `contexts` and `extended` return them.
            next_tokens: int32 `[...]`, the tokens that follow. One occurrence of each is left out of the counts, except
                of negative ones. None leaves out nothing.

        Returns:
            The probabilities `[...,V]`, total counts `[...,N]` and masses `[...,N]`, as `evidence` describes.
        """
        shape = tf.shape(contexts)[:-1]
        contexts = tf.reshape(contexts, [-1, self.order])
        rows, size = tf.shape(contexts)[0], self.vocabulary_size
        if next_tokens is not None:
            next_tokens = tf.reshape(next_tokens, [-1])
        longer, row, length, tokens, counts = self._children(contexts)
        unigrams = self._unigrams()

        def sum_by_context(values):
            return tf.math.unsorted_segment_sum(values, longer, tf.size(contexts[:, 1:]))

        def reshape_to_rows(values):
            return tf.reshape(values, [rows, self.order - 1])

        if next_tokens is not None:
            here = tf.cast(tokens == tf.gather(next_tokens, row), tf.float32)
            single = tf.where(next_tokens < 0, 0.0, tf.gather(unigrams[0], tf.maximum(next_tokens, 0)))
            left_out = _left_out(tf.concat([single[:, None], reshape_to_rows(sum_by_context(here * counts))], axis=1))
            counts -= here * tf.gather(tf.reshape(left_out[:, 1:], [-1]), longer)
            unigrams -= left_out[:, :1] * tf.one_hot(next_tokens, size)
        discounts = self._discounts_of(length, counts)
        totals = sum_by_context(counts)
        backoff = _passed_on(totals, sum_by_context(discounts))
        # The probability mass that the longer contexts pass to each context.
        left = tf.math.cumprod(reshape_to_rows(backoff), axis=1, exclusive=True, reverse=True)
        share = (counts - discounts) * tf.gather(tf.reshape(left, [-1]) / tf.maximum(totals, 1.0), longer)
        probabilities = tf.math.unsorted_segment_sum(share, row * size + tokens, rows * size)

        discounts = self._discounts_of(0, unigrams)
        total = tf.reduce_sum(unigrams, axis=1, keepdims=True)
        rest = _passed_on(total, tf.reduce_sum(discounts, axis=1, keepdims=True))
        unigram = (unigrams - discounts) / tf.maximum(total, 1.0) + rest / size
        mass = tf.reduce_prod(reshape_to_rows(backoff), axis=1, keepdims=True)
        probabilities = tf.reshape(probabilities, [rows, size]) + mass * unigram

        def all_lengths(shortest, others):
            found = tf.concat([tf.broadcast_to(shortest, [rows, 1]), reshape_to_rows(others)], axis=1)
            return tf.reshape(found, tf.concat([shape, [self.order]], axis=0))

        probabilities = tf.reshape(probabilities, tf.concat([shape, [size]], axis=0))
        return probabilities, all_lengths(total, totals), all_lengths(rest, backoff)

    def _unigrams(self):
        """Returns the counts of all tokens, float32 `[1,V]`.

        All rows have the empty context, so its children, which are all tokens, are not repeated for each row.
        """
        known = slice(1, self.first.value[1])
        counts = tf.cast(self.counts.value[known], tf.float32)
        return tf.scatter_nd(self.following.value[known][:, None], counts, [self.vocabulary_size])[None]

    def _children(self, contexts):
        """Returns the children of all contexts of at least one token, in one list.

        Args:
            contexts: int32 `[P,N]`.

        Returns:
            Five arrays with an element for each child: the index of its context in the flattened `contexts[:, 1:]`, the
            row and the length of this context, the child's last token, and the child's count.
        """
        flat = tf.reshape(contexts[:, 1:], [-1])
        begin, end = tf.gather(self.first.value, flat), tf.gather(self.first.value, flat + 1)
        context = tf.repeat(tf.range(tf.size(flat)), end - begin)
        nodes = tf.range(tf.size(context)) + tf.gather(begin - tf.cumsum(end - begin, exclusive=True), context)
        lengths = max(self.order - 1, 1)
        counts = tf.cast(tf.gather(self.counts.value, nodes), tf.float32)
        return context, context // lengths, context % lengths + 1, tf.gather(self.following.value, nodes), counts

    def _discounts_of(self, length, counts):
        """Returns the discounts of `counts` of tokens that follow contexts of `length` tokens."""
        column = tf.cast(tf.minimum(counts, 3.0), tf.int32)
        return tf.gather(tf.reshape(self.discounts.value, [-1]), length * 4 + column)

    @property
    def _unknown(self):
        """Node without children, which stands for every context that does not occur in the training text."""
        return self.max_ngrams

    def _child(self, contexts, tokens):
        """Returns the node of each context followed by a token, found by binary search; `_unknown` if there is none."""
        low, end = tf.gather(self.first.value, contexts), tf.gather(self.first.value, contexts + 1)
        high = end
        for _ in range(math.ceil(math.log2(self.vocabulary_size + 1))):
            middle = (low + high) // 2
            below = (tf.gather(self.following.value, tf.minimum(middle, self.max_ngrams)) < tokens) & (low < high)
            low, high = tf.where(below, middle + 1, low), tf.where(below, high, middle)
        found = tf.gather(self.following.value, tf.minimum(low, self.max_ngrams)) == tokens
        return tf.where(found & (low < end), low, self._unknown)

    def compute_output_shape(self, tokens_shape):
        """Returns `[B,T,V]`."""
        return (*tokens_shape, self.vocabulary_size)

    def compute_output_spec(self, tokens, training=None):
        """Returns the shape of the output, and float32 as its dtype under every policy."""
        return keras.KerasTensor(self.compute_output_shape(tokens.shape), dtype="float32")

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "order": self.order,
            "max_ngrams": self.max_ngrams,
            "padding_id": self.padding_id,
        }


def _left_out(own):
    """Returns the decrease, `[P,N]`, of the counts `own [P,N]` of n-grams of each length without one occurrence.

    The longest n-gram loses one. The count of a shorter one is the number of distinct tokens that precede it, so it
    loses one only if the longer n-gram has no other occurrence. Where the longer n-gram begins before the window, it
    is unknown, and the shorter one loses one too.
    """
    left_out, alone = [], tf.ones_like(own[:, 0])
    for n in reversed(range(own.shape[1])):
        left_out.append(alone * tf.cast(own[:, n] > 0, tf.float32))
        alone = tf.where(own[:, n] > 0, alone * tf.cast(own[:, n] < 2, tf.float32), alone)
    return tf.stack(left_out[::-1], axis=1)


def _passed_on(totals, discounted):
    """Returns the share of the total counts of contexts that discounts pass to shorter contexts; 1 where a total is
    0."""
    return tf.where(totals > 0, discounted / tf.maximum(totals, 1.0), 1.0)


def _fill_up(parts, size, value):
    """Returns the concatenated parts, filled up with `value`, as int32 `[size]`."""
    joined = np.concatenate(parts)
    return np.concatenate([joined, np.full(size - joined.size, value)]).astype(np.int32)
