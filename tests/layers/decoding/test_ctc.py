import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import LSTMLanguageModel, TransformerLanguageModel
from ikelos.layers.decoding import ctc_beam_search, ctc_greedy
from ikelos.serving import Signature, export

LENGTHS = np.array([5, 3, 0, 4, 1], "int32")


def normal(shape, seed=0, scale=1.5):
    return np.random.default_rng(seed).normal(size=shape, scale=scale).astype("float32")


def texts(logits, blank_id=0):
    """Returns the log-probability of every text of one row, summed over all paths in float64."""
    logits = logits.astype("float64")
    logits = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    found = {}
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        text = tuple(c for c, _ in itertools.groupby(path) if c != blank_id)
        total = sum(logits[t, c] for t, c in enumerate(path))
        found[text] = np.logaddexp(found.get(text, -np.inf), total)
    return found


def best(scores, number):
    """Returns the best texts and their scores, filled up with nothing."""
    found = sorted(((score, text) for text, score in scores.items()), reverse=True)[:number]
    return found + [(-np.inf, ())] * (number - len(found))


def check(found, expected, frames, blank_id=0):
    tokens, scores = (np.asarray(x) for x in found)
    assert tokens.shape == (*scores.shape, frames)
    for row, results in enumerate(expected):
        np.testing.assert_allclose(scores[row], [score for score, _ in results], rtol=1e-5, atol=1e-5)
        for place, (_, text) in enumerate(results):
            assert tokens[row, place].tolist() == [*text, *[blank_id] * (frames - len(text))]


@pytest.mark.parametrize("blank_id", [0, 1, 2])
def test_a_wide_beam_sums_over_all_paths(blank_id):
    x = normal([5, 5, 3])
    found = tf.function(ctc_beam_search)(x, LENGTHS, 64, blank_id=blank_id, num_results=8)
    expected = [best(texts(row[:length], blank_id), 8) for row, length in zip(x, LENGTHS, strict=True)]
    check(found, expected, 5, blank_id)


@pytest.mark.parametrize("end_id", [None, 2])
def test_a_wide_beam_finds_the_best_texts_under_a_language_model(end_id, table_model, log_probabilities):
    model, x = table_model(3, seed=4), normal([5, 5, 3])
    weights, bonuses = [0.0, 0.5, 1.0, 2.0, 1.0], [1.0, -0.5, 0.3, 2.0, 0.0]

    def score(text, acoustic, weight, bonus):
        # Token 1 begins a text.
        written = (*text, *([] if end_id is None else [end_id]))
        logs = [log_probabilities(model.logits([1, *text[:i]]))[token] for i, token in enumerate(written)]
        return acoustic + weight * sum(logs) + bonus * len(text)

    expected = [
        best({text: score(text, p, weight, bonus) for text, p in texts(row[:length]).items()}, 6)
        for row, length, weight, bonus in zip(x, LENGTHS, weights, bonuses, strict=True)
    ]
    search = tf.function(ctc_beam_search)
    options = {"language_model": model, "begin_id": 1, "end_id": end_id, "num_results": 6}
    check(
        search(x, LENGTHS, 64, language_model_weight=tf.constant(weights), token_bonus=tf.constant(bonuses), **options),
        expected,
        5,
    )


def slow_search(logits, num_beams, following=None, weight=0.0, bonus=0.0):
    """Prefix beam search of one row in plain Python, in float64, as in the paper's algorithm 1."""
    logits = logits.astype("float64")
    frames = logits - np.log(np.exp(logits).sum(-1, keepdims=True))

    def extra(prefix):
        logs = [following(prefix[:i])[token] for i, token in enumerate(prefix)] if following else []
        return weight * sum(logs) + bonus * len(prefix)

    beams = {(): (0.0, -np.inf)}
    for frame in frames:
        new = {}
        for prefix, (blank, token) in beams.items():
            either = np.logaddexp(blank, token)
            for c, log in enumerate(frame):
                if c == 0:
                    moves = [(prefix, either + log, -np.inf)]
                elif prefix and c == prefix[-1]:
                    moves = [(prefix, -np.inf, token + log), ((*prefix, c), -np.inf, blank + log)]
                else:
                    moves = [((*prefix, c), -np.inf, either + log)]
                for text, *change in moves:
                    before = new.get(text, (-np.inf, -np.inf))
                    new[text] = tuple(np.logaddexp(a, b) for a, b in zip(before, change, strict=True))
        ranked = sorted(new, key=lambda text: -(np.logaddexp(*new[text]) + extra(text)))
        beams = {text: new[text] for text in ranked[:num_beams]}
    return {text: np.logaddexp(*both) + extra(text) for text, both in beams.items()}


