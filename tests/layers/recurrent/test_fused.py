"""Tests that `FusedLSTM` and `FusedGRU` share."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ikelos import kernels
from ikelos.layers.testing import check_config, check_layer

# Arguments of the constructor, and the code that then runs: the op or the stock layer.
CONFIGURATIONS = {
    "plain": ({}, "op"),
    "sequences": ({"return_sequences": True}, "op"),
    "state": ({"return_state": True}, "op"),
    "sequences and state": ({"return_sequences": True, "return_state": True}, "op"),
    "backwards": ({"return_sequences": True, "return_state": True, "go_backwards": True}, "op"),
    "no bias": ({"use_bias": False}, "op"),
    "stateful": ({"stateful": True, "return_sequences": True}, "op"),
    "dropout": ({"dropout": 0.4, "seed": 5, "return_sequences": True}, "op"),
    "recurrent dropout": ({"recurrent_dropout": 0.4, "seed": 5, "return_sequences": True}, "op"),
    "both dropouts": ({"dropout": 0.4, "recurrent_dropout": 0.4, "seed": 5}, "op, stock in training"),
    "dropout of all": ({"dropout": 1.0}, "op"),
    "zero outputs": ({"zero_output_for_mask": True, "return_sequences": True}, "op"),
    "last of zero outputs": ({"zero_output_for_mask": True, "return_state": True, "go_backwards": True}, "op"),
    "implementation 1": ({"implementation": 1}, "op"),
    # With use_cudnn="auto" the stock layer raises an error there: it takes the gates' masks for one.
    "implementation 1 with dropout": (
        {"implementation": 1, "dropout": 0.4, "seed": 5, "use_cudnn": False},
        "op, stock in training",
    ),
    "use_cudnn=False": ({"use_cudnn": False}, "op"),
    "relu": ({"activation": "relu"}, "stock"),
    "hard sigmoid": ({"recurrent_activation": "hard_sigmoid"}, "stock"),
    "unrolled": ({"unroll": True, "return_sequences": True}, "stock"),
}

ARGUMENTS = {
    "units": 4,
    "activation": "relu",
    "recurrent_activation": "hard_sigmoid",
    "use_bias": False,
    "kernel_initializer": "he_normal",
    "recurrent_initializer": "glorot_normal",
    "bias_initializer": "ones",
    "kernel_regularizer": "l1",
    "recurrent_regularizer": "l1",
    "bias_regularizer": "l1",
    "activity_regularizer": "l1",
    "kernel_constraint": "non_neg",
    "recurrent_constraint": "non_neg",
    "bias_constraint": "non_neg",
    "dropout": 0.1,
    "recurrent_dropout": 0.1,
    "seed": 3,
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "stateful": True,
    "unroll": True,
    "use_cudnn": False,
}
OWN_ARGUMENTS = {"lstm": {"unit_forget_bias": False}, "gru": {"reset_after": False}}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.fixture(params=["lstm", "gru"])
def pair_of_classes(request, twins):
    return twins(request.param)


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.pairwise
@pytest.mark.parametrize(("arguments", "runs"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_stock_layer(arguments, runs, masked, pair_of_classes, mask):
    pair_of_classes.check_equal(arguments, mask if masked else None, runs)


def test_a_stateful_layer_goes_on_where_it_was(pair_of_classes, inputs):
    stock, fused = pair_of_classes.pair(stateful=True)
    for _ in range(3):
        assert_close(fused(inputs), stock(inputs))
    fused.reset_state()
    stock.reset_state()
    assert_close(fused(inputs), stock(inputs))


@pytest.mark.parametrize("merge_mode", ["concat", "sum"])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_within_bidirectional(return_sequences, merge_mode, pair_of_classes, inputs, mask):
    stock, fused = (
        keras.layers.Bidirectional(layer_class(4, return_sequences=return_sequences), merge_mode=merge_mode)
        for layer_class in pair_of_classes.classes
    )
    for layer in (stock, fused):
        layer.build(inputs.shape)
    fused.set_weights(stock.get_weights())
    assert isinstance(fused.backward_layer, pair_of_classes.classes[1])
    assert_close(fused(inputs, mask=mask), stock(inputs, mask=mask))


@pytest.mark.parametrize("steps", [2, None])
def test_within_time_distributed(steps, pair_of_classes, inputs):
    """A known number of steps is a loop in Python, an unknown one is vectorised."""
    movies = np.stack([inputs, inputs[:, ::-1]], axis=1)
    symbolic = keras.Input((steps, *movies.shape[2:]))
    stock, fused = (
        keras.Model(symbolic, keras.layers.TimeDistributed(layer)(symbolic)) for layer in pair_of_classes.pair()
    )
    assert_close(fused(movies), stock(movies))


def test_takes_the_mask_of_an_embedding(pair_of_classes):
    tokens = np.array([[3, 1, 0, 0], [2, 2, 2, 1], [0, 0, 0, 0]])
    embedding = keras.layers.Embedding(5, 5, mask_zero=True)
    stock, fused = pair_of_classes.pair()
    assert_close(fused(embedding(tokens)), stock(embedding(tokens)))


def test_takes_a_mask_of_floats_as_the_stock_layer_does(pair_of_classes, inputs, mask):
    stock, fused = pair_of_classes.pair()
    assert_close(fused(inputs, mask=mask.astype("float32")), stock(inputs, mask=mask))


@pytest.mark.parametrize(
    ("how", "shape"),
    [("eager", [1, 6]), ("eager", [3, 6, 1]), ("eager", [1, 6, 1]), ("graph", [3, 6, 1]), ("xla", [1, 6, 1])],
)
def test_takes_a_mask_of_each_shape_that_the_stock_layer_takes(how, shape, pair_of_classes, inputs, mask):
    """In a graph of unknown sizes too, where the stock layer is no help: it loses the number of rows."""
    mask = np.broadcast_to(mask[:1] if shape[0] == 1 else mask, shape[:2]).reshape(shape)
    stock, fused = pair_of_classes.pair(return_sequences=True)
    expected = stock(inputs, mask=np.broadcast_to(mask.reshape(shape[:2]), [3, 6]))
    call = lambda x, mask: fused(x, mask=mask)  # noqa: E731
    if how != "eager":
        signature = [tf.TensorSpec([None, None, 5]), tf.TensorSpec([None, None, *shape[2:]], tf.bool)]
        call = tf.function(call, input_signature=signature, jit_compile=how == "xla")
    pair_of_classes.calls.clear()
    assert_close(call(tf.constant(inputs), tf.constant(mask)), expected)
    assert "stock" not in pair_of_classes.calls


def test_a_mask_of_anything_but_steps_is_left_to_the_stock_layer(pair_of_classes, inputs):
    stock, fused = pair_of_classes.pair(return_sequences=True)
    by_unit = np.random.default_rng(2).random([3, 6, 6]) < 0.6
    pair_of_classes.calls.clear()
    assert_close(fused(inputs, mask=by_unit), stock(inputs, mask=by_unit))
    assert pair_of_classes.calls == ["stock", "stock"]


def test_one_masked_step_does_not_pass_for_all(pair_of_classes, inputs):
    _, fused = pair_of_classes.pair()
    for mask in (np.ones([3, 1], bool), np.ones([1, 1, 1], bool)):
        with pytest.raises(ValueError, match=r"`mask` must have shape \[3, 6\].*Received: mask.shape=\(3, 1\)"):
            fused(inputs, mask=mask)


@pytest.mark.parametrize("training", [False, True])
def test_one_initial_state_for_all_rows(training, pair_of_classes, inputs, mask):
    stock, fused = pair_of_classes.pair(recurrent_dropout=0.4, seed=5)
    state = [normal(1, 6, seed=i) for i in range(len(stock.state_size))]
    pair_of_classes.calls.clear()
    actual = fused(inputs, initial_state=state, mask=mask, training=training)
    assert "stock" not in pair_of_classes.calls
    assert_close(actual, stock(inputs, initial_state=state, mask=mask, training=training))

    @tf.function(input_signature=[tf.TensorSpec([None, 6, 5]), [tf.TensorSpec([None, 6])] * len(state)])
    def of_unknown_sizes(x, state):
        return fused(x, initial_state=state)

    assert_close(of_unknown_sizes(inputs, state), stock(inputs, initial_state=state))
    with pytest.raises(ValueError, match=r"`initial_state.*Received: initial_state"):
        fused(inputs, initial_state=[np.ones([2, 6], "float32")] * len(state))


@pytest.mark.parametrize("implementation", ["native", "reference"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_at_masked_steps_reaches_no_other(bad, implementation, pair_of_classes, inputs, mask):
    """In the stock layers' gradients it does."""
    _, fused = pair_of_classes.pair(return_sequences=True, return_state=True, go_backwards=True)
    found = []
    for filling in (0.0, bad):
        x = tf.constant(np.where(mask[..., None], inputs, filling), "float32")
        with kernels.use(implementation), tf.GradientTape() as tape:
            tape.watch(x)
            results = tf.nest.flatten(fused(x, mask=mask))
            loss = sum(tf.reduce_sum(tf.sin(y)) for y in results)
        found.append(results + tape.gradient(loss, [x, *(weight.value for weight in fused.trainable_variables)]))
    for actual, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_another_cell_is_run_by_the_stock_layer(pair_of_classes, inputs):
    """A subclass of the stock cell, and another function on the same object."""
    cell_class = type(pair_of_classes.classes[0](6).cell)

    class Doubled(cell_class):
        def call(self, inputs, states, training=False):
            return super().call(2 * inputs, states, training=training)

    def with_subclass(layer):
        layer.cell.__class__ = Doubled

    def with_function(layer):
        layer.cell.call = lambda inputs, states, training=False: cell_class.call(layer.cell, 2 * inputs, states)

    for change in (with_subclass, with_function):
        stock, fused = pair_of_classes.pair()
        expected = stock(2 * inputs)
        change(fused)
        pair_of_classes.calls.clear()
        assert_close(fused(inputs), expected)
        assert pair_of_classes.calls == ["stock"]


