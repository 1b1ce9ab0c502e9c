"""Models as others publish them, of padded texts with `mask_zero=True`: `convert` leaves their predictions alone.

Some pass the mask on, some lose it on the way, and what follows then reads the rows of padding too.
"""

import keras
import numpy as np
import pytest

from ikelos.layers import convert
from ikelos.layers.convert import TWINS

WORDS, T, WIDTH, BATCH = 40, 9, 8, 12


class WordsAndPositions(keras.layers.Layer):
    """The sum of both embeddings, which loses the mask unless told to pass it on."""

    def __init__(self, passes_mask):
        super().__init__()
        self.words = keras.layers.Embedding(WORDS, WIDTH, mask_zero=True, embeddings_initializer="normal")
        self.positions = keras.layers.Embedding(T, WIDTH)
        self.passes_mask = self.supports_masking = passes_mask

    def call(self, tokens):
        return self.words(tokens) + self.positions(keras.ops.arange(T))

    def compute_mask(self, tokens, previous_mask=None):
        return self.words.compute_mask(tokens) if self.passes_mask else None


class EncoderBlock(keras.layers.Layer):
    """After the example "Text classification with Transformer": it knows nothing of masks."""

    def __init__(self):
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(2, WIDTH)
        self.feed_forward = keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(WIDTH)])
        self.norms = [keras.layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]

    def call(self, x):
        x = self.norms[0](x + self.attention(x, x))
        return self.norms[1](x + self.feed_forward(x))


class MaskedEncoder(keras.layers.Layer):
    """After "English-to-Spanish translation": it makes an `attention_mask` of the mask that it is given."""

    def __init__(self):
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(2, WIDTH)
        self.norm = keras.layers.LayerNormalization()
        self.supports_masking = True

    def call(self, inputs, mask=None):
        padding = None if mask is None else keras.ops.cast(mask[:, None, :], "int32")
        return self.norm(inputs + self.attention(query=inputs, value=inputs, key=inputs, attention_mask=padding))


class MaskedDecoder(keras.layers.Layer):
    """Of the same example: causal attention, then attention to the encoder's outputs with both masks."""

    def __init__(self):
        super().__init__()
        self.attentions = [keras.layers.MultiHeadAttention(2, WIDTH) for _ in range(2)]
        self.norms = [keras.layers.LayerNormalization() for _ in range(2)]
        self.supports_masking = True

    def call(self, inputs, mask=None):
        inputs, memory = inputs
        of_inputs, of_memory = (None, None) if mask is None else mask
        x = self.attentions[0](inputs, inputs, use_causal_mask=True, query_mask=of_inputs)
        x = self.norms[0](inputs + x)
        return self.norms[1](x + self.attentions[1](x, memory, query_mask=of_inputs, key_mask=of_memory))


def classified(tokens, hidden, pool=keras.layers.GlobalAveragePooling1D):
    return keras.Model(tokens, keras.layers.Dense(2, activation="softmax")(pool()(hidden)))


def tokens_input():
    return keras.Input((T,), dtype="int32")


def bidirectional_lstms():
    tokens = tokens_input()
    x = keras.layers.Embedding(WORDS, WIDTH, mask_zero=True)(tokens)
    x = keras.layers.Bidirectional(keras.layers.LSTM(5, return_sequences=True))(x)
    return keras.Model(tokens, keras.layers.Dense(2)(keras.layers.Bidirectional(keras.layers.GRU(5))(x)))


def text_transformer(passes_mask):
    tokens = tokens_input()
    return classified(tokens, EncoderBlock()(WordsAndPositions(passes_mask)(tokens)))


def bert_like():
    """Returns a functional model with attention; the operation after it loses the mask, and all rows are read."""
    tokens = tokens_input()
    x = WordsAndPositions(passes_mask=True)(tokens)
    for layer in (
        keras.layers.MultiHeadAttention(2, WIDTH // 2),
        keras.layers.GroupQueryAttention(WIDTH // 4, 4, 2, use_gate=True),
        keras.layers.MultiHeadAttention(2, WIDTH // 2, dropout=0.1),
    ):
        x = keras.layers.LayerNormalization(epsilon=1e-6)(x + layer(x, x))
        x = x + keras.layers.Dense(WIDTH)(keras.ops.gelu(keras.layers.Dense(16)(x)))
    return classified(tokens, x, keras.layers.Flatten)


def encoder_decoder():
    source = tokens_input()
    encoded = MaskedEncoder()(WordsAndPositions(passes_mask=True)(source))
    decoded = MaskedDecoder()([WordsAndPositions(passes_mask=True)(source), encoded])
    return keras.Model(source, keras.layers.Dense(2)(keras.layers.Lambda(lambda x: keras.ops.mean(x, axis=1))(decoded)))


MODELS = {
    "bidirectional LSTM and GRU": bidirectional_lstms,
    "Transformer that passes the mask": lambda: text_transformer(True),
    "Transformer that loses the mask": lambda: text_transformer(False),
    "like BERT": bert_like,
    "encoder and decoder": encoder_decoder,
}


def padded_texts():
    draw = np.random.default_rng(0)
    tokens, lengths = draw.integers(1, WORDS, (BATCH, T)), draw.integers(1, T + 1, (BATCH, 1))
    tokens[np.arange(T) >= lengths] = 0
    tokens[1] = tokens[1, ::-1]  # padded before
    tokens[2] = 0  # of padding alone
    return tokens, draw.integers(0, 2, BATCH)


@pytest.mark.parametrize("name", MODELS)
def test_predictions_of_a_trained_model_stay(name):
    keras.utils.set_random_seed(0)
    model, (tokens, labels) = MODELS[name](), padded_texts()
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(True), run_eagerly=True)
    model.fit(tokens, labels, batch_size=6, verbose=0)
    before, loss = model(tokens), model.evaluate(tokens, labels, verbose=0)
    assert np.ptp(before, axis=0).min() > 1e-3
    convert(model)
    assert not [layer for layer in model._flatten_layers() if type(layer) in TWINS["fused"]]
    np.testing.assert_allclose(model(tokens), before, rtol=0, atol=1e-5)
    assert model.evaluate(tokens, labels, verbose=0) == pytest.approx(loss, abs=1e-5)
