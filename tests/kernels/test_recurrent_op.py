"""The native recurrent ops check an input as soon as it is known, and never use outdated weights."""

import concurrent.futures
import gc
import os
import threading

import numpy as np
import pytest
import tensorflow as tf

from ikelos.kernels.dispatch import library

B, T, D, U = 2, 3, 5, 4
# For each kind of cell: number of gates, shape of the bias, attributes, number of scales.
CELLS = {
    "lstm": (4, [4 * U], {}, 4),
    "gru": (3, [3 * U], {"reset_after": False}, 0),
    "gru_reset_after": (3, [2, 3 * U], {"reset_after": True}, 2),
}


def op_of(cell, of_gradient=False):
    return getattr(library(), f"ikelos_{cell[:4].rstrip('_')}{'_grad' if of_gradient else ''}")


def attributes_of(cell):
    return CELLS[cell][2]


def inputs_of(cell, batch=B, steps=T, features=D):
    gates, bias, _, scales = CELLS[cell]
    rng = np.random.default_rng(0)

    def array(*shape):
        return rng.normal(size=shape).astype("float32") / 2

    states = ["initial_hidden", "initial_cell"] if gates == 4 else ["initial_hidden"]
    return {
        "inputs": array(batch, steps, features),
        "kernel": array(features, gates * U),
        "recurrent_kernel": array(U, gates * U),
        **{state: array(batch, U) for state in states},
        "bias": [array(*bias)],
        "sequence_lengths": [np.array([steps, 1][:batch], "int32").clip(0, steps)],
        "mask": [rng.random([batch, steps]) < 0.8],
        "recurrent_dropout_mask": [1 + array(batch, gates, U)],
        "layer_norm": [array(gates * U), array(gates * U), array(U), array(U)][:scales],
    }


def given_to_gradient(cell, inputs):
    """Returns the inputs of the gradient op, with gradients of 1 for all results."""
    outputs, *states, saved = op_of(cell)(**inputs, **attributes_of(cell))
    by_states = dict(zip(["hidden_grad", "cell_grad"], map(np.ones_like, states), strict=False))
    return inputs | {
        "outputs": outputs.numpy(),
        "saved": saved.numpy(),
        "outputs_grad": np.ones_like(outputs),
        **by_states,
    }


def refused(message):
    return pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message)


def with_shape(inputs, name, shape):
    """Returns `inputs` with another shape of one array, named `name` or, in a list, `name.index`."""
    name, _, index = name.partition(".")
    if not isinstance(inputs[name], list):
        return inputs | {name: np.ones(shape, inputs[name].dtype)}
    arrays, index = list(inputs[name]), int(index or 0)
    arrays[index] = np.ones(shape, arrays[index].dtype)
    return inputs | {name: arrays}


