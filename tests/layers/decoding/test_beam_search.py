import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import LSTMLanguageModel, TransformerLanguageModel
from ikelos.layers.decoding import (
    allow,
    beam_search,
    generate,
    greedy,
    repetition_penalty,
    row_uniforms,
    sampling,
)

END = 2
PROMPTS = [[1, 3, 0, 1], [1], [0, 0], [3, 1, 1]]
MODELS = {
    "transformer": lambda: TransformerLanguageModel(12, 16, num_layers=2, size=8, num_heads=2, hidden_size=12),
    "lstm": lambda: LSTMLanguageModel(12, 16, num_layers=2, size=8),
}


each_seed = pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])


def check(found, expected, num_results):
    """Checks the results `found` by beam search against `expected`, a list for each row, the best first."""
    tokens, scores = (np.asarray(x) for x in found)
    assert tokens.shape[:2] == scores.shape == (len(expected), num_results)
    for row, texts in enumerate(expected):
        texts = texts[:num_results]
        width = len(texts[0][1])
        np.testing.assert_array_equal(tokens[row, : len(texts), :width], [text for _, text in texts])
        np.testing.assert_allclose(scores[row, : len(texts)], [value for value, _ in texts], rtol=1e-5)
        assert (tokens[row, :, width:] == 0).all()
        assert (tokens[row, len(texts) :] == 0).all()
        assert (scores[row, len(texts) :] == -np.inf).all()


@each_seed
@pytest.mark.parametrize(("vocabulary_size", "length", "num_beams"), [(4, 1, 4), (4, 4, 108), (3, 5, 48)])
def test_a_wide_beam_finds_the_best_of_all_texts(
    seed, vocabulary_size, length, num_beams, table_model, slow, log_probabilities, padded
):
    model = table_model(vocabulary_size, seed)
    prompts = [[token % vocabulary_size for token in prompt] for prompt in [*PROMPTS, [1, 1]]]
    lengths = [length, length, max(length - 1, 1), length, length]
    penalties = [-0.5, 0.0, 0.6, 1.0, 3.0]
    found = tf.function(beam_search)(
        model, *padded(prompts), tf.constant(lengths), num_beams, END, length_penalty=penalties, num_results=3
    )
    expected = [
        slow(lambda text, p=prompt: log_probabilities(model.logits(p + text)), n, penalty).all_texts()
        for prompt, n, penalty in zip(prompts, lengths, penalties, strict=True)
    ]
    check(found, expected, 3)


@pytest.mark.parametrize("num_beams", [1, 2, 3, 7])
@each_seed
def test_a_narrow_beam_finds_what_a_slow_one_does(num_beams, seed, table_model, slow, log_probabilities, padded):
    model = table_model(6, seed, spread=0.7)
    lengths, penalties = [9, 3, 6, 9], [0.0, 0.6, 1.0, 2.5]
    num_results = min(num_beams, 2)
    found = tf.function(beam_search)(
        model,
        *padded(PROMPTS),
        tf.constant(lengths),
        num_beams,
        END,
        length_penalty=tf.constant(penalties),
        num_results=num_results,
    )
    expected = [
        slow(lambda text, p=prompt: log_probabilities(model.logits(p + text)), n, penalty).beam(num_beams)
        for prompt, n, penalty in zip(PROMPTS, lengths, penalties, strict=True)
    ]
    check(found, expected, num_results)


@pytest.mark.parametrize("penalty", [-1.0, 0.6])
def test_stops_early_where_nothing_better_can_come(penalty, table_model, slow, log_probabilities, padded):
    model = table_model(6, 5)
    model.table[..., END] += 3  # Texts are short.
    lengths = [30] * 4
    found = tf.function(beam_search)(
        model, *padded(PROMPTS), tf.constant(lengths), 3, END, length_penalty=penalty, num_results=2
    )
    expected = [
        slow(lambda text, p=prompt: log_probabilities(model.logits(p + text)), 30, penalty).beam(3)
        for prompt in PROMPTS
    ]
    check(found, expected, 2)
    assert 0 < model.advances.numpy() < 15


class Chances:
    """A model with the same chances in each row, by step `[L,V]`."""

    def __init__(self, chances):
        self.logits = tf.math.log(tf.constant(chances))

    def start(self, tokens, lengths, capacity):
        return self._at(tf.zeros_like(lengths))

    def advance(self, tokens, state):
        return self._at(state + 1)

    def _at(self, steps):
        return tf.gather(self.logits, steps), steps


