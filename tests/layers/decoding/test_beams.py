"""Beams share what they read: they must write what they would with a state of their own."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels import KVCache
from ikelos.layers import (
    DecoderBlock,
    LSTMLanguageModel,
    LSTMTranslationModel,
    MemoryCache,
    RelativePositionBias,
    TransformerLanguageModel,
    TransformerTranslationModel,
)
from ikelos.layers.decoding import WithoutCache, beam_search, beams
from ikelos.layers.decoding.rows import reorder_beams, repeat_rows

VOCABULARY, END, CONTEXT = 12, 2, 5
# Two of the prompts are longer than the window.
PROMPTS = np.random.default_rng(0).integers(3, VOCABULARY, [3, 9]).astype("int32")
PROMPT_LENGTHS = np.array([9, 1, 7], "int32")
SOURCE = np.random.default_rng(1).integers(3, VOCABULARY, [3, 6]).astype("int32")
SOURCE[1, 2:] = 0


class Relative:
    """A language model of one block whose positions are a bias, which the caches of rings cannot have."""

    def __init__(self):
        self.embedding = tf.Variable(np.random.default_rng(2).normal(size=[VOCABULARY, 8]).astype("float32"))
        self.block = DecoderBlock(2, 12, window=CONTEXT, position=RelativePositionBias(2, 8, 16))
        self.block.build((None, None, 8))
        self.variables = [self.embedding, *self.block.trainable_variables]

    def __call__(self, tokens):
        return self._logits(self.block(tf.gather(self.embedding, tokens)))

    def _logits(self, hidden):
        return tf.einsum("btd,vd->btv", hidden, self.embedding)

    def start(self, tokens, lengths, capacity):
        cache = self.block.empty_cache(tf.shape(tokens)[0], capacity)
        hidden, cache = self.block(tf.gather(self.embedding, tokens), cache=cache, lengths=lengths)
        return tf.gather(self._logits(hidden), lengths - 1, axis=1, batch_dims=1), cache

    def advance(self, tokens, state):
        hidden, cache = self.block(tf.gather(self.embedding, tokens)[:, None], cache=state)
        return self._logits(hidden)[:, 0], cache


TRANSLATION = {"vocabulary_size": VOCABULARY, "num_layers": 2, "size": 8, "dropout": 0.0, "padding_id": 0}
MODELS = {
    "transformer": lambda: TransformerLanguageModel(VOCABULARY, CONTEXT, 2, 8, num_heads=2, hidden_size=12),
    "grouped heads": lambda: TransformerLanguageModel(
        VOCABULARY, CONTEXT, 1, 8, num_heads=4, hidden_size=12, num_key_value_heads=2
    ),
    "relative": Relative,
    "lstm": lambda: LSTMLanguageModel(VOCABULARY, CONTEXT, num_layers=1, size=8),
    "transformer translation": lambda: TransformerTranslationModel(**TRANSLATION, num_heads=2, hidden_size=12),
    "lstm translation": lambda: LSTMTranslationModel(**TRANSLATION, num_heads=2),
}


def models(name):
    """Returns a model with a state, and the function from whole texts, of any number of beams, to their logits."""
    model = MODELS[name]()
    if not isinstance(model, Relative):
        model.build([None, 6])
    rng = np.random.default_rng(3)
    for weight in getattr(model, "trainable_variables", None) or model.variables:
        weight.assign(rng.normal(size=weight.shape, scale=0.5) + ("scale" in weight.name))
    if "translation" not in name:
        return model, model

    def whole(tokens):
        source = tf.repeat(SOURCE, tf.shape(tokens)[0] // len(SOURCE), axis=0)
        return model({"source": source, "target": tokens})

    return model.conditioned_on(tf.constant(SOURCE)), whole


@pytest.fixture(params=["native", "reference"])
def implementation(request):
    with kernels.use(request.param):
        yield request.param


@pytest.mark.pairwise
@pytest.mark.parametrize("name", MODELS)
def test_beams_that_share_compute_what_beams_with_copies_do(name, implementation):
    model, _ = models(name)
    num_beams, steps, rng = 3, 14, np.random.default_rng(4)
    _, state = model.start(tf.constant(PROMPTS), tf.constant(PROMPT_LENGTHS), PROMPTS.shape[1] + steps)
    shared, copied = beams.split(state, num_beams), repeat_rows(state, num_beams)
    advance = tf.function(model.advance, autograph=False)
    for _ in range(steps):
        tokens = tf.constant(rng.integers(3, VOCABULARY, 9), tf.int32)
        (logits, shared), (expected, copied) = advance(tokens, shared), advance(tokens, copied)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-5)
        chosen = tf.constant(rng.integers(0, num_beams, [3, num_beams]), tf.int32)
        shared = beams.reorder(shared, chosen, num_beams)
        copied = reorder_beams(copied, chosen, num_beams)


def test_no_key_or_value_moves_and_a_memory_is_not_repeated():
    cache = KVCache(*(tf.random.stateless_normal([2, 3, 1, 4], [1, seed]) for seed in (1, 2)), tf.constant([3, 1]))
    memory = MemoryCache(tf.ones([2, 5, 1, 4]), tf.zeros([2, 5, 1, 4]), tf.constant([5, 2]))
    state = {"a": [(cache, memory)], "b": tf.constant([[1.0], [2.0]])}
    split = beams.split(state, 2)
    found, same = split["a"][0]
    assert same is memory
    np.testing.assert_array_equal(split["b"], [[1.0], [1.0], [2.0], [2.0]])
    np.testing.assert_array_equal(found.length, [3, 3, 1, 1])
    np.testing.assert_array_equal(found.rows, np.repeat([[0], [0], [2], [2]], 3, axis=1))
    for held, expected in zip(found.contents(), cache.contents(), strict=True):
        np.testing.assert_array_equal(held, np.repeat(expected, 2, axis=0))
    new = tf.reshape(tf.range(4.0), [4, 1, 1, 1]) * tf.ones([1, 1, 1, 4])
    found = found.updated(new, new)
    ordered = beams.reorder({**split, "a": [(found, memory)]}, tf.constant([[1, 1], [1, 0]]), 2)
    moved, same = ordered["a"][0]
    assert same is memory
    assert (moved.key is found.key, moved.value is found.value) == (True, True)
    for held, expected in zip(moved.contents(), found.contents(), strict=True):
        np.testing.assert_array_equal(held, tf.gather(expected, [1, 1, 3, 2]))
    np.testing.assert_array_equal(ordered["b"], [[1.0], [1.0], [2.0], [2.0]])


@pytest.mark.pairwise
@pytest.mark.parametrize("name", MODELS)
def test_a_search_finds_what_one_without_a_cache_does(name, implementation):
    model, whole = models(name)
    uncached = WithoutCache(tf.function(whole, autograph=False, reduce_retracing=True))
    lengths = tf.constant([13, 4, 16])

    # Within a window, texts of the same parts in another order would be equally likely.
    by_step = tf.constant(np.random.default_rng(5).normal(size=[16, VOCABULARY]), tf.float32)

    def at_step(logits, step, written):
        return logits + by_step[step]

    def keep_on(step, written):
        words = tf.range(VOCABULARY)
        return (words != 0) & ((step > 9) | (words != END))

    def search(model):
        return beam_search(
            model,
            PROMPTS,
            PROMPT_LENGTHS,
            lengths,
            4,
            END,
            length_penalty=0.6,
            num_results=3,
            process=at_step,
            allowed=keep_on,
        )

    tokens, scores = tf.function(functools.partial(search, model), autograph=False)()
    expected_tokens, expected_scores = tf.function(functools.partial(search, uncached), autograph=False)()
    np.testing.assert_array_equal(tokens, expected_tokens)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)
    # Far beyond the window.
    assert (np.count_nonzero(tokens, axis=-1)[0] > 2 * CONTEXT - 2).all()


def test_a_search_without_rows():
    model = TransformerTranslationModel(**TRANSLATION, num_heads=2, hidden_size=12)
    model.build()
    none = tf.zeros([0], tf.int32)

    def search(source):
        return beam_search(model.conditioned_on(source), tf.ones([0, 1], tf.int32), none, none, 3, END)

    tokens, scores = tf.function(search, input_signature=[tf.TensorSpec([None, None], tf.int32)])(SOURCE[:0])
    assert (tokens.shape, scores.shape) == ((0, 1, 0), (0, 1))