def test_weight_files_and_variable_paths_are_the_stock_layers(pair_of_classes, tmp_path):
    """Also where layers of both kinds are numbered by their class."""

    def model(*layer_classes):
        keras.backend.clear_session()
        inputs = keras.Input((None, 5))
        x = keras.layers.Bidirectional(layer_classes[0](3, return_sequences=True))(inputs)
        for layer_class in layer_classes[1:]:
            x = layer_class(4, return_sequences=True)(x)
        return keras.Model(inputs, [x, keras.layers.RNN(layer_classes[0](4).cell)(x)])

    stock, fused = pair_of_classes.classes
    models = [model(stock, stock, stock), model(fused, fused, fused), model(fused, stock, fused)]
    inputs = np.ones([1, 2, 5], "float32")
    outputs = [model(inputs) for model in models]
    for place, source in enumerate(models):
        source.save_weights(tmp_path / f"{place}.weights.h5")
        source.save(tmp_path / f"{place}.keras")
        again = keras.saving.load_model(tmp_path / f"{place}.keras")
        assert [type(layer) for layer in again.layers] == [type(layer) for layer in source.layers]
    for number, target in enumerate(models):
        assert [weight.path for weight in target.weights] == [weight.path for weight in models[0].weights]
        for place, expected in enumerate(outputs):
            target.set_weights([np.zeros_like(weight) for weight in target.get_weights()])
            target.load_weights(tmp_path / f"{place}{['.weights.h5', '.keras'][(number + place) % 2]}")
            for a, b in zip(target(inputs), expected, strict=True):
                assert_close(a, b)