@pytest.mark.parametrize(
    ("chances", "penalty", "text", "score"),
    [
        # The first step ends the likeliest text.
        ([[0.05, 0.35, 0.6], [0.0, 0.95, 0.05], [0.0, 0.95, 0.05]], 0.0, [0, 0, 0], np.log(0.6)),
        # A longer one overtakes it by its length, and only at its full length.
        (
            [[0.05, 0.35, 0.6], [0.0, 0.95, 0.05], [0.0, 0.95, 0.05]],
            4.0,
            [1, 1, 1],
            np.log(0.35 * 0.95**2) / (8 / 6) ** 4,
        ),
        # Or with the next token, before a penalty of length weighs too much.
        (
            [[0.0, 0.7, 0.3], [0.0, 0.1, 0.9], [0.0, 0.9, 0.1], [0.0, 0.9, 0.1]],
            -4.0,
            [1, 0, 0, 0],
            np.log(0.7 * 0.9) / (7 / 6) ** -4,
        ),
    ],
)
def test_does_not_stop_while_a_longer_text_can_be_better(chances, penalty, text, score):
    prompt, length = (tf.constant([[1]]), tf.constant([1])), tf.constant([len(chances)])
    tokens, scores = beam_search(Chances(chances), *prompt, length, 2, END, length_penalty=penalty)
    assert tokens.numpy().tolist() == [[text]]
    np.testing.assert_allclose(scores, [[score]], rtol=1e-6)


def test_one_beam_is_greedy_is_sampling_at_temperature_zero(table_model, padded):
    lengths = tf.constant([9, 0, 6, 12])
    for seed in range(2):
        arguments = (table_model(6, seed, spread=0.7), *padded(PROMPTS), lengths)
        cold = sampling(row_uniforms(tf.range(4, dtype=tf.int64), 12), temperature=0.0)
        expected = generate(*arguments, greedy, END)
        np.testing.assert_array_equal(generate(*arguments, cold, END), expected)
        np.testing.assert_array_equal(beam_search(*arguments, 1, END)[0][:, 0], expected)


def test_every_row_is_what_it_is_alone(table_model, padded):
    model, lengths, penalties = table_model(6, 1, spread=0.7), [9, 3, 6, 9], [0.0, 0.6, 1.0, 2.5]
    search = tf.function(beam_search, reduce_retracing=True)

    def found(rows, prompts=PROMPTS):
        chosen = [[values[row] for row in rows] for values in (prompts, lengths, penalties)]
        return search(
            model, *padded(chosen[0]), tf.constant(chosen[1]), 4, END, length_penalty=chosen[2], num_results=3
        )

    tokens, scores = found([0, 1, 2, 3])
    for row in range(4):
        alone = found([row])
        np.testing.assert_array_equal(alone[0][0], tokens[row, :, : lengths[row]])
        np.testing.assert_allclose(alone[1][0], scores[row], rtol=1e-6)
        # Where shapes are equal, bit by bit.
        others = [prompt if i == row else [5] * len(prompt) for i, prompt in enumerate(PROMPTS)]
        among_others = found([0, 1, 2, 3], others)
        np.testing.assert_array_equal(among_others[0][row], tokens[row])
        np.testing.assert_array_equal(among_others[1][row], scores[row])


def scattered(name):
    model = MODELS[name]()
    model.build([None, 6])
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape, scale=0.5) + (weight.name == "scale"))
    return model


@pytest.mark.parametrize("name", ["transformer", pytest.param("lstm", marks=pytest.mark.slow)])
def test_carries_the_state_of_a_real_model(name, slow, log_probabilities, padded, tmp_path):
    model = scattered(name)
    prompts, lengths = [[1, 5, 6, 7, 8], [1], [1, 4, 4]], [6, 7, 2]
    read = tf.function(model, input_signature=[tf.TensorSpec([1, None], tf.int32)])

    def rereading(prompt):
        return lambda text: log_probabilities(read(np.array([prompt + text], "int32"))[0, -1])

    expected = [slow(rereading(prompt), n, 0.6).beam(3) for prompt, n in zip(prompts, lengths, strict=True)]

    def beam(prompts, prompt_lengths, lengths):
        return beam_search(model, prompts, prompt_lengths, lengths, 3, END, length_penalty=0.6, num_results=2)

    # A `tf.function` would be traced again when it is saved.
    search = tf.function(beam).get_concrete_function(
        tf.TensorSpec([None, None], tf.int32), *[tf.TensorSpec([None], tf.int32)] * 2
    )
    arguments = [tf.constant(x) for x in (*padded(prompts), lengths)]
    found = search(*arguments)
    check(found, expected, 2)
    # The first row among others of the same shapes.
    others = tf.constant([prompts[0], [9, 8, 7, 6, 5], [3, 3, 3, 3, 3]])
    for a, b in zip(search(others, *arguments[1:]), found, strict=True):
        np.testing.assert_array_equal(a[0], b[0])

    module = tf.Module()
    module.model_variables, module.search = [x.value for x in model.variables], search
    tf.saved_model.save(module, tmp_path, options=tf.saved_model.SaveOptions(experimental_custom_gradients=False))
    loaded = tf.saved_model.load(tmp_path)
    check(loaded.search(*arguments), expected, 2)
    if name == "lstm":
        check(tf.function(lambda: beam(*arguments), jit_compile=True)(), expected, 2)


