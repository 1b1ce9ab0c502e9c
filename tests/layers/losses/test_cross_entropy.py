import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.losses import cross_entropy

ULP = 2.0**-24  # largest relative error of one rounding to float32


def normal(*shape, scale=1.0):
    return np.random.default_rng(len(shape)).normal(0, scale, shape).astype("float32")


def in_float64(labels, logits):
    """Returns losses and the softmax, float64."""
    logits = np.float64(logits) - np.max(logits, axis=-1, keepdims=True)
    log_sum = np.log(np.sum(np.exp(logits), axis=-1))
    return log_sum - np.take_along_axis(logits, labels[..., None], -1)[..., 0], np.exp(logits - log_sum[..., None])


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(("scale", "shape"), [(1, (2, 3, 59)), (30, (5, 97)), (1000, (4, 1025)), (1, (3, 1))])
def test_against_float64(scale, shape, jit_compile):
    logits, labels = normal(*shape, scale=scale), np.random.default_rng(0).integers(0, shape[-1], shape[:-1])
    upstream = normal(*shape[:-1])

    @tf.function(jit_compile=jit_compile)
    def run(logits, labels):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = cross_entropy(labels, logits)
        return losses, tape.gradient(losses, logits, output_gradients=upstream)

    losses, grad = run(tf.constant(logits), tf.constant(labels))
    expected, softmax = in_float64(labels, logits)
    size = np.max(np.abs(logits), axis=-1)
    # Differences of logits, and a sum of V exponentials.
    np.testing.assert_array_less(abs(losses - expected), (4 * size + 20) * ULP)
    expected_grad = (softmax - np.eye(shape[-1])[labels]) * upstream[..., None]
    # The exponential of a difference of logits has the absolute error of the difference as its relative one.
    np.testing.assert_array_less(
        abs(grad - expected_grad), ((4 * size[..., None] + 30) * softmax + 2) * abs(upstream[..., None]) * ULP + 1e-30
    )


def test_equals_the_stock_op_for_any_dtype():
    labels = tf.constant([1, 0])
    for dtype in (tf.float16, tf.bfloat16, tf.float64):
        logits = tf.cast(normal(2, 5), dtype)
        losses = cross_entropy(labels, logits)
        wide = tf.cast(logits, losses.dtype)
        assert losses.dtype == (tf.float64 if dtype == tf.float64 else tf.float32)
        stock = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, wide)
        np.testing.assert_allclose(losses, stock, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_label_smoothing_is_that_of_soft_targets(smoothing):
    logits, labels, upstream = tf.constant(normal(6, 59)), np.arange(6), normal(6)
    targets = (1 - smoothing) * np.eye(59, dtype="float32")[labels] + smoothing / 59
    results = []
    for function in (
        lambda: cross_entropy(labels, logits, smoothing),
        lambda: tf.nn.softmax_cross_entropy_with_logits(targets, logits),
    ):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            losses = function()
        results.append((losses, tape.gradient(losses, logits, output_gradients=upstream)))
    for ours, stock in zip(*results, strict=True):
        np.testing.assert_allclose(ours, stock, rtol=1e-5, atol=1e-6)


def test_an_excluded_class_has_no_share():
    logits = tf.constant([[0.0, -np.inf, 0.0]])
    np.testing.assert_allclose(cross_entropy([0], logits), [np.log(2)], rtol=1e-6)
    assert cross_entropy([1], logits) == np.inf


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_is_an_error_or_nan(label):
    logits = tf.zeros([1, 3])
    with pytest.raises(tf.errors.InvalidArgumentError):
        cross_entropy([label], logits)
    assert np.isnan(tf.function(cross_entropy, jit_compile=True)(tf.constant([label]), logits))
