import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers import ReplyRanker

ARGUMENTS = {
    "vocabulary_size": 20,
    "first_role": 18,
    "begin_id": 1,
    "end_id": 2,
    "special_ids": 4,
    "size": 8,
    "hidden_size": 12,
    "num_history_sums": 3,
    "max_distance": 5,
    "dropout": 0.1,
}
A, B, END = 18, 19, 2
WINDOWS = np.array(
    [[1, A, 5, 6, END, B, 7, END, A, 8, 9, END], [1, 10, END, B, 11, 5, END, A, 12, 12, END, B]], "int32"
)


@pytest.fixture
def ranker():
    """Ranker with weights large enough that a wrong one changes its outputs."""
    model = ReplyRanker(**{**ARGUMENTS, "dropout": 0.0})
    model.build()
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(weight + rng.normal(size=weight.shape, scale=0.3))
    return model


def test_files_keep_weights_and_arguments(ranker, tmp_path):
    scores = ranker(WINDOWS)
    ranker.save(tmp_path / "ranker.keras")
    loaded = keras.saving.load_model(tmp_path / "ranker.keras")
    np.testing.assert_array_equal(loaded(WINDOWS), scores)
    config = ReplyRanker(**ARGUMENTS).get_config()
    assert {name: config[name] for name in ARGUMENTS} == ARGUMENTS


def test_each_complete_turn_but_the_first_is_a_reply(ranker):
    replies = [[7, END], [8, 9, END], [12, 12, END]]
    histories = [[1, A, 5, 6, END, B], [1, A, 5, 6, END, B, 7, END, A], [1, 10, END, B, 11, 5, END, A]]
    ours, theirs = (
        np.concatenate([encode(tf.constant([row])) for row in rows])
        for encode, rows in ((ranker.encode_history, histories), (ranker.encode_reply, replies))
    )
    np.testing.assert_allclose(ranker(WINDOWS), ranker.scale * ours @ theirs.T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), np.ones(3), rtol=1e-5)


def test_conversations_of_a_window_are_apart(ranker):
    second = [1, A, 10, END, B, 11, 12, END, A, 13, END]
    windows = [[1, A, 5, 6, END, B, 7, END, A, 8, END, *second], [1, A, 14, END, B, 15, END, A, 16, 4, 9, END, *second]]
    one, other = (ranker(np.array([window])).numpy() for window in windows)
    assert one.shape == (4, 4)  # two replies of each conversation
    assert other.shape == (4, 4)
    np.testing.assert_allclose(other[2:, 2:], one[2:, 2:], rtol=1e-5)
    for before in ([], [1, 14, END]):  # the second one: a window that begins within a turn
        np.testing.assert_allclose(ranker(np.array([before + second])), one[2:, 2:], rtol=1e-5)
    assert (np.abs(other[:2] - one[:2]) > 1e-3).any()


def test_padding_and_other_rows_do_not_change_a_vector(ranker):
    alone = ranker.encode_history(tf.constant([[1, A, 5, END, B]]))
    padded = ranker.encode_history(tf.constant([[1, A, 5, END, B, 0, 0, 0, 0], [1, A, 5, END, B, 6, END, A, 0]]))
    np.testing.assert_allclose(padded[:1], alone, rtol=1e-5)
    reply = ranker.encode_reply(tf.constant([[5, 6, END, 0, 0]]))
    np.testing.assert_allclose(reply, ranker.encode_reply(tf.constant([[5, 6, END]])), rtol=1e-5)


def test_turns_beyond_the_largest_distance_and_an_empty_history_have_no_weight(ranker):
    far = [token for turn in range(6) for token in (A + turn % 2, 4 + turn, END)]
    others = [1, *far[:1], 17, *far[2:], A]
    both = ranker.encode_history(tf.constant([[1, *far, A], others]))
    np.testing.assert_allclose(both[0], both[1], rtol=1e-5)
    assert np.isfinite(ranker.encode_history(tf.constant([[1, A]]))).all()


def test_equal_replies_are_no_wrong_answers(ranker):
    windows = np.array([[1, A, 5, END, B, 7, 8, END], [1, A, 6, END, B, 7, 8, END], [1, A, 9, END, B, 4, END, A]])
    scores = ranker(windows).numpy()
    assert scores.shape == (3, 3)
    assert (scores[[0, 1], [1, 0]] == -1e9).all()
    assert (np.delete(scores.ravel(), [1, 3]) > -1e3).all()


def test_loss_is_the_mean_of_both_cross_entropies(ranker):
    scores = ranker(WINDOWS).numpy().astype(np.float64)
    both = [np.log(np.exp(part).sum(axis=1)) - np.diag(part) for part in (scores, scores.T)]
    assert float(ranker.compute_loss(y_pred=tf.constant(scores, tf.float32))) == pytest.approx(np.mean(both), rel=1e-5)
    assert float(ranker.compute_loss(y_pred=ranker(np.array([[1, A, 5, END]])))) == 0


def test_rare_tokens_are_heavy_after_adapt():
    model = ReplyRanker(**ARGUMENTS)
    model.adapt([0, 0, 0, 0, 999, *[1] * 15])
    scale = np.exp(model.token_scale)
    assert scale[4] == pytest.approx(1e-3 / (1e-3 + 999 / 1014), rel=1e-4)
    assert scale[5] > 100 * scale[4]


def test_learns_to_find_replies():
    rng, role = np.random.default_rng(0), np.array([A, B])
    model = ReplyRanker(**{**ARGUMENTS, "dropout": 0.0})
    model.build()

    def windows():  # each turn repeats a word of the one before
        words = rng.integers(4, 18, [16, 1])
        return np.concatenate(
            [np.array([[1, role[0]]] * 16), words, [[END, role[1]]] * 16, words, [[END]] * 16], axis=1
        )

    # No words in common at first: the linear layers begin as noise.
    for layer in (model.history_head.linear, model.reply_head.linear):
        layer.kernel.assign(rng.normal(size=layer.kernel.shape))
    model.compile(keras.optimizers.Adam(0.02), run_eagerly=True)
    before = model.evaluate(windows(), verbose=0, return_dict=True)
    for _ in range(25):
        model.train_on_batch(windows())
    after = model.evaluate(windows(), verbose=0, return_dict=True)
    assert after["loss"] < 0.5 * before["loss"]
    assert after["reply_accuracy"] > before["reply_accuracy"]


def test_sizes_must_be_positive():
    with pytest.raises(ValueError, match=r"`max_distance` must be .* Received: max_distance=0"):
        ReplyRanker(**{**ARGUMENTS, "max_distance": 0})