@pytest.mark.parametrize(("num_beams", "jit_compile"), [(3, False), (3, True), (108, False)])
def test_processes_logits_and_keeps_to_what_is_allowed(
    num_beams, jit_compile, table_model, slow, log_probabilities, padded
):
    model, length = table_model(4, 7), 4
    (tokens, prompt_lengths), penalties = padded(PROMPTS), [1.0, 1.5, 3.0, 0.5]
    of_row = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 0, 1]], bool)

    def no_token_twice_in_a_row(step, written):
        last = tf.where(step > 0, tf.gather(written, tf.maximum(step - 1, 0), axis=1), -1)
        return of_row & (tf.range(4) != last[:, None])

    def search():
        return beam_search(
            model,
            tf.constant(tokens),
            tf.constant(prompt_lengths),
            tf.fill([4], length),
            num_beams,
            END,
            length_penalty=0.6,
            num_results=3,
            process=repetition_penalty(penalties, tokens, prompt_lengths),
            allowed=no_token_twice_in_a_row,
        )

    def by_hand(row):
        def following(text):
            logits = model.logits(PROMPTS[row] + text).astype("float64")
            for token in {*PROMPTS[row], *text}:
                logits[token] *= penalties[row] ** (-1.0 if logits[token] > 0 else 1.0)
            possible = of_row[row] & (np.arange(4) != (text[-1] if text else -1))
            return np.where(possible, log_probabilities(logits), -np.inf)

        return following

    searches = [slow(by_hand(row), length, 0.6) for row in range(4)]
    expected = [x.all_texts() if num_beams == 108 else x.beam(num_beams) for x in searches]
    check(tf.function(search, jit_compile=jit_compile)(), expected, 3)


def test_what_is_forbidden_in_the_logits_leaves_its_probability_to_the_rest():
    # After 0 only 1 may come: certain among the allowed tokens, and half as likely as text.
    model = Chances([[0.5, 0.45, 0.05], [0.45, 0.45, 0.1]])

    def one_after_zero(step, written):
        return tf.where((step == 0) | (written[:, :1] != 0), True, tf.range(3) == 1)

    arguments = (model, tf.constant([[1]]), tf.constant([1]), tf.constant([2]), 3, END)
    texts, scores = beam_search(*arguments, allowed=one_after_zero, num_results=3)
    assert texts.numpy().tolist() == [[[0, 1], [1, 0], [1, 1]]]
    np.testing.assert_allclose(np.exp(scores), [[0.5 * 0.45, 0.45 * 0.45, 0.45 * 0.45]], rtol=1e-6)
    texts, scores = beam_search(*arguments, process=allow(one_after_zero), num_results=3)
    assert texts.numpy().tolist() == [[[0, 1], [1, 0], [1, 1]]]
    np.testing.assert_allclose(np.exp(scores), [[0.5, 0.45 * 0.45, 0.45 * 0.45]], rtol=1e-6)


@pytest.mark.pairwise
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("argument", ["allowed", "process"])
@pytest.mark.parametrize(
    ("num_beams", "texts", "probabilities"),
    [
        (9, [[1, 1], [0, 0], [1, 0], [1, 0], [0, 0], [0, 0]], [0.12, 0.1, 0.09, 0.09, 0, 0]),
        (2, [[1, 1], [1, 0]], [0.12, 0.09]),
    ],
)
def test_hypotheses_without_a_way_on_are_dropped(num_beams, texts, probabilities, argument, jit_compile):
    model = Chances([[0.6, 0.3, 0.1], [0.3, 0.4, 0.3]])

    def nothing_after_zero(step, written):
        return (step == 0) | (written[:, :1] != 0)

    given = {"allowed": nothing_after_zero, "process": allow(nothing_after_zero)}[argument]

    @tf.function(jit_compile=jit_compile)
    def search():
        prompt = tf.constant([[1]]), tf.constant([1])
        return beam_search(
            model, *prompt, tf.constant([2]), num_beams, END, num_results=len(texts), **{argument: given}
        )

    tokens, scores = search()
    assert tokens.numpy().tolist() == [texts]
    np.testing.assert_allclose(np.exp(scores), [probabilities], rtol=1e-6)


def test_nothing_to_write_and_no_rows(table_model):
    model = table_model(4, 0)
    tokens, scores = beam_search(model, tf.ones([2, 3], tf.int32), tf.constant([3, 1]), tf.zeros([2], tf.int32), 3, END)
    assert (tokens.shape, scores.numpy().tolist()) == ((2, 1, 0), [[0.0], [0.0]])
    no_rows = tf.zeros([0], tf.int32)
    tokens, scores = beam_search(model, tf.ones([0, 3], tf.int32), no_rows, no_rows, 3, END, num_results=2)
    assert (tokens.shape, scores.shape) == ((0, 2, 0), (0, 2))
    assert model.advances.numpy() == 0


@pytest.mark.parametrize("num_results", [0, 4])
def test_refuses_more_results_than_beams(num_results, table_model):
    with pytest.raises(ValueError, match=rf"between 1 and `num_beams`. Received: num_results={num_results}"):
        beam_search(table_model(4, 0), None, None, None, 3, END, num_results=num_results)
