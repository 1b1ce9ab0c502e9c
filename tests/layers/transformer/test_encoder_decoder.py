"""An encoder-decoder of the blocks: trained, decoded step by step, saved and exported."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers import (
    DecoderBlock,
    EncoderBlock,
    FusedRMSNormalization,
    RelativePositionBias,
    SinusoidalPositionEmbedding,
)
from ikelos.layers.decoding import generate

# Token ids: 0 for padding, 1 begins a text, 2 ends it, the others are its letters.
VOCABULARY, BEGIN, END, SIZE, LONGEST = 9, 1, 2, 32, 6


def copies(count, seed):
    """Returns texts `[B,LONGEST]` of unequal length, the texts shifted behind `BEGIN`, and those followed by `END`."""
    draw = np.random.default_rng(seed)
    texts = draw.integers(3, VOCABULARY, [count, LONGEST])
    lengths = draw.integers(2, LONGEST, count)
    texts[np.arange(LONGEST) >= lengths[:, None]] = 0
    targets = texts.copy()
    targets[np.arange(count), lengths] = END
    shifted = np.concatenate([np.full([count, 1], BEGIN), texts[:, :-1]], axis=1)
    return texts.astype("int32"), shifted.astype("int32"), targets.astype("int32")


def encoder_decoder():
    source = keras.Input([None], dtype="int32", name="source")
    shifted = keras.Input([None], dtype="int32", name="shifted")
    embedding = keras.layers.Embedding(VOCABULARY, SIZE, mask_zero=True, name="embedding")
    waves = SinusoidalPositionEmbedding(name="waves")
    encoded = waves(embedding(source))
    encoded = EncoderBlock(2, 48, position=RelativePositionBias(2, 8, 8))(encoded)
    memory = FusedRMSNormalization(name="memory")(encoded)
    hidden = DecoderBlock(2, 48, name="decoder")(waves(embedding(shifted)), memory)
    logits = keras.layers.Dense(VOCABULARY, name="logits")(FusedRMSNormalization(name="norm")(hidden))
    return keras.Model({"source": source, "shifted": shifted}, logits)


class Writer:
    """Model for `generate`, with fixed sources."""

    def __init__(self, model, sources):
        layer = model.get_layer
        self.embedding, self.waves, self.norm, self.logits = map(layer, ("embedding", "waves", "norm", "logits"))
        self.block = layer("decoder")
        self.memory = keras.Model(model.input["source"], layer("memory").output)(sources)

    def start(self, tokens, lengths, capacity):
        cache = self.block.empty_cache(tf.shape(tokens)[0], capacity, self.memory)
        hidden, state = self.extend(tokens, (cache, tf.zeros_like(lengths)), lengths)
        return self.logits(self.norm(tf.gather(hidden, lengths - 1, axis=1, batch_dims=1))), state

    def advance(self, tokens, state):
        hidden, state = self.extend(tokens[:, None], state, tf.ones_like(tokens))
        return self.logits(self.norm(hidden[:, 0])), state

    def extend(self, tokens, state, lengths):
        cache, position = state
        hidden = self.waves(self.embedding(tokens), positions=position[:, None] + tf.range(tf.shape(tokens)[1]))
        hidden, cache = self.block(hidden, cache=cache, lengths=lengths)
        return hidden, (cache, position + lengths)


def writer(model):
    """Returns greedy decoding as one graph, from sources `[B,S]` to texts `[B,LONGEST]`."""

    def write(sources):
        rows = tf.ones_like(sources[:, 0])
        return generate(
            Writer(model, sources),
            BEGIN * rows[:, None],
            rows,
            LONGEST * rows,
            lambda logits, *_: tf.argmax(logits, axis=1, output_type=tf.int32),
            END,
        )

    # With an `input_signature` it would be traced again when it is saved.
    return tf.function(write, autograph=False).get_concrete_function(tf.TensorSpec([None, None], tf.int32))


def by_hand(model, sources):
    """Decodes greedily, and reads all of the text again for each token."""
    texts = np.full([len(sources), 1], BEGIN, "int32")
    for _ in range(LONGEST):
        logits = model({"source": sources, "shifted": texts})[:, -1]
        texts = np.concatenate([texts, np.argmax(logits, axis=1).astype("int32")[:, None]], axis=1)
    texts = texts[:, 1:]
    texts[np.cumsum(texts == END, axis=1) > 0] = 0
    return texts


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(1)
    model = encoder_decoder()
    source, shifted, target = copies(2048, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(4e-3), loss, jit_compile=False)
    inputs = {"source": source, "shifted": shifted}
    return model, model.fit(inputs, target, batch_size=64, epochs=5, verbose=0).history["loss"]


@pytest.fixture(scope="module")
def inputs():
    source, shifted, _ = copies(50, seed=1)
    return {"source": source, "shifted": shifted}


@pytest.fixture(scope="module")
def writers(trained):
    """Returns the trained model's writers, traced once, by implementation."""
    made = {}
    for implementation in ("native", "reference"):
        with kernels.use(implementation):
            made[implementation] = writer(trained[0])
    return made


@pytest.fixture(scope="module")
def written(writers, inputs):
    return writers["native"](inputs["source"]).numpy()


def test_learns_to_copy(trained, inputs, written):
    _, losses = trained
    assert losses[-1] < 0.1 * losses[0]
    assert np.mean(written == inputs["source"]) > 0.99


@pytest.mark.parametrize("implementation", ["native", "reference"])
def test_step_by_step_is_all_at_once(trained, writers, inputs, implementation):
    model, _ = trained
    # With padding before them, which it has not learned.
    sources = np.concatenate([np.zeros([50, 2], "int32"), inputs["source"][:, :4]], axis=1)
    with kernels.use(implementation):
        expected = by_hand(model, sources)
    np.testing.assert_array_equal(writers[implementation](sources), expected)


def test_a_saved_model_is_the_model(trained, inputs, written, tmp_path):
    model, _ = trained
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(inputs), model(inputs))
    np.testing.assert_array_equal(writer(again)(inputs["source"]), written)


def test_an_exported_model_is_the_model(trained, writers, inputs, written, tmp_path):
    module = tf.Module()
    module.model_variables, module.write = [x.value for x in trained[0].variables], writers["reference"]
    # Gradients of exported models would take longer than all else here.
    tf.saved_model.save(module, tmp_path, options=tf.saved_model.SaveOptions(experimental_custom_gradients=False))
    exported = tf.saved_model.load(tmp_path)
    np.testing.assert_array_equal(exported.write(inputs["source"]), written)