BAD_SHAPES = [
    ("lstm", "inputs", (2, 3), r"`inputs` must have shape \[B, T, D\]. Received: inputs.shape=\[2,3\]"),
    (
        "lstm",
        "kernel",
        (6, 16),
        r"`kernel` must .*D = 5 as in `inputs`.*kernel.shape=\[6,16\], inputs.shape=\[2,3,5\]",
    ),
    ("lstm", "kernel", (5, 18), r"`kernel` must have shape \[D, 4 \* U\]. Received: kernel.shape=\[5,18\]"),
    ("lstm", "kernel", (5, 0), r"`kernel` must have at least one unit, U.*kernel.shape=\[5,0\]"),
    (
        "lstm",
        "recurrent_kernel",
        (3, 16),
        r"`recurrent_kernel` must .*\[U, 4 \* U\], where U = 4 as in `kernel`.*\[3,16\], kernel",
    ),
    ("lstm", "recurrent_kernel", (4, 20), r"`recurrent_kernel` must .*U = 4 as in `kernel`.*\[4,20\]"),
    ("lstm", "initial_hidden", (1, 4), r"`initial_hidden` must .*B = 2 as in `inputs`.*\[1,4\]"),
    ("lstm", "initial_cell", (2, 3), r"`initial_cell` must .*U = 4 as in `kernel`.*\[2,3\]"),
    ("lstm", "bias", (2, 16), r"`bias` must have shape \[4 \* U\].*\[2,16\]"),
    ("lstm", "sequence_lengths", (3,), r"`sequence_lengths` must .*B = 2.*\[3\]"),
    ("lstm", "mask", (2, 1), r"`mask` must have shape \[B, T\], where T = 3.*\[2,1\]"),
    ("lstm", "recurrent_dropout_mask", (2, 3, 4), r"`recurrent_dropout_mask` must have shape \[B, 4, U\].*\[2,3,4\]"),
    ("lstm", "layer_norm.1", (4,), r"`layer_norm.recurrent_scale` must .*\[4 \* U\], where U = 4.*\[4\]"),
    ("lstm", "layer_norm.3", (16,), r"`layer_norm.cell_offset` must have shape \[U\], where U = 4.*\[16\]"),
    ("gru", "kernel", (5, 16), r"`kernel` must have shape \[D, 3 \* U\]. Received: kernel.shape=\[5,16\]"),
    ("gru", "bias", (2, 12), r"`bias` must have shape \[3 \* U\].*\[2,12\]"),
    ("gru", "recurrent_dropout_mask", (2, 4, 4), r"`recurrent_dropout_mask` must have shape \[B, 3, U\].*\[2,4,4\]"),
    ("gru_reset_after", "bias", (12,), r"`bias` must have shape \[2, 3 \* U\].*\[12\]"),
    ("gru_reset_after", "bias", (1, 12), r"`bias` must have shape \[2, 3 \* U\].*\[1,12\]"),
]
BAD_GRADIENT_SHAPES = [
    ("lstm", "outputs", (2, 3, 5), r"`outputs` must .*U = 4 as in `kernel`.*\[2,3,5\]"),
    ("lstm", "saved", (0,), r"`saved` must have [1-9]\d* floats, as with save_for_gradient=true. .*saved.shape=\[0\]"),
    ("lstm", "outputs_grad", (2, 4, 4), r"`outputs_grad` must .*T = 3 as in `inputs`.*\[2,4,4\]"),
    ("lstm", "cell_grad", (4,), r"`cell_grad` must have shape \[B, U\].*\[4\]"),
    ("gru", "hidden_grad", (3, 4), r"`hidden_grad` must .*B = 2 as in `inputs`.*\[3,4\]"),
]


@pytest.mark.parametrize(("cell", "name", "shape", "message"), BAD_SHAPES, ids=[str(case[:3]) for case in BAD_SHAPES])
def test_shapes(cell, name, shape, message, call):
    with refused(message):
        call(op_of(cell), with_shape(inputs_of(cell), name, shape), attributes_of(cell))


@pytest.mark.parametrize(
    ("cell", "name", "shape", "message"), BAD_GRADIENT_SHAPES, ids=[str(case[:2]) for case in BAD_GRADIENT_SHAPES]
)
def test_shapes_of_the_gradient(cell, name, shape, message, call):
    inputs = given_to_gradient(cell, inputs_of(cell))
    with refused(message):
        call(op_of(cell, of_gradient=True), with_shape(inputs, name, shape), attributes_of(cell))


@pytest.mark.pairwise
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("of_gradient", [False, True])
@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 4], r"`sequence_lengths` must be within 0 and T = 3. Received: sequence_lengths\[1\]=4"),
        ([-1, 3], r"sequence_lengths\[0\]=-1"),
        ([2**31 - 1, 0], r"sequence_lengths\[0\]=2147483647"),
    ],
)
def test_lengths(cell, of_gradient, lengths, message, call):
    inputs = inputs_of(cell)
    inputs = given_to_gradient(cell, inputs) if of_gradient else inputs
    inputs["sequence_lengths"] = [np.array(lengths, "int32")]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        call(op_of(cell, of_gradient), inputs, attributes_of(cell))