def test_cudnn_stays_an_error_where_there_is_none(pair_of_classes, inputs):
    with pytest.raises(ValueError, match="use_cudnn=True"):
        pair_of_classes.classes[1](6, use_cudnn=True)(inputs)


@pytest.mark.parametrize(
    ("arguments", "masked", "by_stock"),
    [({}, False, True), ({"use_cudnn": False}, False, False), ({}, True, False)],
)
def test_leaves_the_sequence_to_cudnn_where_there_is_a_gpu(
    arguments, masked, by_stock, pair_of_classes, gpus, inputs, mask
):
    """And the op has no native kernel there."""
    gpus.append("GPU:0")
    layer = pair_of_classes.classes[1](6, **arguments)
    # Without a GPU cuDNN cannot run: the loop gives the same.
    layer(inputs[:1], mask=mask[:1] if masked else None)
    assert [x == "stock" for x in pair_of_classes.calls] == [by_stock]
    pair_of_classes.calls.clear()
    # As an export does, which must run without a GPU too.
    with kernels.use("reference"):
        layer(inputs[:1])
    assert "stock" not in pair_of_classes.calls


def test_keeps_a_layers_promises(pair_of_classes, inputs, mask):
    fused = pair_of_classes.classes[1]
    arguments = ARGUMENTS | OWN_ARGUMENTS[pair_of_classes.op_name]
    given = {"units": 4, "return_sequences": True, "return_state": True, "use_bias": True}
    rest = {name: value for name, value in arguments.items() if name not in given}
    # Keras 3.16 has recurrent layers drop the mask, and ours are as its own.
    mask = mask if pair_of_classes.classes[0](4).supports_masking else None
    check_layer(fused, given, inputs, config_kwargs=rest | {"use_bias": False}, mask=mask)
    check_config(fused, arguments)
    # Hidden in the stock layer's signature.
    again = fused.from_config(fused(4, implementation=1, zero_output_for_mask=True).get_config())
    assert again.cell.implementation == 1
    assert again.zero_output_for_mask
