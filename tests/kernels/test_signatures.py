import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.kernels import dispatch, signatures

U = 8


def attention(shape=(2, 5, 3, 4)):
    return [tf.random.normal(shape) for _ in range(3)]


def recurrent(gates, *biases):
    return [tf.random.normal(shape) for shape in ([2, 3, U], [U, gates * U], [U, gates * U], [*biases, gates * U])]


CALLS = {
    "attention": (kernels.attention, attention),
    "gru": (kernels.gru, lambda: recurrent(3, 2)),
    "lstm": (kernels.lstm, lambda: recurrent(4)),
    "rms_norm": (kernels.rms_norm, lambda: [tf.random.normal([2, 4]), tf.random.normal([4])]),
}


@pytest.fixture(autouse=True)
def _empty(monkeypatch):
    monkeypatch.setattr(signatures, "_checked", {})
    monkeypatch.delenv("IKELOS_KERNELS", raising=False)


@pytest.fixture
def choices(monkeypatch):
    """The ops for which an implementation was chosen."""
    chosen, choose = [], dispatch.choose

    def watched(op_name, *arguments, **options):
        chosen.append(op_name)
        return choose(op_name, *arguments, **options)

    monkeypatch.setattr(dispatch, "choose", watched)
    return chosen


@pytest.mark.parametrize("op_name", CALLS)
def test_a_signature_is_checked_once(op_name, choices):
    op, draw = CALLS[op_name]
    op(*draw())
    tensors = draw()
    results = tf.nest.flatten(op(*tensors))
    assert choices == [op_name]
    expected = tf.nest.flatten(op(*tensors, implementation="reference"))
    for result, right in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, right, atol=1e-5)


@pytest.mark.parametrize("op_name", CALLS)
def test_the_scope_and_the_environment_are_honoured_at_each_call(op_name, choices, monkeypatch):
    op, draw = CALLS[op_name]
    tensors = draw()
    op(*tensors)
    with kernels.use("reference"):
        op(*tensors)
        op(*tensors)
    monkeypatch.setenv("IKELOS_KERNELS", "reference")
    op(*tensors)
    assert len(choices) == 4
    monkeypatch.setenv("IKELOS_KERNELS", "fast")
    with pytest.raises(ValueError, match="IKELOS_KERNELS"):
        op(*tensors)


@pytest.mark.parametrize("op_name", CALLS)
def test_gradients(op_name, choices):
    op, draw = CALLS[op_name]
    op(*draw())
    tensors, gradients = draw(), []
    for implementation in (None, "reference"):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss = tf.add_n([tf.reduce_sum(x**2) for x in tf.nest.flatten(op(*tensors, implementation=implementation))])
        gradients.append(tape.gradient(loss, tensors))
    assert len(choices) == 2
    for gradient, right in zip(*gradients, strict=True):
        np.testing.assert_allclose(gradient, right, rtol=1e-3, atol=1e-3)


def test_one_tensor_for_several_arguments_stands_for_no_other():
    x, (query, key, value) = tf.ones([2, 5, 3, 4]), attention()
    kernels.attention(x, x, x)
    np.testing.assert_allclose(
        kernels.attention(query, key, value),
        kernels.attention(query, key, value, implementation="reference"),
        atol=1e-5,
    )


def test_variables_and_arrays_give_the_same_results():
    x, scale = CALLS["rms_norm"][1]()
    expected = kernels.rms_norm(x, scale)
    for given in ((tf.Variable(x), tf.Variable(scale)), (x.numpy(), scale.numpy())):
        np.testing.assert_array_equal(kernels.rms_norm(*given), expected)


def test_lengths_out_of_range_are_the_same_error_in_each_call(choices):
    query, key, value = attention()
    with pytest.raises(ValueError, match="`query_seq_lengths` must be within 0 and 5"):
        kernels.attention(query, key, value, query_seq_lengths=tf.constant([1, 6]))
    kernels.attention(query, key, value, query_seq_lengths=tf.constant([1, 5]))
    with pytest.raises(ValueError, match="`query_seq_lengths` must be within 0 and 5"):
        kernels.attention(query, key, value, query_seq_lengths=tf.constant([1, 6]))


def test_invalid_options_that_equal_valid_ones_stay_errors():
    query, key, value = attention()
    kernels.attention(query, key, value, scale=1.0, local_window_size=(1, 1))
    kernels.attention(query, key, value, local_window_size=1)
    with pytest.raises(ValueError, match="`scale`"):
        kernels.attention(query, key, value, scale=True, local_window_size=(1, 1))
    for window in ((True, 1), (1,)):
        with pytest.raises(ValueError, match="`local_window_size`"):
            kernels.attention(query, key, value, scale=1.0, local_window_size=window)
    tensors = recurrent(4)
    kernels.lstm(*tensors)
    for state in ((None, None), (tf.zeros([2, U]),)):
        with pytest.raises(ValueError, match="`initial_state"):
            kernels.lstm(*tensors, initial_state=state)
    with pytest.raises(ValueError, match="`layer_norm"):
        kernels.lstm(*tensors, layer_norm=kernels.LayerNorm(None, None))


def test_a_converted_argument_is_converted_at_each_call():
    tensors = recurrent(4)
    for mask in ([[1, 1, 0], [1, 0, 0]], [[0, 1, 1], [1, 1, 1]]):
        mask = tf.constant(mask)
        outputs, _ = kernels.lstm(*tensors, mask=mask)
        expected, _ = kernels.lstm(*tensors, mask=mask, implementation="reference")
        np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_the_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(signatures, "MOST_SIGNATURES", 3)
    for offset in range(10):
        kernels.attention(*attention(), query_offset=offset)
    assert 1 <= len(signatures._checked) <= 3