@pytest.mark.parametrize("num_beams", [1, 2, 3, 5])
@pytest.mark.parametrize("has_model", [False, True])
def test_a_narrow_beam_finds_what_a_slow_one_does(num_beams, has_model, table_model, log_probabilities):
    model, x, lengths = table_model(5, seed=2), normal([4, 14, 5], seed=3), [14, 9, 1, 13]
    # Many repetitions: some prefixes leave the beam and come back, while their extensions stayed in it.
    x[0] += 2 * np.array([1, 0, 1, 0, 0])
    options, slow = {}, {}
    if has_model:
        options = {"language_model": model, "begin_id": 1, "language_model_weight": 0.7, "token_bonus": 0.4}
        slow = {"following": lambda text: log_probabilities(model.logits([1, *text])), "weight": 0.7, "bonus": 0.4}
    num_results = min(num_beams, 3)
    found = tf.function(ctc_beam_search)(x, lengths, num_beams, num_results=num_results, **options)
    expected = [
        best(slow_search(row[:length], num_beams, **slow), num_results) for row, length in zip(x, lengths, strict=True)
    ]
    check(found, expected, 14)


def test_a_text_of_probability_zero_is_no_result():
    # A letter twice needs a blank between, which is impossible.
    x = np.array([[[-np.inf, 0.2, 0.0], [-np.inf, 1.0, 0.0]]], "float32")
    found = ctc_beam_search(x, [2], 8, num_results=8)
    with np.errstate(divide="ignore"):
        expected = {text: score for text, score in texts(x[0]).items() if score > -np.inf}
    assert len(expected) == 4  # two texts of one token, two of two
    check(found, [best(expected, 8)], 2)


def test_what_the_language_model_forbids_is_no_result_unless_it_has_no_weight(table_model):
    model, x = table_model(4, seed=1), normal([1, 4, 4])
    model.table[..., 3] = -np.inf
    options = {"language_model": model, "begin_id": 1, "num_results": 30}
    tokens, scores = ctc_beam_search(x, [4], 64, **options)
    assert not np.isnan(scores).any()
    assert (tokens.numpy() != 3).all()
    check(ctc_beam_search(x, [4], 256, **options, language_model_weight=0.0), [best(texts(x[0]), 30)], 4)


def test_greedy_joins_repetitions_and_drops_blanks():
    frames = np.array([[1, 1, 2, 1, 2], [2, 1, 1, 2, 1], [0, 0, 0, 0, 0], [1, 2, 1, 0, 0]])
    lengths = np.array([5, 4, 5, 0])
    expected = {0: [[1, 2, 1, 2, 0], [2, 1, 2, 0, 0], [0] * 5, [0] * 5], 2: [[1, 1, 2, 2, 2], [1, 2, 2, 2, 2]]}
    x = np.eye(3, dtype="float32")[frames]
    assert ctc_greedy(x, lengths).numpy().tolist() == expected[0]
    assert ctc_greedy(x, lengths, blank_id=2)[:2].numpy().tolist() == expected[2]
    assert ctc_greedy(x[:, :0], np.zeros([4])).shape == (4, 0)


@pytest.mark.parametrize("blank_id", [0, 3])
def test_greedy_agrees_with_keras(blank_id):
    x, lengths = normal([6, 30, 4]), np.array([30, 17, 1, 9, 30, 2], "int32")
    (expected,), _ = keras.ops.ctc_decode(x, lengths, "greedy", mask_index=blank_id)
    np.testing.assert_array_equal(ctc_greedy(x, lengths, blank_id), tf.where(expected < 0, blank_id, expected))


