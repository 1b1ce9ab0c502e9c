"""The models of `convert.py` in plain Keras, after the examples that keras.io describes.

Each function takes a case and returns a compiled model, whose weights Keras's global seed determines, and a batch:
inputs and integer labels.
"""

import keras
import numpy as np


def bidirectional_lstm(case):
    """Returns a classifier of the sentiment of film reviews: two bidirectional LSTMs over embeddings of words."""
    words, time, units = case["words"], case["time"], case["units"]
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(words, 2 * units),
            keras.layers.Bidirectional(keras.layers.LSTM(units, return_sequences=True)),
            keras.layers.Bidirectional(keras.layers.LSTM(units)),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    return _compiled(model), *_tokens(case["batch"], time, words)


def text_transformer(case):
    """Returns a classifier of film reviews: a Transformer block over embeddings of words and positions."""
    words, time, width = case["words"], case["time"], case["width"]
    inputs = keras.Input((time,), dtype="int32")
    x = WordsAndPositions(words, time, width)(inputs)
    x = Block(width, case["heads"])(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    x = keras.layers.Dropout(0.1)(x)
    x = keras.layers.Dense(20, activation="relu")(x)
    x = keras.layers.Dropout(0.1)(x)
    outputs = keras.layers.Dense(2, activation="softmax")(x)
    return _compiled(keras.Model(inputs, outputs)), *_tokens(case["batch"], time, words)


def series_transformer(case):
    """Returns a classifier of engine noise, one number a step: attention and pointwise convolutions."""
    time, rate = case["time"], 0.25
    inputs = keras.Input((time, 1))
    x = inputs
    for _ in range(case["blocks"]):
        attention = keras.layers.MultiHeadAttention(case["heads"], case["head_size"], dropout=rate)
        attended = keras.layers.Dropout(rate)(attention(x, x))
        x = keras.layers.LayerNormalization(epsilon=1e-6)(attended) + x
        hidden = keras.layers.Conv1D(4, kernel_size=1, activation="relu")(x)
        hidden = keras.layers.Conv1D(1, kernel_size=1)(keras.layers.Dropout(rate)(hidden))
        x = keras.layers.LayerNormalization(epsilon=1e-6)(hidden) + x
    x = keras.layers.GlobalAveragePooling1D(data_format="channels_first")(x)
    x = keras.layers.Dropout(0.4)(keras.layers.Dense(128, activation="relu")(x))
    outputs = keras.layers.Dense(2, activation="softmax")(x)
    draw = np.random.default_rng(1)
    series = draw.normal(size=(case["batch"], time, 1)).astype("float32")
    return _compiled(keras.Model(inputs, outputs)), series, draw.integers(0, 2, case["batch"])


class WordsAndPositions(keras.layers.Layer):
    """Embedding of words and their positions."""

    def __init__(self, words, time, width):
        super().__init__()
        self.words = keras.layers.Embedding(words, width)
        self.positions = keras.layers.Embedding(time, width)

    def call(self, x):
        """Returns the sum of both embeddings."""
        return self.words(x) + self.positions(keras.ops.arange(x.shape[1]))


class Block(keras.layers.Layer):
    """A Transformer's encoder block."""

    def __init__(self, width, heads):
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(heads, width)
        self.feed_forward = keras.Sequential([keras.layers.Dense(width, activation="relu"), keras.layers.Dense(width)])
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.dropouts = [keras.layers.Dropout(0.1) for _ in range(2)]

    def call(self, x):
        """Applies attention, then the feed-forward layer, each followed by its residual and normalisation."""
        x = self.norms[0](x + self.dropouts[0](self.attention(x, x)))
        return self.norms[1](x + self.dropouts[1](self.feed_forward(x)))


def _compiled(model):
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def _tokens(batch, time, words):
    draw = np.random.default_rng(1)
    return draw.integers(0, words, (batch, time), "int32"), draw.integers(0, 2, batch)
