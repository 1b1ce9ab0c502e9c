import itertools

import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.audio import ctc_loss, ctc_min_frames

LABELS = np.array([[1, 3, 2], [1, 1, 3], [9, 9, 9], [3, 9, 9], [1, 1, 3], [1, 3, 9], [9, 9, 9]], "int32")
LABEL_LENGTHS = np.array([3, 3, 0, 1, 3, 2, 0], "int32")
LENGTHS = np.array([6, 4, 5, 2, 3, 0, 0], "int32")


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def log_probability(logits, labels, blank_id):
    """Returns the logarithm of the sum over all paths, in float64; minus infinity if there is none."""
    logits = logits.astype("float64")
    logits = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    total = -np.inf
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        if [c for c, _ in itertools.groupby(path) if c != blank_id] == list(labels):
            total = np.logaddexp(total, sum(logits[t, c] for t, c in enumerate(path)))
    return total


@pytest.mark.parametrize("blank_id", [0, 2, 3])
def test_is_the_sum_over_all_paths_of_each_row(blank_id):
    x = normal([7, 6, 4])
    x[np.arange(6) >= LENGTHS[:, None]] = 99  # does not count
    # The labels, without the blank.
    labels = np.where(blank_id == LABELS, 0, LABELS)
    losses = ctc_loss(x, LENGTHS, labels, LABEL_LENGTHS, blank_id)
    expected = [
        -log_probability(x[row, : LENGTHS[row]], labels[row, : LABEL_LENGTHS[row]], blank_id) for row in range(7)
    ]
    assert losses.dtype == tf.float32
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)
    # The last rows but one have too few frames.
    assert np.isinf(losses).tolist() == [False] * 4 + [True] * 2 + [False]


def test_the_gradient_is_that_of_small_steps_and_0_without_a_path():
    x = tf.constant(normal([7, 6, 4]), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        losses = ctc_loss(x, LENGTHS, np.where(LABELS == 9, 1, LABELS), LABEL_LENGTHS)
        # Infinite losses make the sum infinite, but not its gradient.
        total = tf.reduce_sum(losses)
    assert losses.dtype == tf.float64
    gradient = tape.gradient(total, x).numpy()
    assert (gradient[np.arange(6) >= LENGTHS[:, None]] == 0).all()
    assert (gradient[4:] == 0).all()
    step = normal([7, 6, 4], seed=1).astype("float64") * 1e-5
    for row in range(4):
        # By the sum over all paths, because the op takes logarithms in float32 for float64 logits too.
        before, after = (
            log_probability(y[row, : LENGTHS[row]], LABELS[row, : LABEL_LENGTHS[row]], 0)
            for y in (x.numpy() - step, x.numpy() + step)
        )
        np.testing.assert_allclose(np.sum(gradient[row] * step[row]), (before - after) / 2, rtol=1e-5)


def test_any_shape_is_traced_once():
    call = tf.function(
        ctc_loss,
        input_signature=[
            tf.TensorSpec([None, None, 4]),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
        ],
    )
    # No frames, no labels.
    np.testing.assert_array_equal(call(normal([2, 0, 4]), [0, 0], np.zeros([2, 0], "int32"), [0, 0]), [0, 0])
    np.testing.assert_allclose(call(np.zeros([1, 2, 4], "float32"), [2], np.zeros([1, 0], "int32"), [0]), 2 * np.log(4))
    assert ctc_loss(tf.cast(normal([7, 6, 4]), tf.bfloat16), LENGTHS, LABELS, LABEL_LENGTHS).dtype == tf.float32


@pytest.mark.parametrize("label", [0, 4, -1])
def test_labels_must_be_classes_other_than_the_blank(label):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`labels` must be ids .* not the blank 0. Received:"):
        ctc_loss(normal([1, 3, 4]), [3], [[1, label]], [2])
    assert np.isfinite(ctc_loss(normal([1, 3, 4]), [3], [[1, label]], [1])).all()


@pytest.mark.parametrize(
    ("lengths", "label_lengths", "error"),
    [([4], [1], "`lengths`"), ([-1], [0], "`lengths`"), ([3], [3], "`label_lengths`"), ([3], [-1], "`label_lengths`")],
)
def test_lengths_out_of_range_are_named(lengths, label_lengths, error):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{error} must be between 0 and"):
        ctc_loss(normal([1, 3, 4]), lengths, [[1, 2]], label_lengths)


def test_a_batch_without_rows_is_named():
    with pytest.raises(tf.errors.InvalidArgumentError, match="`logits` must have at least one row"):
        ctc_loss(np.zeros([0, 3, 4], "float32"), np.zeros([0]), np.zeros([0, 2]), np.zeros([0]))


def test_a_label_takes_a_frame_and_a_repetition_a_blank_too():
    labels = [[1, 1, 1, 2], [1, 2, 1, 2], [1, 2, 2, 2], [1, 1, 1, 1]]
    assert ctc_min_frames(tf.constant(labels), tf.constant([4, 4, 2, 0])).numpy().tolist() == [6, 4, 2, 0]
    assert ctc_min_frames(tf.zeros([2, 0], tf.int32), tf.constant([0, 0])).numpy().tolist() == [0, 0]
