import numpy as np
import pytest
import tensorflow as tf

from ikelos.layers.losses import linear_cross_entropy

ULP = 2.0**-24  # largest relative error of one rounding to float32


def case(rows, size=7, classes=59):
    """Returns hidden, kernel, bias, labels and the gradient of the losses."""
    draw = np.random.default_rng(rows)
    arrays = [draw.normal(size=shape) for shape in ((rows, size), (size, classes), (classes,), (rows,))]
    hidden, kernel, bias, upstream = (x.astype("float32") for x in arrays)
    return hidden, kernel, bias, draw.integers(0, classes, rows), upstream


def in_float64(hidden, kernel, bias, labels, upstream):
    """Returns the losses and the gradients of hidden, kernel and bias."""
    hidden, kernel, bias, upstream = (np.float64(x) for x in (hidden, kernel, bias, upstream))
    logits = hidden @ kernel + bias
    log_sum = np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
    change = (np.exp(logits - log_sum) - np.eye(len(bias))[labels]) * upstream[:, None]
    losses = log_sum[:, 0] - np.take_along_axis(logits, labels[:, None], -1)[:, 0]
    return losses, change @ kernel.T, hidden.T @ change, change.sum(0)


def run(function, hidden, *parameters, upstream):
    inputs = [tf.convert_to_tensor(x) for x in (hidden, *parameters)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        losses = function(*inputs)
    return losses, *tape.gradient(losses, inputs, output_gradients=upstream)


@pytest.mark.parametrize("mode", ["eager", "traced", "compiled"])
@pytest.mark.parametrize(("rows", "chunk_rows"), [(1, None), (10, 10), (10, 5), (11, 5), (11, 1), (3, 7), (0, 4)])
def test_against_float64(rows, chunk_rows, mode):
    hidden, kernel, bias, labels, upstream = case(rows)

    def losses(hidden, kernel, bias):
        return linear_cross_entropy(hidden, kernel, labels, bias, chunk_rows)

    def step(*inputs):
        return run(losses, *inputs, upstream=upstream)

    if mode != "eager":
        step = tf.function(step, jit_compile=mode == "compiled")
    results = step(hidden, kernel, bias)
    for result, expected in zip(results, in_float64(hidden, kernel, bias, labels, upstream), strict=True):
        assert result.shape == expected.shape
        # Sums of up to 59 terms of some units.
        np.testing.assert_allclose(result, expected, rtol=0, atol=200 * ULP * np.max(np.abs(expected), initial=1))


def test_without_bias_and_with_more_axes_it_equals_stock_tensorflow():
    hidden, kernel, _, labels, upstream = case(12)
    shape = (3, 4)

    def stock(hidden, kernel):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels.reshape(shape), tf.tensordot(hidden, kernel, 1))

    def ours(hidden, kernel):
        return linear_cross_entropy(hidden, kernel, labels.reshape(shape), chunk_rows=5)

    inputs = hidden.reshape(*shape, -1), kernel
    for result, expected in zip(
        *(run(f, *inputs, upstream=upstream.reshape(shape)) for f in (ours, stock)), strict=True
    ):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_shapes_that_are_known_late():
    hidden, kernel, _, labels, _ = case(11)
    specs = [tf.TensorSpec([None, None, 7]), tf.TensorSpec([None, None], tf.int64)]
    traced = tf.function(lambda hidden, labels: linear_cross_entropy(hidden, kernel, labels, chunk_rows=4), specs)
    expected = linear_cross_entropy(hidden, kernel, labels)
    np.testing.assert_allclose(traced(hidden[None], labels[None])[0], expected, rtol=1e-6)


def test_a_variable_learns_and_a_row_of_weight_0_teaches_nothing():
    hidden, kernel, _, labels, _ = case(4)
    kernel, weights = tf.Variable(kernel), tf.constant([1.0, 0.0, 2.0, 0.0])
    grads = []
    for rows in (slice(None), slice(None, None, 2)):
        with tf.GradientTape() as tape:
            losses = linear_cross_entropy(hidden[rows], kernel, labels[rows], chunk_rows=3)
            loss = tf.reduce_sum(losses * weights[rows])
        grads.append(tape.gradient(loss, kernel))
    np.testing.assert_allclose(*grads, rtol=1e-5, atol=1e-6)


def test_half_precision_has_logits_in_float32():
    hidden, kernel, bias, labels, upstream = case(6)
    half = tf.cast(hidden, tf.bfloat16)
    wide = tf.cast(half, tf.float32)

    def losses(hidden, kernel, bias):
        return linear_cross_entropy(hidden, kernel, labels, bias)

    ours, expected = (run(losses, x, kernel, bias, upstream=upstream) for x in (half, wide))
    np.testing.assert_array_equal(ours[0], expected[0])
    assert ours[1].dtype == tf.bfloat16
    np.testing.assert_array_equal(ours[1], tf.cast(expected[1], tf.bfloat16))


def largest_tensor(function, *inputs):
    """Returns the number of elements of the largest tensor in the graph of a function and of the functions it calls."""
    graph = tf.function(function).get_concrete_function(*inputs).graph.as_graph_def(add_shapes=True)
    nodes = [*graph.node, *(node for called in graph.library.function for node in called.node_def)]
    shapes = [tf.TensorShape(shape) for node in nodes for shape in node.attr["_output_shapes"].list.shape]
    return max(shape.num_elements() or 0 for shape in shapes)


def test_no_tensor_has_the_logits_of_all_rows():
    hidden, kernel, _, labels, upstream = case(64)

    def largest(chunk_rows):
        def losses(hidden, kernel):
            return linear_cross_entropy(hidden, kernel, labels, chunk_rows=chunk_rows)

        return largest_tensor(lambda *x: run(losses, *x, upstream=upstream), tf.constant(hidden), tf.constant(kernel))

    assert largest(64) >= 64 * 59
    assert largest(8) < 32 * 59


@pytest.mark.parametrize("label", [-1, 59])
def test_a_label_out_of_range_is_an_error(label):
    hidden, kernel, *_ = case(2)
    with pytest.raises(tf.errors.InvalidArgumentError):
        linear_cross_entropy(hidden, kernel, [0, label])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": tf.ones([6, 59])}, r"`kernel` must have shape \[D, V\].*\(6, 59\).*\(2, 7\)"),
        ({"labels": [0, 1, 2]}, r"`labels` must have the shape of `hidden` without its last axis.*\(3,\)"),
        ({"bias": tf.ones([58])}, r"`bias` must have shape \[V\].*\(58,\)"),
        ({"chunk_rows": 0}, "`chunk_rows` must be at least 1.*chunk_rows=0"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        linear_cross_entropy(**{"hidden": tf.ones([2, 7]), "kernel": tf.ones([7, 59]), "labels": [0, 1]} | change)
