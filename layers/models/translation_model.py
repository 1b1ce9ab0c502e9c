"""`TranslationModel`: the base class of models that write a target text for a source text."""

import keras
import tensorflow as tf


class TranslationModel(keras.Model):
    """Base class of encoder-decoder models with one embedding for source tokens, target tokens and outputs (Press &
    Wolf 2017).

    A subclass defines `encode`, `_decode`, `_attention_weights`, `_empty_state` and `_extend`.

    Args:
        vocabulary_size: Number of token ids, V.
        size: Features of a token, D.
        dropout: Share of the embedded tokens' features that is dropped in training.
        padding_id: Id that follows the end of shorter texts. It occurs nowhere else.
    """

    def __init__(self, vocabulary_size, size, dropout, padding_id, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.size = size
        self.padding_id = padding_id
        # With this deviation and the factor sqrt(D) of the inputs, tokens and logits both begin with a variance of 1.
        self.embedding = keras.layers.Embedding(
            vocabulary_size,
            size,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=size**-0.5),
            name="embedding",
            dtype=self.dtype_policy,
        )
        self.dropout = keras.layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)

    def call(self, inputs, training=None):
        """Returns the logits `[B,T,V]` of each next target token."""
        source = inputs["source"]
        memory = self.encode(source, training)
        return self._logits(self._decode(inputs["target"], memory, self._lengths(source), training))

    def encode(self, source, training=None):
        """Returns the memory `[B,S,D]` of source tokens int `[B,S]`, padded at the end."""
        raise NotImplementedError

    def attention_weights(self, inputs):
        """Returns the weights of the attention to the source, `[B,L,N,T,S]` for L attentions of the decoder.

        The weights of a target token are those with which the model predicts the next token.

        Args:
            inputs: As in a call.
        """
        source = inputs["source"]
        memory = self.encode(source, training=False)
        return tf.stack(self._attention_weights(inputs["target"], memory, self._lengths(source)), axis=1)

    def conditioned_on(self, source):
        """Returns the model as one of target texts alone, for `ikelos.layers.decoding`.

        Args:
            source: int `[B,S]`, padded at the end.

        Returns:
            An object with `start(tokens, lengths, capacity)` and `advance(tokens, state)` like
            `ikelos.layers.TransformerLanguageModel`, whose rows are those of `source`.
        """
        return _Conditioned(self, source)

    def _embed(self, tokens, training):
        return self.dropout(self.embedding(tokens) * self.size**0.5, training=training)

    def _logits(self, hidden):
        table = tf.cast(tf.convert_to_tensor(self.embedding.embeddings), tf.float32)
        return tf.einsum("btd,vd->btv", tf.cast(hidden, tf.float32), table)

    def _lengths(self, source):
        return tf.reduce_sum(tf.cast(source != self.padding_id, tf.int32), axis=1)

    def compute_output_shape(self, input_shape):
        """Returns `[B,T,V]`."""
        return (*input_shape["target"], self.vocabulary_size)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "size": self.size,
            "dropout": self.dropout.rate,
            "padding_id": self.padding_id,
        }


class _Conditioned:
    """A translation model for some sources, which its decoding functions need not know."""

    def __init__(self, model, source):
        self._model, self._source = model, source

    def start(self, tokens, lengths, capacity):
        """Encodes the sources and reads the beginnings of the targets, int `[B,P]`."""
        model = self._model
        memory = model.encode(self._source, training=False)
        state = model._empty_state(memory, model._lengths(self._source), capacity)
        hidden, state = model._extend(tokens, state, lengths)
        last = tf.gather(hidden, lengths - 1, axis=1, batch_dims=1)
        return model._logits(last[:, None])[:, 0], state

    def advance(self, tokens, state):
        """Reads one more token per row, int `[B]`."""
        hidden, state = self._model._extend(tokens[:, None], state)
        return self._model._logits(hidden)[:, 0], state
