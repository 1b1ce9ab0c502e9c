import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.decoding import (
    allow,
    chain,
    generate,
    greedy,
    repetition_penalty,
    row_uniforms,
    sample,
    sampling,
)

END = 2
PROMPTS = [[1, 5, 5, 4], [1], [3, 0], [0, 4, 3]]


def penalised(logits, tokens, penalty):
    """Divides positive logits, as Keskar et al. 2019, section 4.1, and multiplies negative ones."""
    seen = np.isin(np.arange(len(logits)), tokens)
    return np.where(seen, np.where(logits > 0, logits / penalty, logits * penalty), logits)


@pytest.mark.parametrize("padding", [-1, 3, 10**6])
@pytest.mark.parametrize("seed", range(5))
def test_penalises_tokens_of_the_prompt_and_of_the_text(seed, padding):
    rng = np.random.default_rng(seed)
    vocabulary_size, rows, step = 9, 5, 3
    logits = rng.normal(size=[rows, vocabulary_size]).astype("float32")
    logits[0, :3] = [-np.inf, 0.0, 5.0]
    prompts = rng.integers(0, vocabulary_size, [rows, 4]).astype("int32")
    lengths = rng.integers(1, 5, rows).astype("int32")
    prompts[np.arange(4) >= lengths[:, None]] = padding
    written = rng.integers(0, vocabulary_size, [rows, 6]).astype("int32")
    written[:, step:] = padding
    penalties = rng.uniform(0.5, 3, rows).astype("float32")
    for penalty in (penalties, 1.2):
        expected = [
            penalised(logits[i], [*prompts[i, : lengths[i]], *written[i, :step]], np.broadcast_to(penalty, rows)[i])
            for i in range(rows)
        ]
        process = tf.function(repetition_penalty(penalty, prompts, lengths))
        np.testing.assert_allclose(process(logits, step, written), expected, rtol=1e-6)
    np.testing.assert_array_equal(repetition_penalty(1.0, prompts, lengths)(logits, step, written), logits)


def test_a_penalty_of_each_row_hangs_on_that_row_alone():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=[4, 7]).astype("float32")
    prompts, written = (rng.integers(0, 7, [4, n]).astype("int32") for n in (3, 5))
    lengths, penalties = np.array([3, 1, 2, 3], "int32"), np.array([1.5, 3.0, 0.5, 1.0], "float32")
    together = repetition_penalty(penalties, prompts, lengths)(logits, 2, written)
    for i in range(4):
        row = slice(i, i + 1)
        alone = repetition_penalty(penalties[row], prompts[row], lengths[row])(logits[row], 2, written[row])
        np.testing.assert_array_equal(alone[0], together[i])


def test_allows_by_vocabulary_by_row_and_by_function():
    logits = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], "float32")
    written = np.array([[1, 9], [2, 9]], "int32")

    def not_the_last(step, written):
        assert step == 1
        return np.arange(3) != written[:, :1]

    for allowed, expected in [
        ([True, False, True], [[0, -np.inf, 2], [3, -np.inf, 5]]),
        ([[True, False, True], [False, False, True]], [[0, -np.inf, 2], [-np.inf, -np.inf, 5]]),
        (not_the_last, [[0, -np.inf, 2], [3, 4, -np.inf]]),
    ]:
        np.testing.assert_array_equal(allow(allowed)(logits, 1, written), expected)


def test_a_chain_goes_from_first_to_last():
    twice, less = (lambda logits, *_: 2 * logits), (lambda logits, *_: logits - 1)
    logits = tf.constant([[3.0, 0.5]])
    assert chain(twice, less)(logits, 0, None).numpy().tolist() == [[5.0, 0.0]]
    assert chain(less, twice)(logits, 0, None).numpy().tolist() == [[4.0, -1.0]]
    assert chain()(logits, 0, None) is logits
    assert chain(chain(twice, less), greedy)(logits, 0, None).numpy().tolist() == [0]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("temperature", [None, 0.0, 0.7])
def test_steers_a_whole_text(temperature, jit_compile, table_model, padded):
    model, (prompts, prompt_lengths) = table_model(6, 2, spread=0.7), padded(PROMPTS)
    penalties, lengths, seeds = [1.3, 2.0, 1.0, 4.0], [8, 5, 8, 6], tf.range(4, dtype=tf.int64)
    of_row = np.random.default_rng(3).random([4, 6]) < 0.7
    of_row[:, END] = True

    def ends_at_even_lengths(step, written):
        return of_row & ((tf.range(6) != END) | (step % 2 == 0))

    @tf.function(jit_compile=jit_compile)
    def write():
        uniforms = row_uniforms(seeds, 8)
        choose = chain(
            repetition_penalty(penalties, prompts, prompt_lengths),
            allow(ends_at_even_lengths),
            greedy if temperature is None else sampling(uniforms, temperature, top_k=5, top_p=0.9),
        )
        return generate(model, prompts, prompt_lengths, tf.constant(lengths), choose, END), uniforms

    tokens, uniforms = write()
    for row, prompt in enumerate(PROMPTS):
        text = []
        for step in range(lengths[row]):
            logits = penalised(model.logits(prompt + text), prompt + text, np.float32(penalties[row]))
            possible = of_row[row] & ((np.arange(6) != END) | (step % 2 == 0))
            logits = np.where(possible, logits, -np.inf).astype("float32")
            if temperature is None:
                token = int(np.argmax(logits))
            else:
                token = int(sample(logits[None], uniforms[row, step : step + 1], temperature, top_k=5, top_p=0.9)[0])
            if token == END:
                break
            text.append(token)
        np.testing.assert_array_equal(tokens[row], text + [0] * (8 - len(text)))
