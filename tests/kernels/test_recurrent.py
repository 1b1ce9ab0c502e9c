import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels

rng = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def _same_numbers_whichever_tests_run():
    global rng
    rng = np.random.default_rng(3)


def normal(*shape):
    return rng.normal(size=shape).astype("float32")


def arguments(batch, steps, features, units):
    return {
        "inputs": normal(batch, steps, features),
        "kernel": normal(features, 4 * units) / features**0.5,
        "recurrent_kernel": normal(units, 4 * units) / units**0.5,
        "bias": normal(4 * units),
        "initial_state": (normal(batch, units), normal(batch, units)),
    }


def stock(inputs, kernel, recurrent_kernel, bias, initial_state, mask=None):
    """`keras.layers.LSTM` with these weights, and the gradients of a loss of all its results."""
    layer = keras.layers.LSTM(
        recurrent_kernel.shape[0], use_bias=bias is not None, return_sequences=True, return_state=True
    )
    layer.build(inputs.shape)
    layer.set_weights([kernel, recurrent_kernel, *([] if bias is None else [bias])])
    inputs, state = tf.constant(inputs), [tf.constant(x) for x in initial_state]
    with tf.GradientTape() as tape:
        tape.watch([inputs, *state])
        results = layer(inputs, initial_state=state, mask=mask)
        loss = sum(tf.reduce_sum(tf.sin(x)) for x in results)
    weights = [weight.value for weight in layer.trainable_variables]
    return results, tape.gradient(loss, [inputs, *weights, *state])


def ours(inputs, kernel, recurrent_kernel, bias, initial_state, mask=None):
    weights = [x for x in (kernel, recurrent_kernel, bias) if x is not None]
    watched = [tf.constant(x) for x in (inputs, *weights, *initial_state)]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        outputs, states = kernels.lstm(
            *watched[:3], None if bias is None else watched[3], tuple(watched[-2:]), mask=mask
        )
        results = [outputs, *states]
        loss = sum(tf.reduce_sum(tf.sin(x)) for x in results)
    return results, tape.gradient(loss, watched)


def suffix(lengths, steps):
    return np.arange(steps) < np.array(lengths)[:, None]


MASKS = {
    "none": None,
    "right padding": suffix([9, 0, 4], 9),
    "left padding": ~suffix([3, 9, 0], 9),
    "holes": np.random.default_rng(1).random([3, 9]) < 0.5,
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
@pytest.mark.parametrize("use_bias", [True, False])
def test_agrees_with_keras(mask, use_bias):
    given = arguments(batch=3, steps=9, features=5, units=7)
    given["bias"] = given["bias"] if use_bias else None
    (results, gradients), (expected, expected_gradients) = ours(**given, mask=mask), stock(**given, mask=mask)
    for a, b in zip(results, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)
    for a, b in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("batch", "steps", "features", "units"), [(1, 1, 1, 1), (2, 59, 3, 5), (5, 11, 37, 13)])
