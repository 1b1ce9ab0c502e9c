import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import LSTMLanguageModel, TransformerLanguageModel
from ikelos.layers.decoding import (
    beam_search,
    chain,
    generate,
    greedy,
    repetition_penalty,
    row_uniforms,
    sample,
    sampling,
)

END, PADDING = 2, 0
MODELS = {
    "transformer": lambda: TransformerLanguageModel(20, 6, num_layers=2, size=16, num_heads=4, hidden_size=24),
    "lstm": lambda: LSTMLanguageModel(20, 6, num_layers=2, size=16),
}
# Prompts, numbers of new tokens, temperatures, seeds.
ROWS = [
    ([1, 5, 6, 7, 8, 9, 10, 11, 12], 12, 1.0, 0),
    ([1], 7, 0.0, 1),
    ([1, 4, 4], 0, 1.0, 2),
    ([1, 3, 9, 9, 4], 12, 0.7, 3),
    ([1], 3, 2.0, 4),
    ([1, 5, 6, 7, 8, 9], 1, 1.0, 0),
]


def scattered(name):
    model = MODELS[name]()
    model.build([None, 6])
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape, scale=0.4) + (weight.name == "scale"))
    return model


def writer(model, jit_compile=False):
    """Returns the decoding loop as one graph, for any number of rows."""

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([None], tf.int64),
        ],
    )
    def write(prompts, prompt_lengths, lengths, temperature, seeds):
        choose = sampling(row_uniforms(seeds, 12), temperature)
        return generate(model, prompts, prompt_lengths, lengths, choose, END, PADDING)

    return lambda rows: write(*batch(rows)).numpy()


def batch(rows):
    prompts, lengths, temperatures, seeds = zip(*rows, strict=True)
    longest = max(len(prompt) for prompt in prompts)
    padded = [prompt + [PADDING] * (longest - len(prompt)) for prompt in prompts]
    return (
        np.array(padded, "int32"),
        np.array([len(prompt) for prompt in prompts], "int32"),
        np.array(lengths, "int32"),
        np.array(temperatures, "float32"),
        np.array(seeds, "int64"),
    )


def by_hand(model, prompt, length, temperature, seed):
    """Decodes one row, and reads the whole text again for each token."""
    tokens, uniforms = list(prompt), row_uniforms(tf.constant([seed], tf.int64), 12)
    for step in range(length):
        logits = model(np.array([tokens]))[:, -1]
        token = int(sample(logits, uniforms[:, step], temperature)[0])
        if token == END:
            break
        tokens.append(token)
    return tokens[len(prompt) :]


@pytest.mark.parametrize("name", ["transformer", pytest.param("lstm", marks=pytest.mark.slow)])
def test_every_row_is_what_it_is_alone(name):
    model = scattered(name)
    write = writer(model)
    together = write(ROWS)
    assert together.shape == (6, 12)
    assert together.dtype == np.int32
    for row, tokens in zip(ROWS, together, strict=True):
        expected = by_hand(model, *row)
        np.testing.assert_array_equal(tokens, expected + [PADDING] * (12 - len(expected)))
        np.testing.assert_array_equal(write([row])[0], tokens[: row[1]])


def test_compiled_by_xla():
    model = scattered("lstm")
    prompts, lengths, *_ = batch(ROWS)

    @tf.function(jit_compile=True)
    def write():
        return generate(model, prompts, lengths, tf.fill([6], 4), greedy, END)

    expected = [by_hand(model, prompt, 4, 0.0, 0) for prompt, *_ in ROWS]
    np.testing.assert_array_equal(write(), [tokens + [PADDING] * (4 - len(tokens)) for tokens in expected])


class Script:
    """A model that has nothing to say: its logits are the step."""

    def __init__(self):
        self.advances = tf.Variable(0)

    def start(self, tokens, lengths, capacity):
        self.capacity = capacity
        return tf.zeros([tf.shape(tokens)[0], 1]), tf.zeros([])

    def advance(self, tokens, state):
        self.advances.assign_add(1)
        return tf.zeros([tf.shape(tokens)[0], 1]), state


def scripted(script, lengths):
    """Returns the rows that `generate` makes of `script [B,L]`, and the number of calls of `advance`."""
    model, script = Script(), tf.constant(script)
    rows = script.shape[0]
    outputs = tf.function(generate)(
        model,
        tf.ones([rows, 3], tf.int32),
        tf.fill([rows], 3),
        tf.constant(lengths),
        lambda logits, step, written: script[:, step],
        END,
        PADDING,
    )
    return outputs.numpy(), int(model.advances)


def test_a_row_ends_at_its_end_token_and_the_loop_with_the_last_row():
    outputs, advances = scripted([[5, 2, 6, 6, 6], [2, 7, 7, 7, 7], [8, 8, 8, 2, 8]], [5, 5, 5])
    np.testing.assert_array_equal(outputs, [[5, 0, 0, 0, 0], [0, 0, 0, 0, 0], [8, 8, 8, 0, 0]])
    assert advances == 3


def test_a_row_ends_at_its_length():
    outputs, advances = scripted([[5, 6, 7, 8], [5, 6, 7, 8], [5, 6, 7, 8]], [1, 3, 0])
    np.testing.assert_array_equal(outputs, [[5, 0, 0], [5, 6, 7], [0, 0, 0]])
    assert advances == 2


def test_shows_what_was_written_so_far():
    # A token is 3 plus what is left by 5 of all that came before it: padding, 0 here, would show as a step.
    def choose(logits, step, written):
        assert written.dtype == tf.int32
        return 3 + (tf.reduce_sum(written, axis=1) + tf.range(3)) % 5

    outputs = tf.function(generate)(
        Script(), tf.ones([3, 2], tf.int32), tf.fill([3], 2), tf.constant([6, 2, 4]), choose, END, PADDING
    )
    expected = np.zeros([3, 6], int)
    for row, length in enumerate([6, 2, 4]):
        for step in range(length):
            expected[row, step] = 3 + (expected[row, :step].sum() + row) % 5
    np.testing.assert_array_equal(outputs, expected)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_takes_integers_as_numpy_makes_them(jit_compile):
    """NumPy's integers are int64."""
    model, integers = scattered("lstm"), [np.array(x) for x in ([[1, 5, 6], [1, 0, 0]], [3, 1], [4, 2])]

    def write(prompts, prompt_lengths, lengths):
        process = repetition_penalty(1.2, prompts, prompt_lengths)
        written = generate(model, prompts, prompt_lengths, lengths, chain(process, greedy), END)
        searched, _ = beam_search(model, prompts, prompt_lengths, lengths, 1, END, process=process)
        return written, searched[:, 0]

    expected = write(*(tf.constant(x, tf.int32) for x in integers))
    for found, tokens in zip(tf.function(lambda: write(*integers), jit_compile=jit_compile)(), expected, strict=True):
        np.testing.assert_array_equal(found, tokens)


def test_nothing_to_write():
    outputs, advances = scripted([[5], [5]], [0, 0])
    assert outputs.shape == (2, 0)
    assert advances == 0


def test_a_choice_may_look_at_the_last_token_where_nothing_is_to_be_written():
    def choose(logits, step, written):
        return tf.gather(written, tf.maximum(step - 1, 0), axis=1)

    outputs = generate(Script(), tf.ones([3, 2], tf.int32), tf.fill([3], 2), tf.zeros([3], tf.int32), choose, END)
    assert outputs.shape == (3, 0)
