"""`SuffixCopy`: predicts the next token from earlier occurrences of the last tokens in the same text."""

import keras
import tensorflow as tf

from ikelos.layers.options import check_positive


@keras.saving.register_keras_serializable(package="ikelos")
class SuffixCopy(keras.layers.Layer):
    """Predicts that the token that followed the last tokens earlier in the text follows them again.

    Each earlier position votes for the token that followed it. The weight of the vote is learned for each length of the
    match, up to `longest`: the number of tokens in which the texts that end at this position and at the current one
    agree. Positions without a match do not vote. The votes are divided by their sum plus 1, so that in a text without
    repetitions all probabilities are 0. The layer is a cache of the recent text (Grave et al. 2017, "Improving Neural
    Language Models with a Continuous Cache", section 3) that compares tokens instead of hidden states, as PPM does
    (Cleary and Witten 1984, "Data Compression Using Adaptive Coding and Partial String Matching", section II).

    Args:
        vocabulary_size: Number of token ids, V.
        longest: Length of a match, in tokens, beyond which the weight no longer depends on the length.
        window: Number of last positions that are considered, including the current one.

    Call arguments:
        tokens: int `[B,T]`.

    Output shape: `[B,T,V]` float32, the probabilities of the token that follows each token; they sum to less than 1.

    Example:

    >>> layer = SuffixCopy(vocabulary_size=9, longest=8, window=64)
    >>> int(tf.argmax(layer(tf.constant([[5, 6, 7, 8, 3, 5, 6, 7]]))[0, -1]))
    8
    """

    def __init__(self, vocabulary_size, longest, window, **kwargs):
        super().__init__(**kwargs)
        check_positive(vocabulary_size=vocabulary_size, longest=longest, window=window)
        self.vocabulary_size = vocabulary_size
        self.longest = longest
        self.window = window

    def build(self, tokens_shape=None):
        """Creates the weights of the votes."""

        def doubling(shape, dtype=None):
            return tf.range(1, shape[0] + 1, dtype=tf.float32) * 0.7 - 2.0

        self.log_weights = self.add_weight(
            shape=(self.longest,), initializer=doubling, autocast=False, name="log_weights"
        )

    def call(self, tokens):
        """Returns the probabilities `[B,T,V]` of the token that follows each of `tokens [B,T]`."""
        return self.evidence(tokens)[0]

    def evidence(self, tokens):
        """Returns the probabilities `[B,T,V]` and the length of the longest match at each position, int32 `[B,T]`."""
        tokens = tf.cast(tokens, tf.int32)
        return self._vote(self._matches(tokens), tf.range(tf.shape(tokens)[1]), tokens)

    def start(self, tokens, lengths, capacity):
        """Returns the state after the prompts, to `advance` from.

        Args:
            tokens: int `[B,P]`, padded at the end.
            lengths: int32 `[B]`, each at least 1.
            capacity: Number of positions to reserve: P plus one for each `advance`.

        Returns:
            A tuple of tensors whose first axis is the batch.
        """
        tokens = tf.cast(tokens, tf.int32)
        matches = tf.gather(self._matches(tokens), lengths - 1, axis=1, batch_dims=1)
        room = [[0, 0], [0, capacity - tf.shape(tokens)[1]]]
        return tf.pad(tokens, room), tf.pad(matches, room), lengths - 1

    def advance(self, tokens, state):
        """Reads one more token per row.

        Args:
            tokens: The tokens, int32 `[B]`.
            state: The state from `start` or from the last `advance`.

        Returns:
            A pair. The first element is the results of `evidence` for the new tokens: the probabilities of the tokens
            that follow them, float32 `[B,1,V]`, and the length of the longest match, int32 `[B,1]`. The second element
            is the new state.
        """
        text, matches, last = state
        places = tf.range(tf.shape(text)[1])
        equal = (text == tokens[:, None]) & (places <= last[:, None])
        matches = tf.pad(matches[:, :-1], [[0, 0], [1, 0]])
        matches = tf.where(equal, tf.minimum(matches + 1, self.longest), 0)
        last += 1
        text = tf.where(places == last[:, None], tokens[:, None], text)
        return self._vote(matches[:, None], last[:, None], text), (text, matches, last)

    def _matches(self, tokens):
        """Returns the length of the match between each position of `tokens [B,T]` and each earlier one, int32
        `[B,T,T]`.

        The length is the number of tokens, at most `longest`, in which the texts that end at the two positions agree.
        """
        places = tf.range(tf.shape(tokens)[1])
        equal = (tokens[:, :, None] == tokens[:, None, :]) & (places[:, None] > places)
        run, lengths = equal, tf.cast(equal, tf.int32)
        for _ in range(1, self.longest):
            run = tf.pad(run[:, :-1, :-1], [[0, 0], [1, 0], [1, 0]]) & equal
            lengths += tf.cast(run, tf.int32)
        return lengths

    def _vote(self, matches, places, tokens):
        """Returns the results of `evidence` for some positions.

        Args:
            matches: Lengths of the matches of these positions with all positions, int32 `[B,T,S]`, as in `_matches`.
            places: The positions, int32 `[T]` or `[B,T]`.
            tokens: int32 `[B,S]`.
        """
        matches = tf.where(places[..., None] - tf.range(tf.shape(tokens)[1]) < self.window, matches, 0)
        weights = tf.concat([[0.0], tf.exp(tf.cast(self.log_weights.value, tf.float32))], axis=0)
        votes = tf.gather(weights, matches)
        next_tokens = tf.one_hot(tf.roll(tokens, -1, axis=1), self.vocabulary_size)
        total = 1.0 + tf.reduce_sum(votes, axis=-1, keepdims=True)
        return votes @ next_tokens / total, tf.reduce_max(matches, axis=-1)

    def compute_output_shape(self, tokens_shape):
        """Returns `[B,T,V]`."""
        return (*tokens_shape, self.vocabulary_size)

    def compute_output_spec(self, tokens):
        """Returns the shape of the output, and float32 as its dtype under every policy."""
        return keras.KerasTensor(self.compute_output_shape(tokens.shape), dtype="float32")

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "longest": self.longest,
            "window": self.window,
        }