@pytest.mark.parametrize("call", ["eager", "traced"], indirect=True)
@pytest.mark.parametrize("of_gradient", [False, True])
@pytest.mark.parametrize(
    ("cell", "changes", "message"),
    [
        ("lstm", {"epsilon": -0.5}, "`epsilon` must be finite and at least 0. Received: epsilon=-0.5"),
        ("gru", {"epsilon": float("inf")}, "epsilon=inf"),
        ("lstm", {"epsilon": float("nan")}, "epsilon=nan"),
        (
            "gru_reset_after",
            {"reset_after": False},
            "`num_layer_norm` must be 0 with reset_after=false.*num_layer_norm=2",
        ),
    ],
)
def test_attributes(cell, changes, message, of_gradient, call):
    inputs = inputs_of(cell)
    inputs = given_to_gradient(cell, inputs) if of_gradient else inputs
    with refused(message):
        call(op_of(cell, of_gradient), inputs, attributes_of(cell) | changes)


@pytest.mark.parametrize("call", ["eager"], indirect=True)
@pytest.mark.parametrize("name", ["bias", "sequence_lengths", "mask", "recurrent_dropout_mask"])
def test_two_of_a_kind(name, call):
    inputs = inputs_of("lstm")
    with refused(f"`num_{name}` must be 0 or 1.*num_{name}=2"):
        call(op_of("lstm"), inputs | {name: inputs[name] * 2}, {})


@pytest.mark.parametrize("call", ["eager"], indirect=True)
@pytest.mark.parametrize(("cell", "right", "wrong"), [("lstm", 4, 2), ("lstm", 4, 1), ("gru_reset_after", 2, 1)])
def test_number_of_scales(cell, right, wrong, call):
    inputs = inputs_of(cell)
    inputs["layer_norm"] = inputs["layer_norm"][:wrong]
    with refused(f"`num_layer_norm` must be 0 or {right}. Received: num_layer_norm={wrong}"):
        call(op_of(cell), inputs, attributes_of(cell))


def shapes_of(results):
    return [tuple(x.shape) for x in tf.nest.flatten(list(results))]


