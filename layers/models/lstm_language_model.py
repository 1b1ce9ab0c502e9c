"""`LSTMLanguageModel`: a language model of stacked LSTMs."""

import keras
import tensorflow as tf

from ikelos.layers.projection import Projection
from ikelos.layers.recurrent.fused_lstm import FusedLSTM


@keras.saving.register_keras_serializable(package="ikelos")
class LSTMLanguageModel(keras.Model):
    """Language model of stacked LSTMs with dropout between them (Zaremba et al. 2014, section 3).

    Args:
        vocabulary_size: Number of token ids, V.
        context: Number of tokens in a training window. The recurrent state has no limit.
        num_layers: Number of LSTMs.
        size: Units of each LSTM, U, and size of the token embeddings.
        dropout: Share of each LSTM's inputs and of the last one's outputs that is dropped in training.

    Call arguments:
        tokens: int `[B,T]`.

    Output shape: logits `[B,T,V]`, float32 under every dtype policy.

    Example:

    >>> model = LSTMLanguageModel(100, context=16, num_layers=2, size=8)
    >>> model(keras.ops.zeros((2, 5), "int32")).shape
    TensorShape([2, 5, 100])
    """

    def __init__(self, vocabulary_size, context, num_layers, size, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.context = context
        self.num_layers = num_layers
        self.size = size
        self.embedding = keras.layers.Embedding(vocabulary_size, size, name="embedding", dtype=self.dtype_policy)
        self.lstms = [
            FusedLSTM(size, return_sequences=True, return_state=True, name=f"lstm_{i}", dtype=self.dtype_policy)
            for i in range(num_layers)
        ]
        self.dropout = keras.layers.Dropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.head = Projection(vocabulary_size, name="logits", dtype="float32")

    def build(self, input_shape):
        """Creates the weights."""
        self.embedding.build(input_shape)
        parts: tuple[keras.layers.Layer, ...] = (*self.lstms, self.head)
        for part in parts:
            part.build((*input_shape, self.size))

    def call(self, tokens, training=None):
        """Returns the logits `[B,T,V]` of each next token."""
        hidden, _ = self._extend(tokens, [None] * self.num_layers, None, training)
        return self.head(hidden)

    def start(self, tokens, lengths, capacity=None):
        """Reads prompts.

        Args:
            tokens: int `[B,P]`, padded at the end.
            lengths: int32 `[B]`, each at least 1.
            capacity: Not used; `TransformerLanguageModel.start` has the same arguments.

        Returns:
            Logits `[B,V]` of the token that follows each prompt, and the state to `advance` from.
        """
        if not self.built:  # else the layers alone would be built, and a later call of the model would fail
            self.build((None, None))
        mask = tf.sequence_mask(lengths, tf.shape(tokens)[1])
        hidden, states = self._extend(tokens, [None] * self.num_layers, mask, training=False)
        # At masked steps an LSTM repeats its last output, so the last column holds the outputs at the prompts' ends.
        return self.head(hidden[:, -1]), states

    def advance(self, tokens, state):
        """Reads one more token per row.

        Args:
            tokens: The tokens, int `[B]`.
            state: The state from `start` or from the last `advance`.

        Returns:
            Logits `[B,V]` of the token that follows each row, and the new state.
        """
        hidden, states = self._extend(tokens[:, None], state, None, training=False)
        return self.head(hidden[:, 0]), states

    def state_tensors(self, state):
        """Returns a state as tensors by name, which a caller can keep between calls of a served model.

        Args:
            state: The state from `start` or `advance`.

        Returns:
            `outputs` and `cells` of all L LSTMs, `[B,L,U]`.
        """
        outputs, cells = (tf.stack(part, axis=1) for part in zip(*state, strict=True))
        return {"outputs": outputs, "cells": cells}

    def state_from_tensors(self, tensors):
        """Returns the state of the tensors of `state_tensors`."""
        parts = (tf.unstack(tensors[name], self.num_layers, axis=1) for name in ("outputs", "cells"))
        return [list(pair) for pair in zip(*parts, strict=True)]

    def _extend(self, tokens, states, mask, training):
        hidden = self.embedding(tokens)
        extended = []
        for lstm, state in zip(self.lstms, states, strict=True):
            hidden = self.dropout(hidden, training=training)
            hidden, *state = lstm(hidden, initial_state=state, mask=mask, training=training)
            extended.append(state)
        return self.dropout(hidden, training=training), extended

    def compute_output_shape(self, input_shape):
        """Returns `[B,T,V]`."""
        return (*input_shape, self.vocabulary_size)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "context": self.context,
            "num_layers": self.num_layers,
            "size": self.size,
            "dropout": self.dropout.rate,
        }