def test_every_row_is_what_it_is_alone(table_model):
    x, lengths, weights = normal([4, 12, 5]), np.array([12, 4, 9, 0]), np.array([0.3, 1.0, 0.6, 0.2], "float32")
    search = tf.function(ctc_beam_search, reduce_retracing=True)

    def found(x, lengths, weights):
        model = table_model(5, seed=1)
        return search(
            x, lengths, 4, num_results=3, language_model=model, begin_id=1, language_model_weight=tf.constant(weights)
        )

    tokens, scores = found(x, lengths, weights)
    for row, length in enumerate(lengths):
        alone = found(x[row : row + 1, :length], lengths[row : row + 1], weights[row : row + 1])
        np.testing.assert_array_equal(alone[0][0], tokens[row, :, :length])
        np.testing.assert_allclose(alone[1][0], scores[row], rtol=1e-6)
        # Where shapes are equal, bit by bit.
        among_others = found(np.where(np.arange(4)[:, None, None] == row, x, 1 - x), lengths, weights)
        np.testing.assert_array_equal(among_others[0][row], tokens[row])
        np.testing.assert_array_equal(among_others[1][row], scores[row])


def scattered(model):
    model.build([None, 6])
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(size=weight.shape, scale=0.5) + (weight.name == "scale"))
    return model


@pytest.mark.parametrize("name", ["transformer", "lstm"])
def test_carries_the_state_of_a_real_model_and_runs_on_a_stock_server(name, log_probabilities, tmp_path):
    if name == "lstm":
        model = LSTMLanguageModel(5, 16, num_layers=2, size=8)
    else:
        model = TransformerLanguageModel(5, 16, num_layers=1, size=8, num_heads=2, hidden_size=12)
    model = scattered(model)
    x, lengths = normal([3, 8, 5], seed=5), np.array([8, 0, 5], "int32")
    read = tf.function(model, input_signature=[tf.TensorSpec([1, None], tf.int32)])

    def following(text):
        return log_probabilities(read(np.array([[1, *text]], "int32"))[0, -1])

    expected = [
        best(slow_search(row[:length], 3, following, 0.7, 0.4), 2) for row, length in zip(x, lengths, strict=True)
    ]

    def decode(logits, lengths):
        tokens, scores = ctc_beam_search(
            logits,
            lengths,
            3,
            num_results=2,
            language_model=model,
            begin_id=1,
            language_model_weight=0.7,
            token_bonus=0.4,
        )
        return {"tokens": tokens, "scores": scores, "greedy": ctc_greedy(logits, lengths)}

    signature = Signature(
        name="decode",
        function=decode,
        inputs={"logits": tf.TensorSpec([None, None, 5], tf.float32), "lengths": tf.TensorSpec([None], tf.int32)},
        example={"logits": x.tolist(), "lengths": [8, 2, 5]},  # of no frames, the second text would have -inf
        doc="Texts of frames.",
    )
    found = tf.function(decode, input_signature=list(signature.inputs.values()))(x, lengths)
    check((found["tokens"], found["scores"]), expected, 8)
    if name == "lstm":
        export(tmp_path, model, [signature])


def test_errors_name_the_argument(table_model):
    x = normal([1, 3, 4])
    with pytest.raises(ValueError, match=r"`num_results` must be between 1 and `num_beams`. Received: num_results=3"):
        ctc_beam_search(x, [3], 2, num_results=3)
    with pytest.raises(
        ValueError, match=r"`begin_id` must be given with a language model, and only then. Received: beg"
    ):
        ctc_beam_search(x, [3], 2, language_model=table_model(4, 0))
    with pytest.raises(ValueError, match=r"`end_id` must be None without a language model. Received: end_id=2"):
        ctc_beam_search(x, [3], 2, end_id=2)
    with pytest.raises(ValueError, match=r"`language_model` must have as many tokens .* classes, 4. Received: 6 tok"):
        ctc_beam_search(x, [3], 2, language_model=table_model(6, 0), begin_id=1)
