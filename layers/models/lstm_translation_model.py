"""`LSTMTranslationModel`: an encoder-decoder of LSTMs with attention."""

import keras
import tensorflow as tf

from ikelos.layers.attention.cross_attention import CrossAttention
from ikelos.layers.models.translation_model import TranslationModel
from ikelos.layers.projection import Projection
from ikelos.layers.recurrent.bidirectional import bidirectional
from ikelos.layers.recurrent.fused_lstm import FusedLSTM


@keras.saving.register_keras_serializable(package="ikelos")
class LSTMTranslationModel(TranslationModel):
    """Encoder-decoder of LSTMs with global attention after the decoder's last LSTM (Luong et al. 2015, section 3.1,
    without input feeding, so that all target tokens are computed at once in training).

    The encoder's LSTMs read the source in both directions (Bahdanau et al. 2015, section 3.2). The decoder begins with
    a state of zeros. Source tokens, target tokens and outputs share one embedding.

    Args:
        vocabulary_size: Number of token ids, V.
        num_layers: Number of LSTMs of the encoder, in each direction, and of the decoder.
        size: Features of a token and units of each of the decoder's LSTMs, D; even. Half of it are the units of the
            encoder's LSTMs.
        num_heads: Number of heads of the attention.
        dropout: Share of each LSTM's inputs and of the last outputs that is dropped in training.
        padding_id: Id that follows the end of shorter texts. It occurs nowhere else.

    Call arguments:
        inputs: A dict of `source`, int `[B,S]`, and `target`, int `[B,T]`, both padded at the end.

    Output shape: logits `[B,T,V]` of each next target token, float32 under every dtype policy.

    Raises:
        ValueError: If `size` is odd.

    Example:

    >>> model = LSTMTranslationModel(100, num_layers=2, size=8, num_heads=2)
    >>> model({"source": keras.ops.ones((2, 7), "int32"), "target": keras.ops.ones((2, 5), "int32")}).shape
    TensorShape([2, 5, 100])
    """

    def __init__(self, vocabulary_size, num_layers, size, num_heads, dropout=0.0, padding_id=0, **kwargs):
        super().__init__(vocabulary_size, size, dropout, padding_id, **kwargs)
        if size % 2:
            raise ValueError(f"`size` must be even. Received: size={size}")
        self.num_layers = num_layers
        self.num_heads = num_heads

        def lstm(units, name):
            return FusedLSTM(units, return_sequences=True, return_state=True, name=name, dtype=self.dtype_policy)

        self.forward, self.backward = (
            [lstm(size // 2, f"{name}_{i}") for i in range(num_layers)] for name in ("forward", "backward")
        )
        self.decoder = [lstm(size, f"decoder_{i}") for i in range(num_layers)]
        self.attention = CrossAttention(num_heads, name="attention", dtype=self.dtype_policy)
        self.combine = Projection(size, "tanh", use_bias=False, name="combine", dtype=self.dtype_policy)

    def build(self, input_shape=None):
        """Creates the weights, which depend on no shape of the inputs."""
        shape = (None, None, self.size)
        self.embedding.build((None, None))
        for part in (*self.forward, *self.backward, *self.decoder):
            part.build(shape)
        self.attention.build(shape, shape)
        self.combine.build((None, None, 2 * self.size))

    def encode(self, source, training=None):
        """Returns the memory `[B,S,D]` of source tokens int `[B,S]`, padded at the end."""
        hidden, lengths = self._embed(source, training), self._lengths(source)
        for index, (forward, backward) in enumerate(zip(self.forward, self.backward, strict=True)):
            if index:
                hidden = self.dropout(hidden, training=training)
            hidden = bidirectional(forward, backward, hidden, lengths, training)
        return hidden

    def _decode(self, target, memory, lengths, training):
        """Returns the features `[B,T,D]` from which the logits of each next token are computed."""
        hidden, _ = self._unroll(target, [None] * self.num_layers, None, training)
        return self._attend(hidden, training, memory=memory, memory_lengths=lengths)

    def _attention_weights(self, target, memory, lengths):
        """Returns the weights `[B,N,T,S]` of the attention, in a list."""
        hidden, _ = self._unroll(target, [None] * self.num_layers, None, training=False)
        _, weights = self.attention(hidden, memory, memory_lengths=lengths, return_attention_scores=True)
        return [weights]

    def _empty_state(self, memory, lengths, capacity):
        zeros = tf.zeros([tf.shape(memory)[0], self.size], memory.dtype)
        return [[zeros, zeros] for _ in self.decoder], self.attention.memory_cache(memory, memory_lengths=lengths)

    def _extend(self, tokens, state, lengths=None):
        """Returns the features of some more tokens `[B,T]` of each row, and the new state."""
        states, memory = state
        mask = None if lengths is None else tf.sequence_mask(lengths, tf.shape(tokens)[1])
        hidden, states = self._unroll(tokens, states, mask, training=False)
        return self._attend(hidden, training=False, cache=memory), (states, memory)

    def _unroll(self, tokens, states, mask, training):
        hidden, extended = self._embed(tokens, training), []
        for index, (lstm, state) in enumerate(zip(self.decoder, states, strict=True)):
            if index:
                hidden = self.dropout(hidden, training=training)
            hidden, *state = lstm(hidden, initial_state=state, mask=mask, training=training)
            extended.append(state)
        return hidden, extended

    def _attend(self, hidden, training, **memory):
        context = self.attention(hidden, **memory)
        combined = self.combine(tf.concat([context, hidden], axis=-1))  # Luong et al. 2015, equation 5
        return self.dropout(combined, training=training)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_layers": self.num_layers, "num_heads": self.num_heads}