@pytest.mark.pairwise
@pytest.mark.parametrize("save_for_gradient", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_results_are_the_same_whenever_shapes_are_known(cell, save_for_gradient, call):
    inputs, attributes = inputs_of(cell), attributes_of(cell)
    outputs, *states, saved = call(op_of(cell), inputs, attributes | {"save_for_gradient": save_for_gradient})
    assert shapes_of([outputs, *states]) == [(B, T, U)] + [(B, U)] * len(states)
    assert bool(*saved.shape) == save_for_gradient
    right = op_of(cell)(**inputs, **attributes)
    for x, y in zip([outputs, *states], right, strict=False):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_have_the_shapes_of_the_inputs(cell, call):
    inputs = inputs_of(cell)
    gradients = call(op_of(cell, of_gradient=True), given_to_gradient(cell, inputs), attributes_of(cell))
    names = ("inputs", "kernel", "recurrent_kernel", "initial_hidden", "initial_cell", "bias", "layer_norm")
    right = [inputs[name] for name in names if name in inputs]
    assert shapes_of(gradients) == shapes_of(right)
    assert all(np.isfinite(x).all() for x in tf.nest.flatten(list(gradients)))


@pytest.mark.pairwise
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("empty", ["batch", "steps", "features"])
def test_empty_axes(cell, empty, call):
    inputs, attributes = inputs_of(cell, **{empty: 0}), attributes_of(cell)
    outputs, *states, _ = call(op_of(cell), inputs, attributes)
    batch, steps = inputs["mask"][0].shape
    assert shapes_of([outputs, *states]) == [(batch, steps, U)] + [(batch, U)] * len(states)
    if empty == "steps":
        for x, name in zip(states, ["initial_hidden", "initial_cell"], strict=False):
            np.testing.assert_array_equal(x, inputs[name])
    if empty == "features":
        zero = {"inputs": np.zeros([B, T, 1], "float32"), "kernel": np.zeros([1, inputs["kernel"].shape[1]], "float32")}
        for x, y in zip([outputs, *states], op_of(cell)(**inputs | zero, **attributes), strict=False):
            np.testing.assert_array_equal(x, y)

    given = given_to_gradient(cell, inputs)
    gradients = tf.nest.flatten(list(call(op_of(cell, of_gradient=True), given, attributes)))
    names = ("inputs", "kernel", "recurrent_kernel", "initial_hidden", "initial_cell", "bias", "layer_norm")
    assert shapes_of(gradients) == shapes_of([inputs[name] for name in names if name in inputs])
    if empty != "features":
        np.testing.assert_array_equal(gradients[1], np.zeros_like(inputs["kernel"]))
    if empty == "steps":
        np.testing.assert_array_equal(gradients[3], given["hidden_grad"])


def test_shapes_are_inferred_from_any_input_that_has_them():
    inferred = {}

    @tf.function
    def traced(inputs, kernel, recurrent_kernel, hidden, cell):
        given = (inputs, kernel, recurrent_kernel, hidden, cell)
        inferred["forward"] = op_of("lstm")(*given, [], [], [], [], [])
        inferred["unsaved"] = op_of("lstm")(*given, [], [], [], [], [], save_for_gradient=False)

    unknown = tf.TensorSpec(None, "float32")
    traced.get_concrete_function(
        tf.TensorSpec([None, 7, None]), tf.TensorSpec([None, 16]), unknown, unknown, tf.TensorSpec([3, None])
    )
    outputs, hidden, cell, saved = (x.shape.as_list() for x in inferred["forward"])
    # What the gradient needs is not known before D is.
    assert (outputs, hidden, cell, saved) == ([3, 7, 4], [3, 4], [3, 4], [None])
    assert inferred["unsaved"].saved.shape == [0]


# Weights that are kept in packed form from call to call.


def run(cell, weights, save_for_gradient=False, **attributes):
    """Returns the outputs of an op without options; they are right if `save_for_gradient`, which packs at each call."""
    kernel, recurrent_kernel, *bias = weights
    inputs = {
        name: tf.cast(x, kernel.dtype)
        for name, x in inputs_of(cell, features=kernel.shape[0]).items()
        if name in ("inputs", "initial_hidden", "initial_cell")
    }
    return op_of(cell)(
        **inputs,
        kernel=kernel,
        recurrent_kernel=recurrent_kernel,
        bias=bias,
        sequence_lengths=[],
        mask=[],
        recurrent_dropout_mask=[],
        layer_norm=[],
        save_for_gradient=save_for_gradient,
        **attributes_of(cell),
        **attributes,
    ).outputs


def weights_of(cell):
    inputs = inputs_of(cell)
    return [inputs["kernel"], inputs["recurrent_kernel"], *inputs["bias"]]


def right_outputs(cell, weights, **attributes):
    return run(cell, [tf.identity(x) + 0 for x in weights], save_for_gradient=True, **attributes)


def assert_follows(cell, weights, function=run):
    """Asserts that the outputs are those of the current weights."""
    np.testing.assert_array_equal(function(cell, weights), right_outputs(cell, weights))


def address(x):
    return np.asarray(tf.convert_to_tensor(x)).ctypes.data


def moved_by_an_update(variables):
    """Returns whether each variable got new memory: an update copies memory only if it has other references."""
    before = [address(x) for x in variables]
    for x in variables:
        x.assign_add(tf.ones_like(x))
    return [address(x) != at for x, at in zip(variables, before, strict=True)]


def scatter(variable):
    variable.scatter_update(tf.IndexedSlices(tf.zeros([1, *variable.shape[1:]]), tf.constant([0])))


UPDATES = {
    "assign": lambda variable: variable.assign(tf.reverse(variable, [0])),
    "assign_add": lambda variable: variable.assign_add(tf.ones_like(variable)),
    "assign to a row": lambda variable: variable[0].assign(tf.ones_like(variable[0])),
    "scatter": scatter,
    "train": lambda variable: tf.raw_ops.ResourceApplyGradientDescent(
        var=variable.handle, alpha=0.5, delta=tf.ones_like(variable)
    ),
}


@pytest.mark.pairwise
@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("updated", [None, "graph", "compiled"], ids=["eager", "by graph", "by compiled graph"])
@pytest.mark.parametrize("update", UPDATES)
def test_results_follow_variables(update, updated, traced):
    variables = [tf.Variable(x) for x in weights_of("lstm")]
    function = (lambda cell, weights: traced_run()) if traced else run

    @tf.function
    def traced_run():
        return run("lstm", variables)

    for variable in variables:

        def change(variable=variable):
            UPDATES[update](variable)

        change = change if updated is None else tf.function(change, jit_compile=updated == "compiled", autograph=False)
        for _ in range(2):
            assert_follows("lstm", variables, function)
            before = variable.numpy()
            change()
            assert update in ("scatter", "assign to a row") or (variable.numpy() != before).any()
    assert_follows("lstm", variables, function)


@pytest.mark.parametrize("cell", CELLS)
def test_weights_of_several_layers_may_take_turns(cell):
    layers = [[tf.Variable(x * scale) for x in weights_of(cell)] for scale in (1, 2, 3)]
    # Layers that share some of their weights.
    layers.append([layers[0][0], *layers[1][1:]])
    layers.append([*layers[1][:2], layers[2][2]])
    for weights in layers * 2:
        assert_follows(cell, weights)


@pytest.mark.parametrize("cell", CELLS)
def test_nodes_of_a_graph_with_the_same_weights(cell):
    variables = [tf.Variable(tf.constant(x) * 2) for x in weights_of(cell)]

    @tf.function
    def nodes():
        # Were they alike, TensorFlow would make them one.
        return run(cell, variables), run(cell, variables, go_backwards=True)

    for variable in [*variables, *variables]:
        for outputs, go_backwards in zip(nodes(), [False, True], strict=True):
            np.testing.assert_array_equal(outputs, right_outputs(cell, variables, go_backwards=go_backwards))
        variable.assign(tf.reverse(variable, [0]) * 1.5)


def two_of_the_same_memory(differing_by):
    """Returns cells and their weights, which share memory, without bias."""
    lstm = [tf.random.stateless_normal([rows, 4 * U], [0, rows]) for rows in (8, U)]
    fewer_features = [lstm[0][:5], lstm[1]]
    gru = [tf.reshape(lstm[0][:6], [8, 3 * U]), tf.reshape(lstm[1][:3], [U, 3 * U])]
    for views in (fewer_features, gru):
        assert [address(x) for x in views] == [address(x) for x in lstm]
    halves = [tf.cast(x, "float16") for x in gru]
    return {
        "features": [("lstm", lstm), ("lstm", fewer_features)],
        "gates": [("lstm", lstm), ("gru", gru)],
        "reset_after": [("gru", gru), ("gru_reset_after", gru)],
        "dtype": [("gru", halves), ("gru", [tf.bitcast(x, "bfloat16") for x in halves])],
    }[differing_by]


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("differing_by", ["features", "gates", "reset_after", "dtype"])
def test_weights_that_are_the_same_memory(differing_by, traced):
    both = two_of_the_same_memory(differing_by)

    def nodes():
        return [run(cell, weights) for cell, weights in both]

    nodes = tf.function(nodes) if traced else nodes
    for _ in range(2):
        for (cell, weights), outputs in zip(both, nodes(), strict=True):
            np.testing.assert_array_equal(outputs, right_outputs(cell, weights))


def test_new_weights_in_memory_of_old_ones():
    for scale in range(1, 30):
        assert_follows("gru", [tf.constant(x) * scale for x in weights_of("gru")])


def aligned(x):
    """Returns a copy that is aligned so that TensorFlow uses its memory without copying."""
    room = np.empty(x.size + 16, x.dtype)
    start = -room.ctypes.data % 64 // x.itemsize
    copy = room[start : start + x.size].reshape(x.shape)
    copy[...] = x
    return copy


def from_dlpack(x):
    return tf.experimental.dlpack.from_dlpack(x.__dlpack__())


@pytest.mark.parametrize(
    "first_of",
    [lambda rows: rows[0], lambda rows: from_dlpack(rows[0]), lambda rows: from_dlpack(rows)[0]],
    ids=["NumPy", "DLPack", "slice"],
)
@pytest.mark.parametrize("changed", range(3))
def test_results_follow_memory_that_is_not_of_tensorflow(changed, first_of):
    arrays = [aligned(np.stack([x, x])) for x in weights_of("lstm")]
    weights = [first_of(x) for x in arrays]
    assert_follows("lstm", weights)
    arrays[changed] += 1
    np.testing.assert_array_equal(weights[changed], arrays[changed][0])
    assert_follows("lstm", weights)


@pytest.mark.parametrize("save_for_gradient", [False, True])
def test_weights_are_held_in_inference_alone(save_for_gradient):
    variables = [tf.Variable(tf.constant(x) * 2) for x in weights_of("lstm")]
    run("lstm", variables, save_for_gradient)
    assert moved_by_an_update(variables) == [not save_for_gradient] * 3


def test_weights_are_held_as_long_as_the_graph():
    variables = [tf.Variable(tf.constant(x) * 2) for x in weights_of("lstm")]
    graph = tf.function(lambda: (run("lstm", variables), run("lstm", variables, go_backwards=True)))
    graph()
    assert moved_by_an_update(variables) == [True] * 3
    graph()
    del graph
    gc.collect()
    assert moved_by_an_update(variables) == [False] * 3


def resident_bytes():
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run_steps(nodes):
    """Runs a graph of `nodes` nodes that share large weights; returns the size of the weights."""
    units = 1024
    kernel, recurrent_kernel = tf.random.normal([1, 4 * units]), tf.random.normal([units, 4 * units])

    @tf.function(autograph=False)
    def steps():
        hidden = cell = tf.zeros([1, units])
        for _ in range(nodes):
            _, hidden, cell, _ = op_of("lstm")(
                tf.ones([1, 1, 1]), kernel, recurrent_kernel, hidden, cell, [], [], [], [], [], save_for_gradient=False
            )
        return hidden

    steps()
    return 4 * (tf.size(kernel) + tf.size(recurrent_kernel)).numpy()


def test_nodes_share_packed_weights_and_free_them():
    run_steps(1)
    gc.collect()
    before = resident_bytes()
    for _ in range(3):
        size = run_steps(8)
        gc.collect()
    # Of eight nodes 7 more, of three graphs 2 more: had they not been shared, or not been freed.
    assert resident_bytes() - before < size


def test_results_follow_variables_of_tensorflow_1():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = [tf.compat.v1.Variable(x, use_resource=False) for x in weights_of("lstm")]
        outputs, right = run("lstm", variables), run("lstm", variables, save_for_gradient=True)
        session.run([x.initializer for x in variables])
        for variable in variables:
            np.testing.assert_array_equal(*session.run([outputs, right]))
            # In place, whoever refers to it.
            session.run(tf.compat.v1.assign_add(variable, tf.ones_like(variable)).op)
        np.testing.assert_array_equal(*session.run([outputs, right]))


@pytest.mark.parametrize("traced", [False, True])
def test_threads_with_different_weights(traced):
    layers = [[tf.constant(x) * (i + 1) for x in weights_of("lstm")] for i in range(4)]
    right = [run("lstm", weights, save_for_gradient=True) for weights in layers]

    @tf.function(reduce_retracing=True, autograph=False)
    def function(*weights):
        return run("lstm", weights)

    start = threading.Barrier(len(layers))

    def work(weights, right):
        start.wait()
        for _ in range(50):
            outputs = function(*weights) if traced else run("lstm", weights)
            np.testing.assert_array_equal(outputs, right)

    with concurrent.futures.ThreadPoolExecutor(len(layers)) as pool:
        list(pool.map(work, layers, right))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_half_precision(dtype, jit_compile):
    inputs = {
        name: [tf.cast(x, dtype) if x.dtype == "float32" else tf.constant(x) for x in np_or_list]
        if isinstance(np_or_list, list)
        else tf.cast(np_or_list, dtype)
        for name, np_or_list in inputs_of("lstm").items()
    }

    @tf.function(jit_compile=jit_compile)
    def function():
        return op_of("lstm")(**inputs)

    wide = {
        name: tf.nest.map_structure(lambda x: tf.cast(x, "float32") if x.dtype == dtype else x, x)
        for name, x in inputs.items()
    }
    for x, y in zip(function()[:3], op_of("lstm")(**wide)[:3], strict=True):
        assert x.dtype == dtype
        np.testing.assert_array_equal(x, tf.cast(y, dtype))
