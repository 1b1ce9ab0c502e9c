"""The networks that are compared, and their decoding step by step."""

from typing import Any

import keras
import tensorflow as tf

from ikelos.layers import DecoderBlock, FusedGRU, FusedLSTM, FusedRMSNormalization
from ikelos.layers.decoding.rows import while_loop
from ikelos.pipelines.tasks.sequence_dynamics.config import Model

_RECURRENT = {"rnn": keras.layers.SimpleRNN, "lstm": FusedLSTM, "gru": FusedGRU}


def build(
    kind: str, settings: Model, outputs: int, name: str, vocabulary_size: int | None = None, gain: float = 1.0
) -> keras.Sequential:
    """Returns an untrained network, built: an embedding, a recurrent layer or Transformer blocks, and a linear layer.

    Args:
        kind: A `config.Kind`.
        settings: Sizes of the network.
        outputs: Number of outputs at each position.
        name: Name of the model.
        vocabulary_size: Number of token ids of inputs int32 `[B,T]`; None for inputs float32 `[B,T,2]`.
        gain: Factor of the orthogonal recurrent weights of a plain RNN.
    """
    if vocabulary_size is None:
        first = [keras.Input((None, 2), name="numbers"), keras.layers.Dense(settings.units, name="embedding")]
    else:
        inputs = keras.Input((None,), dtype="int32", name="tokens")
        first = [inputs, keras.layers.Embedding(vocabulary_size, settings.units, name="embedding")]
    head = keras.layers.Dense(outputs, name="logits")
    return keras.Sequential([*first, *_core(kind, settings, gain), head], name=name)


def _core(kind: str, settings: Model, gain: float) -> list[keras.layers.Layer]:
    if kind in _RECURRENT:
        initial = keras.initializers.Orthogonal(gain)
        return [_RECURRENT[kind](settings.units, return_sequences=True, recurrent_initializer=initial, name=kind)]
    position = "rotary" if kind == "transformer" else None
    blocks = [
        DecoderBlock(settings.num_heads, settings.hidden_size, position=position, name=f"block_{index}")
        for index in range(settings.num_layers)
    ]
    return [*blocks, FusedRMSNormalization(name="norm")]


class Stepwise:
    """The methods `start` and `advance` of a network that reads tokens, for texts of equal lengths.

    A recurrent layer is run by its cell, a Transformer block with a cache.
    """

    def __init__(self, model: keras.Sequential):
        self._embedding, *self._core, self._head = model.layers

    def start(self, tokens: tf.Tensor, lengths: tf.Tensor, capacity: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Reads texts, as `ikelos.layers.TransformerLanguageModel.start` does; all must be as long as `tokens`."""
        hidden, states = self._embedding(tokens), []
        for layer in self._core:
            state: Any = ()
            if isinstance(layer, DecoderBlock):
                cache = layer.empty_cache(tf.shape(tokens)[0], capacity)
                hidden, state = layer(hidden, cache=cache, lengths=lengths)
            elif isinstance(layer, keras.layers.RNN):
                hidden, state = layer(hidden), _last_state(layer, hidden)
            else:
                hidden = layer(hidden)
            states.append(state)
        return self._head(hidden[:, -1]), states

    def advance(self, tokens: tf.Tensor, states: list) -> tuple[tf.Tensor, Any]:
        """Reads one more token per row, as `ikelos.layers.TransformerLanguageModel.advance` does."""
        hidden, after = self._embedding(tokens[:, None]), []
        for layer, state in zip(self._core, states, strict=True):
            if isinstance(layer, DecoderBlock):
                hidden, state = layer(hidden, cache=state)
            elif isinstance(layer, keras.layers.RNN):
                output, state = layer.cell(hidden[:, 0], state)
                hidden, state = output[:, None], list(state)
            else:
                hidden = layer(hidden)
            after.append(state)
        return self._head(hidden[:, 0]), after


def _last_state(layer: keras.layers.RNN, inputs: tf.Tensor) -> list[tf.Tensor]:
    """Returns the states of a recurrent layer after all inputs `[B,T,D]`."""

    def read(step, states):
        return step + 1, list(layer.cell(inputs[:, step], states)[1])

    states = [tf.zeros([tf.shape(inputs)[0], layer.units]) for _ in tf.nest.flatten(layer.cell.state_size)]
    return while_loop(lambda step, _: step < tf.shape(inputs)[1], read, (0, states))[1]
