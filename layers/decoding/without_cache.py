"""`WithoutCache`: decoding with a model that reads the whole text again for each token."""

import tensorflow as tf


class WithoutCache:
    """Causal language model without a cache, with the methods `start` and `advance` for `generate` and `beam_search`.

    The state is the text itself, which the model reads again for each token. So a token costs as much as the whole text
    before it: use this for models that have no cache, and to measure or test those that have one.

    Args:
        model: Function from tokens int32 `[B,T]` to logits `[B,T,V]`, in which a position depends on no later one.

    Example:

    >>> from ikelos.layers import LSTMLanguageModel
    >>> from ikelos.layers.decoding import generate, greedy
    >>> model = LSTMLanguageModel(50, context=16, num_layers=1, size=8)
    >>> prompts, prompt_lengths, lengths = tf.constant([[1, 7], [1, 0]]), tf.constant([2, 1]), tf.constant([5, 4])
    >>> cached = generate(model, prompts, prompt_lengths, lengths, greedy, end_id=2)
    >>> uncached = generate(WithoutCache(model), prompts, prompt_lengths, lengths, greedy, end_id=2)
    >>> bool(tf.reduce_all(cached == uncached))
    True
    """

    def __init__(self, model):
        self._model = model

    def start(self, tokens, lengths, capacity):
        """Reads prompts.

        Args:
            tokens: int `[B,P]`, padded at the end.
            lengths: int32 `[B]`, each at least 1.
            capacity: Number of positions to reserve: P plus one for each `advance`.

        Returns:
            Logits `[B,V]` of the token that follows each prompt, and the state to `advance` from.
        """
        text = tf.pad(tf.cast(tokens, tf.int32), [[0, 0], [0, capacity - tf.shape(tokens)[1]]])
        return self._read(text, lengths), (text, lengths)

    def advance(self, tokens, state):
        """Reads one more token per row.

        Args:
            tokens: The tokens, int `[B]`.
            state: The state from `start` or from the last `advance`.

        Returns:
            Logits `[B,V]` of the token that follows each row, and the new state.
        """
        text, lengths = state
        text = tf.where(tf.range(tf.shape(text)[1]) == lengths[:, None], tf.cast(tokens, tf.int32)[:, None], text)
        return self._read(text, lengths + 1), (text, lengths + 1)

    def _read(self, text, lengths):
        logits = self._model(text[:, : tf.reduce_max(lengths)])
        return tf.gather(logits, lengths - 1, axis=1, batch_dims=1)