def test_agrees_with_keras_at_odd_sizes(batch, steps, features, units):
    given = arguments(batch, steps, features, units)
    for a, b in zip(ours(**given)[0], stock(**given)[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


def test_follows_the_definition():
    given = arguments(batch=2, steps=6, features=3, units=4)
    hidden, cell = (x.astype("float64") for x in given["initial_state"])
    for t in range(6):
        gates = given["inputs"][:, t] @ given["kernel"].astype("float64") + hidden @ given["recurrent_kernel"]
        i, f, candidate, o = np.split(gates + given["bias"], 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-x)) for x in (i, f, o))
        cell = f * cell + i * np.tanh(candidate)
        hidden = o * np.tanh(cell)
    outputs, states = kernels.lstm(**given)
    np.testing.assert_allclose(outputs[:, -1], hidden, rtol=0, atol=1e-6)
    np.testing.assert_allclose(states, [hidden, cell], rtol=0, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("batch", [None, 1])
def test_traced_with_gradients(jit_compile, batch):
    given = arguments(batch=1, steps=7, features=3, units=4)

    @tf.function(
        jit_compile=jit_compile,
        input_signature=[tf.TensorSpec([batch, None, 3]), *[tf.TensorSpec([None, 4])] * 2],
    )
    def run(inputs, hidden, cell):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            weights = given["kernel"], given["recurrent_kernel"], given["bias"]
            outputs, states = kernels.lstm(
                inputs, *weights, (hidden, cell), mask=tf.ones(tf.shape(inputs)[:2], tf.int32)
            )
            loss = sum(tf.reduce_sum(tf.sin(x)) for x in (outputs, *states))
        assert outputs.shape.as_list() == [batch, None, 4]
        return outputs, tape.gradient(loss, inputs)

    (expected, *_), gradients = ours(**given)
    outputs, gradient = run(given["inputs"], *given["initial_state"])
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(gradient, gradients[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": normal(2, 3)}, r"`inputs` must have rank 3.*Received: inputs.shape=\(2, 3\)"),
        ({"kernel": normal(4, 20)}, r"`kernel` must have shape \[3, 20\]. Received: kernel.shape=\(4, 20\)"),
        ({"bias": normal(5)}, r"`bias` must have shape \[20\]. Received: bias.shape=\(5,\)"),
        ({"initial_state": (normal(2, 5), normal(3, 5))}, r"Received: initial_state\[1\].shape=\(3, 5\)"),
        ({"recurrent_kernel": normal(20)}, r"`recurrent_kernel` must have rank 2 .* recurrent_kernel.shape=\(20,\)"),
        ({"inputs": np.ones([2, 4, 3], "int32")}, "`inputs` must be of a floating type.*inputs.dtype=int32"),
        ({"kernel": np.ones([3, 20])}, "Received: kernel.dtype=float64, inputs.dtype=float32"),
        ({"bias": np.ones(20)}, "`bias` must be of a floating type, the same .* Received: bias.dtype=float64"),
        ({"initial_state": (normal(2, 5), np.ones([2, 5]))}, r"Received: initial_state\[1\].dtype=float64"),
        ({"mask": np.ones([2, 4], "float32")}, "`mask` must be boolean or .* Received: mask.dtype=float32"),
        ({"mask": np.ones([2, 3], bool)}, r"`mask` must have shape .* Received: mask.shape=\(2, 3\)"),
    ],
)
def test_errors_name_the_argument(changes, message):
    given = arguments(batch=2, steps=4, features=3, units=5)
    with pytest.raises(ValueError, match=message):
        kernels.lstm(**{**given, **changes})


def test_takes_lists():
    given = arguments(batch=1, steps=2, features=2, units=1)
    lists = {name: given[name].tolist() for name in ("inputs", "kernel", "recurrent_kernel", "bias")}
    state = tuple(x.tolist() for x in given["initial_state"])
    outputs, _ = kernels.lstm(**lists, initial_state=state, mask=[[1, 0]])
    np.testing.assert_allclose(outputs, kernels.lstm(**given, mask=np.array([[True, False]]))[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_no_steps_give_the_initial_state(masked):
    given = arguments(batch=2, steps=0, features=3, units=4)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3]), *[tf.TensorSpec([None, 4])] * 2])
    def run(inputs, hidden, cell):
        with tf.GradientTape() as tape:
            tape.watch([inputs, hidden])
            weights = given["kernel"], given["recurrent_kernel"], given["bias"]
            mask = tf.ones(tf.shape(inputs)[:2], tf.bool) if masked else None
            outputs, states = kernels.lstm(inputs, *weights, (hidden, cell), mask=mask)
            loss = sum(tf.reduce_sum(tf.square(x)) for x in (outputs, *states))
        return outputs, states, tape.gradient(loss, [inputs, hidden])

    outputs, states, (by_inputs, by_hidden) = run(given["inputs"], *given["initial_state"])
    assert outputs.shape == (2, 0, 4)
    assert by_inputs.shape == (2, 0, 3)
    np.testing.assert_array_equal(states, given["initial_state"])
    np.testing.assert_array_equal(by_hidden, 2 * given["initial_state"][0])


def test_autograph_leaves_it_alone(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "ikelos.kernels.reference.recurrent.lstm",
        lambda inputs, *_: seen.append(tf.__internal__.autograph.control_status_ctx().status.name) or (inputs, inputs),
    )
    tf.function(kernels.lstm)(**arguments(batch=2, steps=4, features=3, units=5))
    assert seen == ["DISABLED"]
