import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import TransformerLanguageModel
from ikelos.layers.decoding import WithoutCache, generate, greedy

VOCABULARY, LENGTH, CLOSE = 12, 16, 1e-4


def text(rng, rows, length):
    """Counts upwards in steps of 1 or 2, with a wrong token now and then."""
    steps = rng.integers(1, 3, [rows, 1])
    tokens = 3 + (rng.integers(0, 9, [rows, 1]) + steps * np.arange(length)) % 9
    return np.where(rng.random([rows, length]) < 0.05, 3 + rng.integers(0, 9, [rows, length]), tokens)


@pytest.fixture(
    params=[(0, False), (0, True), pytest.param((3, True), marks=pytest.mark.slow)],
    ids=["untrained", "trained", "with n-grams"],
)
def model(request):
    order, is_trained = request.param
    keras.utils.set_random_seed(3)
    model = TransformerLanguageModel(
        VOCABULARY, context=12, num_layers=2, size=16, num_heads=2, hidden_size=24, ngram_order=order, max_ngrams=500
    )
    model.build((None, None))
    rng = np.random.default_rng(0)
    if order:
        model.adapt(text(rng, 4, 60))
    if is_trained:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.AdamW(0.01), loss, jit_compile=False)
        tokens = text(rng, 320, 25)
        model.fit(tokens[:, :-1], tokens[:, 1:], batch_size=32, epochs=4, verbose=0)
    return model


def test_the_cache_changes_no_greedy_token_unless_two_are_equally_likely(model):
    rng = np.random.default_rng(1)
    lengths = np.array([1, 3, 7, 11, 14])  # the last prompt is longer than the context
    prompts = text(rng, len(lengths), 14) * (np.arange(14) < lengths[:, None])
    cached, uncached = (
        generate(one, prompts, lengths, np.full(5, LENGTH), greedy, end_id=2) for one in (model, WithoutCache(model))
    )
    # The logits of the uncached model along its own tokens tell where the two best are close.
    full = np.concatenate([prompts, np.zeros([5, LENGTH], int)], axis=1)
    for row, (length, tokens) in enumerate(zip(lengths, uncached.numpy(), strict=True)):
        full[row, length : length + LENGTH] = tokens
    logits = model(full).numpy()
    for row, length in enumerate(lengths):
        best = np.sort(logits[row, length - 1 : length + LENGTH - 1], axis=-1)
        close = np.flatnonzero(best[:, -1] - best[:, -2] < CLOSE)
        # From a close step on, the texts may differ; before it, they must not.
        until = close[0] if close.size else LENGTH
        np.testing.assert_array_equal(cached[row, :until], uncached[row, :until])
        assert until > 8


def test_any_causal_function_decodes():
    def following(tokens):
        return tf.one_hot(tokens + 1, 10)

    found = generate(WithoutCache(following), [[3, 4], [7, 0]], [2, 1], [3, 5], greedy, end_id=9)
    np.testing.assert_array_equal(found, [[5, 6, 7, 0, 0], [8, 0, 0, 0, 0]])
