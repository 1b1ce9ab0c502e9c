"""`SuffixCopy`: the next token by what followed the same tokens earlier in the same text."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="ikelos")
class SuffixCopy(keras.layers.Layer):
    """Probabilities of the next token by what followed where the latest tokens occurred before.

    Every earlier place votes for the token that followed it, by a learned strength for the number of tokens, up to
    some longest one, that it has in common with the end of the text. Places with none don't vote, and a constant vote
    is for nothing: in a text without repetitions all probability is left over. As a cache of the recent text (Grave
    et al. 2017, "Improving Neural Language Models with a Continuous Cache"), but by the tokens themselves, as in the
    longest matches of PPM* (Cleary et al. 1995): a small network need not learn to find names and phrases again.

    Args:
        vocabulary_size: Number of token ids, V.
        longest: Tokens up to which longer matches are stronger.
        window: How many tokens back places are looked at, that of the prediction included.

    Call arguments:
        tokens: int `[B,T]`.

    Output shape: probabilities float32 `[B,T,V]` of what follows each token; they sum to less than 1.

    Example:

    >>> layer = SuffixCopy(vocabulary_size=9, longest=8, window=64)
    >>> int(tf.argmax(layer(tf.constant([[5, 6, 7, 8, 3, 5, 6, 7]]))[0, -1]))
    8
    """

    def __init__(self, vocabulary_size, longest, window, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("vocabulary_size", vocabulary_size), ("longest", longest), ("window", window)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}")
        self.vocabulary_size = vocabulary_size
        self.longest = longest
        self.window = window

    def build(self, tokens_shape=None):
        """Creates the strengths."""

        def twice_as_strong_with_each_token(shape, dtype=None):
            return tf.range(1, shape[0] + 1, dtype=tf.float32) * 0.7 - 2.0

        self.log_strengths = self.add_weight(
            shape=(self.longest,), initializer=twice_as_strong_with_each_token, autocast=False, name="log_strengths"
        )

    def call(self, tokens):
        """Probabilities `[B,T,V]` of what follows each of `tokens [B,T]`."""
        return self.evidence(tokens)[0]

    def evidence(self, tokens):
        """The probabilities `[B,T,V]`, and the length of each place's longest match, int32 `[B,T]`."""
        tokens = tf.cast(tokens, tf.int32)
        return self._vote(self._matches(tokens), tf.range(tf.shape(tokens)[1]), tokens)

    def start(self, tokens, lengths, capacity):
        """The state behind prompts, to `advance` from.

        Args:
            tokens: int `[B,P]`, padded at the end.
            lengths: int32 `[B]`, each at least 1.
            capacity: Number of places to keep room for: P and one for each `advance`.
        """
        tokens = tf.cast(tokens, tf.int32)
        matches = tf.gather(self._matches(tokens), lengths - 1, axis=1, batch_dims=1)
        room = [[0, 0], [0, capacity - tf.shape(tokens)[1]]]
        return tf.pad(tokens, room), tf.pad(matches, room), lengths - 1

    def advance(self, tokens, state):
        """Reads one more token a row, int32 `[B]`.

        Returns:
            What `evidence` gives, of that place alone, `[B,1,V]` and `[B,1]`; and the new state.
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
        """How many tokens up to each place of `tokens [B,T]` are those up to each earlier one: int32 `[B,T,T]`."""
        places = tf.range(tf.shape(tokens)[1])
        equal = (tokens[:, :, None] == tokens[:, None, :]) & (places[:, None] > places)
        run, lengths = equal, tf.cast(equal, tf.int32)
        for _ in range(1, self.longest):
            run = tf.pad(run[:, :-1, :-1], [[0, 0], [1, 0], [1, 0]]) & equal
            lengths += tf.cast(run, tf.int32)
        return lengths

    def _vote(self, matches, places, tokens):
        """The evidence of places, int32 `[...,T]`, by how well the places of `tokens [B,S]` match: int32 `[B,T,S]`."""
        matches = tf.where(places[..., None] - tf.range(tf.shape(tokens)[1]) < self.window, matches, 0)
        strengths = tf.concat([[0.0], tf.exp(tf.cast(self.log_strengths.value, tf.float32))], axis=0)
        votes = tf.gather(strengths, matches)
        next_tokens = tf.one_hot(tf.roll(tokens, -1, axis=1), self.vocabulary_size)
        total = 1.0 + tf.reduce_sum(votes, axis=-1, keepdims=True)
        return votes @ next_tokens / total, tf.reduce_max(matches, axis=-1)

    def compute_output_shape(self, tokens_shape):
        """`[B,T,V]`."""
        return (*tokens_shape, self.vocabulary_size)

    def compute_output_spec(self, tokens):
        """Float32 under every policy."""
        return keras.KerasTensor(self.compute_output_shape(tokens.shape), dtype="float32")

    def get_config(self):
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "longest": self.longest,
            "window": self.window,
        }
